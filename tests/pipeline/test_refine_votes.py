"""Runs whose overlapping tiles vote on the cells that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from tests.conftest import MakeRaster
from tests.pipeline.refining import (
    LABELS,
    Classify,
    P,
    assert_same_rows,
    classify,
    files,
    options,
    picture,
    rows,
    scene,
)

__all__ = ["classify", "options", "scene"]


@pytest.mark.parametrize("overlap", ["50%", "20", "27"])
def test_rows_are_cells_and_each_the_mean_of_its_tiles(
    make_raster: MakeRaster, classify: Classify, overlap: str
) -> None:
    scene = make_raster(picture(100, 130))
    plain = rows(classify(scene, "plain.gpkg", overlap=overlap, probabilities=True))
    summary = classify(scene, overlap=overlap, probabilities=True, vote=True)
    layer = rows(summary)
    step = {"50%": 16, "20": 12, "27": 5}[overlap]
    assert len(layer) == -(-100 // step) * -(-130 // step) == summary.rows == summary.answered
    assert layer["tile_id"].tolist()[:2] == ["scene/0/0", "scene/0/1"] and layer["tile_id"].is_unique
    assert shapely.union_all(layer.geometry).equals(shapely.box(500_000, 4_600_000 - 1000, 501_300, 4_600_000))
    assert layer.geometry.iloc[0].equals(shapely.box(500_000, 4_600_000 - 10 * step, 500_000 + 10 * step, 4_600_000))
    common = shapely.area(shapely.intersection(layer.geometry.to_numpy()[:, None], plain.geometry.to_numpy()[None, :]))
    expected = common @ plain[P].to_numpy() / common.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer[P], expected, atol=2e-6)
    assert layer["label"].tolist() == [LABELS[place] for place in layer[P].to_numpy().argmax(axis=1)]
    lines = list(summary.lines(str))
    assert lines[0] == f"{len(layer):,} of {len(layer):,} cells labelled"
    assert f"voted: {len(plain):,} tiles on {len(layer):,} cells" in lines and summary.seconds["voting"] > 0


def test_refined_answers_vote(make_raster: MakeRaster, classify: Classify) -> None:
    scene = make_raster(picture(100, 130))
    refined = rows(classify(scene, "plain.gpkg", overlap="50%", probabilities=True, refine="transductive"))
    layer = rows(classify(scene, overlap="50%", probabilities=True, refine="transductive", vote=True))
    common = shapely.area(
        shapely.intersection(layer.geometry.to_numpy()[:, None], refined.geometry.to_numpy()[None, :])
    )
    expected = common @ refined[P].to_numpy() / common.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer[P], expected, atol=2e-6)


def test_a_caption_is_that_of_the_nearest_tile(make_raster: MakeRaster, classify: Classify) -> None:
    scene = make_raster(picture(64, 96))
    plain = rows(classify(scene, "plain.gpkg", overlap="50%", captions=True))
    layer = rows(classify(scene, overlap="50%", captions=True, vote=True))
    assert layer["caption"].notna().all() and plain["caption"].nunique() > 1
    for middle, caption in zip(layer.geometry.centroid, layer["caption"], strict=True):
        covering = plain[plain.geometry.contains(middle)]
        away = covering.geometry.centroid.distance(middle).round(3)
        assert caption == covering["caption"].iloc[int(np.argmin(away))]
    assert rows(classify(scene, "silent.gpkg", overlap="50%", vote=True))["caption"].isna().all()


@pytest.mark.parametrize("min_valid", [0.0, 0.5, 1.0])
def test_a_cell_without_data_is_never_labelled(scene: str, classify: Classify, min_valid: float) -> None:
    import rasterio

    with rasterio.open(scene) as dataset:
        data = dataset.read().any(axis=0)
    summary = classify(scene, overlap="20", vote=True, keep_empty=True, min_valid=min_valid)
    layer = rows(summary)
    cells = {
        (row, col): data[12 * row : 12 * row + 12, 12 * col : 12 * col + 12].mean()
        for row, col in zip(layer["row"], layer["col"], strict=True)
    }
    share = np.array(list(cells.values()))
    labelled = layer["label"].notna().to_numpy()
    assert not labelled[(share < min_valid) | (share == 0)].any()
    assert set(layer["reason"].dropna()) == {"nodata"}
    if min_valid < 1:  # all of what has data is covered by a tile that has enough
        assert labelled[(share >= min_valid) & (share > 0)].mean() > 0.97
    if min_valid == 0.5:
        less = rows(classify(scene, "less.gpkg", overlap="20", vote=True, min_valid=min_valid))
        assert less["tile_id"].tolist() == layer["tile_id"][labelled].tolist()


AREA = shapely.Polygon([(500_410, 4_599_500), (501_500, 4_599_100), (501_300, 4_598_600), (500_480, 4_598_700)])


@pytest.mark.parametrize("rule", ["centre", "any", "within"])
def test_an_area_chooses_cells(scene: str, classify: Classify, tmp_path: Path, rule: str) -> None:
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[AREA], crs=32618).to_file(area)
    how = {"overlap": "50%", "vote": True, "probabilities": True}
    whole = classify(scene, "whole.gpkg", **how)
    every = rows(whole)
    summary = classify(scene, aoi=str(area), aoi_rule=rule, **how)
    found = rows(summary)
    shapes = every.geometry
    wanted = {
        "centre": shapes.centroid.intersects(AREA),
        "any": shapes.intersects(AREA) & ~shapes.touches(AREA),
        "within": shapes.within(AREA),
    }[rule]
    assert_same_rows(found, every[wanted].reset_index(drop=True))
    assert summary.voters is not None and whole.voters is not None and len(found) < summary.voters < whole.voters
    assert not [name for name in files(tmp_path) if "journal" in name]
    kept = rows(classify(scene, "kept.gpkg", aoi=str(area), aoi_rule=rule, keep_empty=True, **how))
    assert len(kept) == 14 * 20 and (kept["reason"] == "outside_aoi").sum() > 100
    assert_same_rows(kept[kept["label"].notna()].reset_index(drop=True), found)


def test_an_area_between_the_middles_of_tiles(make_raster: MakeRaster, classify: Classify, tmp_path: Path) -> None:
    """An area that no tile has its centre in, or lies within, but cells do."""
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(500_325, 4_599_515, 500_395, 4_599_595)], crs=32618).to_file(area)
    scene = make_raster(picture(128, 128))
    summary = classify(scene, overlap="75%", vote=True, aoi=str(area), aoi_rule="centre")
    assert rows(summary)["tile_id"].tolist() == ["scene/5/4"] and summary.voters == 16


def test_a_tile_that_cannot_be_read(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bimors_cli.errors import ReadError
    from bimors_cli.pipeline.inference import tile_reader as reading

    how = {"overlap": "50%", "vote": True, "keep_empty": True, "raster": str(tmp_path / "labels.tif")}
    whole = rows(classify(scene, "whole.gpkg", **how))
    read = reading.read_tile

    def failing(reader: Any, tile: Any, *args: Any, **kw: Any) -> Any:
        if (tile.row, tile.col) in ((0, 0), (0, 1), (1, 0), (11, 16)):
            raise ReadError("torn")
        return read(reader, tile, *args, **kw)

    with monkeypatch.context() as context:
        context.setattr(reading, "read_tile", failing)
        summary = classify(scene, overwrite=True, **how)
    layer = rows(summary).set_index("tile_id")
    # Only these have no other tile that holds them; cell 11/16 is in those before its own.
    assert layer.index[layer["reason"] == "read_error"].tolist() == ["scene/0/0", "scene/0/1", "scene/1/0"]
    assert isinstance(layer.loc["scene/11/16", "label"], str) and isinstance(layer.loc["scene/1/1", "label"], str)
    assert summary.failed == 4 and summary.journal == str(journal_path(tmp_path / "out.gpkg"))
    assert "4 tiles failed; run the same command with --resume to try them again" in list(summary.lines(str))
    again = classify(scene, resume=True, **how)
    assert again.failed == 0 and again.resumed == 13 * 19 - 4
    assert f"{again.answered:,} of {again.rows:,} cells labelled, 243 tiles by earlier runs" in list(again.lines(str))
    assert_same_rows(rows(again), whole)


@pytest.mark.parametrize("resolution", ["tile", "scene"])
def test_the_raster_shows_the_cells(scene: str, classify: Classify, tmp_path: Path, resolution: str) -> None:
    import rasterio

    how = {"overlap": "20", "vote": True, "raster": str(tmp_path / "labels.tif"), "raster_res": resolution}
    summary = classify(scene, keep_empty=True, **how)
    layer = rows(summary)
    with rasterio.open(str(summary.raster)) as raster:
        points = [(point.x, point.y) for point in layer.geometry.centroid]
        samples = np.array(list(raster.sample(points)))
        assert raster.shape == ((18, 26) if resolution == "tile" else (215, 310))
    names = [None, *LABELS]
    assert [names[number] for number in samples[:, 0]] == [x if isinstance(x, str) else None for x in layer["label"]]


def test_a_scene_that_is_one_tile(make_raster: MakeRaster, classify: Classify) -> None:
    summary = classify(make_raster(picture(20, 30)), overlap="50%", vote=True)
    assert rows(summary)["label"].notna().tolist() == [True]
