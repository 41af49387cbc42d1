"""Whole runs on small rasters with a tiny bundle: what the layer holds, and what may not change it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from rasterio.crs import CRS

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.summary import Summary
from bimors_cli.version import __version__
from tests import api

LABELS = ["forest", "river", "bare land", "port"]
Classify = Callable[..., Summary]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: Any, output: str = "out.gpkg", labels: Any = LABELS, **options: Any) -> Summary:
        options = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", **options}
        return api.classify(scene, labels, tmp_path / output, **options)

    return run


def rows(path: Path | str | None, layer: str = "tiles") -> geopandas.GeoDataFrame:
    assert path is not None
    return geopandas.read_file(path, layer=layer)


def test_one_polygon_a_tile_and_their_union_is_the_scene(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 70, 100))
    layer = rows(classify(scene).output)
    assert len(layer) == 3 * 4
    assert layer["tile_id"].tolist()[:2] == ["scene/0/0", "scene/0/1"]
    assert set(layer["label"]) <= set(LABELS) and layer["reason"].isna().all()
    assert layer["confidence"].between(0.25, 1).all() and (layer["confidence_2"] <= layer["confidence"]).all()
    assert (layer["label"] != layer["label_2"]).all()
    assert shapely.union_all(layer.geometry).equals(shapely.box(500_000, 4_600_000 - 700, 501_000, 4_600_000))
    assert layer.crs.to_epsg() == 32618


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batch_size_does_not_change_rows(make_raster, classify: Classify, batch: int) -> None:  # type: ignore[no-untyped-def]
    data = noise(3, 130, 130)
    data[:, 40:90, 10:60] = 0
    scene = make_raster(data, nodata=0)
    one = rows(classify(scene, "one.gpkg", batch_size=5, probabilities=True, keep_empty=True).output)
    other = rows(classify(scene, "other.gpkg", batch_size=batch, probabilities=True, keep_empty=True).output)
    exact = ["tile_id", "label", "reason", "label_2", "caption", "geometry"]
    assert_geodataframe_equal(one[exact], other[exact])
    numbers = [c for c in one if c.startswith(("p_", "confidence"))]
    np.testing.assert_allclose(one[numbers], other[numbers], atol=1.01e-4, rtol=0)


def test_probabilities_sum_to_one_and_top_k_is_their_order(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    layer = rows(classify(make_raster(noise(3, 64, 64)), probabilities=True, top_k=3).output)
    p = layer[[f"p_{label}" for label in LABELS]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=4e-6)
    order = np.argsort(-p, axis=1)
    for rank, column in enumerate(("label", "label_2", "label_3")):
        assert layer[column].tolist() == [LABELS[i] for i in order[:, rank]]
    np.testing.assert_allclose(layer["confidence_3"], np.sort(p, axis=1)[:, -3], atol=6e-5)


def test_the_head_and_the_adapter_change_the_answer(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 64, 64))
    learned = rows(classify(scene, "a.gpkg").output)
    zero_shot = rows(classify(scene, "b.gpkg", head="zero-shot").output)
    assert learned["caption"].tolist() == zero_shot["caption"].tolist()
    assert np.abs(learned["confidence"] - zero_shot["confidence"]).max() > 1e-3


def test_without_captions_the_caption_is_null_and_the_answer_another(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 64, 64))
    told, mute = rows(classify(scene, "a.gpkg").output), rows(classify(scene, "b.gpkg", captions=False).output)
    assert mute["caption"].isna().all() and told["caption"].notna().all()
    assert np.abs(told["confidence"] - mute["confidence"]).max() > 1e-3


def test_nodata_tiles_are_left_out_or_kept_with_their_reason(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    data = noise(3, 64, 96)
    data[:, :, :40] = 0
    scene = make_raster(data, nodata=0)
    summary = classify(scene, "a.gpkg")
    assert summary.reasons == {"nodata": 2} and summary.labels.total() == 4
    assert sorted(rows(summary.output)["tile_id"]) == [f"scene/{r}/{c}" for r in range(2) for c in (1, 2)]
    kept = rows(classify(scene, "b.gpkg", keep_empty=True).output)
    assert kept["reason"].tolist()[::3] == ["nodata", "nodata"] and kept["label"].isna().sum() == 2
    assert len(rows(classify(scene, "c.gpkg", min_valid=0.9).output)) == 2
    assert len(rows(classify(scene, "d.gpkg", nodata="none").output)) == 6


def test_an_all_nodata_scene_gives_an_empty_layer(make_raster, classify: Classify, caplog) -> None:  # type: ignore[no-untyped-def]
    summary = classify(make_raster(np.zeros((3, 64, 64), np.uint8), nodata=0))
    layer = rows(summary.output)
    assert len(layer) == 0 and layer.crs.to_epsg() == 32618 and "confidence" in layer
    assert "no rows" in caplog.text


def test_an_aoi_keeps_ids_and_rows(make_raster, classify: Classify, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 128, 128))
    whole = rows(classify(scene, "whole.gpkg").output).set_index("tile_id")
    west = shapely.box(500_000, 4_598_000, 500_500, 4_601_000)
    aoi = tmp_path / "aoi.geojson"
    geopandas.GeoSeries([west], crs=32618).to_crs(4326).to_file(aoi)
    part = rows(classify(scene, "part.gpkg", aoi=str(aoi)).output).set_index("tile_id")
    assert set(part["col"]) == {0, 1}
    same = ["label", "caption"]
    assert part[same].equals(whole.loc[part.index, same])
    assert len(rows(classify(scene, "within.gpkg", aoi=str(aoi), aoi_rule="within").output)) == 4
    assert len(rows(classify(scene, "any.gpkg", aoi=str(aoi), aoi_rule="any").output)) == 8
    kept = rows(classify(scene, "kept.gpkg", aoi=str(aoi), keep_empty=True).output)
    assert len(kept) == 16 and (kept["reason"] == "outside_aoi").sum() == 8


def test_low_confidence_is_a_reason(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    layer = rows(classify(make_raster(noise(3, 64, 64)), min_confidence=0.999).output)
    assert set(layer["reason"]) == {"low_confidence"}
    assert layer[["label", "confidence", "label_2"]].isna().all(axis=None) and layer["caption"].notna().all()


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, 10, 4_600_000),
        Affine.translation(500_000, 4_600_000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ],
    ids=["south-up", "rotated"],
)
def test_polygons_of_odd_scenes_lie_on_their_pixels(make_raster, classify: Classify, transform: Affine) -> None:  # type: ignore[no-untyped-def]
    layer = rows(classify(make_raster(noise(3, 70, 50), transform=transform)).output)
    corners = shapely.Polygon([transform @ c for c in ((0, 0), (50, 0), (50, 70), (0, 70))])
    union = shapely.union_all(layer.geometry, grid_size=1e-6)
    assert union.symmetric_difference(corners).area < 1e-3
    first = layer.set_index("tile_id").geometry["scene/0/0"]
    assert first.covers(shapely.Point(transform @ (16, 16)))


@pytest.mark.parametrize("epsg", [4326, 3857, 32618])
def test_metres_in_any_crs(make_raster, classify: Classify, epsg: int) -> None:  # type: ignore[no-untyped-def]
    transform = {
        4326: Affine(1e-4, 0, 10, 0, -1e-4, 0.01),
        3857: Affine(10, 0, 1_000_000, 0, -10, 1_000),
        32618: Affine(10, 0, 500_000, 0, -10, 4_600_000),
    }[epsg]
    layer = rows(
        classify(make_raster(noise(3, 100, 100), crs=f"EPSG:{epsg}", transform=transform), tile_size="500m").output
    )
    metres = layer.to_crs(layer.estimate_utm_crs()).set_index("tile_id").geometry["scene/0/0"]
    assert metres.area == pytest.approx(500 * 500, rel=0.05)


def test_dst_crs_moves_the_polygons(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 64, 64))
    here, there = rows(classify(scene, "a.gpkg").output), rows(classify(scene, "b.gpkg", dst_crs="EPSG:3857").output)
    assert there.crs.to_epsg() == 3857
    assert here.to_crs(3857).geometry.geom_equals_exact(there.geometry, 1e-3).all()


def test_a_tile_across_the_antimeridian_is_two_polygons_in_longitudes(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    # 60 S, UTM zone 1: the zone begins at the antimeridian.
    transform = Affine(100, 0, 163_000, 0, -100, 7_900_000)
    scene = make_raster(noise(3, 64, 64), crs="EPSG:32701", transform=transform)
    layer = rows(classify(scene, dst_crs="EPSG:4326", tile_size="64").output)
    assert len(layer) == 1
    west, _, east, _ = layer.total_bounds
    assert west >= -180 and east <= 180
    assert layer.geometry.area.sum() < 1  # not a band around the globe


def test_several_scenes_share_a_layer(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    a = make_raster(noise(3, 64, 64), name="a.tif")
    b = make_raster(noise(1, 40, 64, seed=1), name="b.tif")
    layer = rows(classify([a, b]).output)
    assert layer.groupby("scene").size().to_dict() == {"a.tif": 4, "b.tif": 4}
    assert layer["tile_id"].is_unique
    alone = rows(classify(b, "alone.gpkg").output)
    assert layer[layer["scene"] == "b.tif"]["caption"].tolist() == alone["caption"].tolist()


def test_scenes_in_two_crs_need_one_for_the_layer(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    a = make_raster(noise(3, 32, 32), name="a.tif")
    b = make_raster(noise(3, 32, 32), name="b.tif", crs="EPSG:32619")
    with pytest.raises(InputError, match=r"b\.tif has the CRS EPSG:32619") as caught:
        classify([a, b])
    assert "--dst-crs" in str(caught.value.hint)
    assert len(rows(classify([a, b], dst_crs="EPSG:4326").output)) == 2


def test_scenes_of_one_name_are_refused(make_raster, classify: Classify, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    a = make_raster(noise(3, 32, 32))
    (tmp_path / "b").mkdir()
    b = Path(a).rename(tmp_path / "b" / "scene.tif")
    a = make_raster(noise(3, 32, 32))
    with pytest.raises(InputError, match="equal ids"):
        classify([a, b])


def test_provenance_tells_how_to_repeat_the_run(make_raster, classify: Classify, tiny_bundle: Bundle) -> None:  # type: ignore[no-untyped-def]
    summary = classify(make_raster(noise(3, 64, 64).astype(np.uint16) * 50), stretch="p1,p99")
    provenance = read_provenance(Path(str(summary.output)))
    run = json.loads(provenance["run"])
    assert provenance["version"] == __version__
    assert run["labels"] == LABELS and run["model"]["sha256"] == tiny_bundle.sha256
    assert run["scenes"][0]["stretch"][0] == "percentile" and run["scenes"][0]["tile"] == [32, 32]
    assert CRS.from_wkt(run["scenes"][0]["crs"]).to_epsg() == 32618


def test_a_sequence_is_in_wgs84_and_equals_the_geopackage(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 64, 96))
    gpkg, seq = rows(classify(scene).output), pyogrio.read_dataframe(classify(scene, "out.geojsonl").output)
    assert seq.crs.to_epsg() == 4326
    same = ["tile_id", "label", "confidence", "caption"]
    assert gpkg[same].equals(seq[same])
    assert gpkg.to_crs(4326).geometry.geom_equals_exact(seq.geometry, 1e-6).all()


def test_resume_of_a_finished_run_does_nothing(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(noise(3, 64, 64))
    path = Path(str(classify(scene).output))
    before = path.stat().st_mtime_ns
    again = classify(scene, resume=True)
    assert again.output == str(path) and list(again.lines(str)) == [f"{path} is already complete; nothing to do"]
    assert path.stat().st_mtime_ns == before
    with pytest.raises(OutputExistsError, match="not known to be from the same run"):
        classify(scene, resume=True, tile_size="16")
    with pytest.raises(OutputExistsError):
        classify(scene)
    assert len(rows(classify(scene, overwrite=True, tile_size="16").output)) == 16


def test_an_unreadable_tile_is_a_row_and_is_tried_again(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = Path(make_raster(noise(3, 128, 128), tiled=True, blockxsize=32, blockysize=32, compress="deflate"))
    whole = scene.read_bytes()
    import os

    import rasterio

    with rasterio.open(scene) as dataset:
        offset = int(
            dataset.tags(ns="TIFF", bidx=1).get("BLOCK_OFFSET_1_1")
            or dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1)
        )
    stamp = scene.stat()
    scene.write_bytes(whole[:offset] + b"\xff" * 40 + whole[offset + 40 :])
    os.utime(scene, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    summary = classify(scene)
    layer = rows(summary.output).set_index("tile_id")
    assert summary.failed == 1 and layer.loc["scene/1/1", "reason"] == "read_error"
    assert len(layer) == 16 and layer["label"].notna().sum() == 15
    scene.write_bytes(whole)
    os.utime(scene, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = classify(scene, resume=True)
    assert again.failed == 0 and again.resumed == 15
    assert rows(again.output)["label"].notna().all()
    assert not list(Path(str(again.output)).parent.glob("*journal*"))


def test_other_labels_need_neither_captioner_nor_image_tower(
    make_raster, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    from bimors_cli.model.frozen_models import FrozenModels

    monkeypatch.setenv("BIMORS_CACHE", str(tmp_path / "cache"))
    scene = make_raster(noise(3, 96, 96))
    other = ["beach", "road", "meadow"]
    whole = rows(classify(scene, "whole.gpkg", other, caption_cache=False).output)
    classify(scene, "first.gpkg")
    looked = []
    encode = FrozenModels.encode
    monkeypatch.setattr(FrozenModels, "encode", lambda *args: looked.append(args) or encode(*args))
    summary = classify(scene, "second.gpkg", other)
    assert not looked and summary.caption_hits == 9 and summary.caption_misses == 0
    assert_geodataframe_equal(rows(summary.output), whole)
    # Some tiles are known, and some are not.
    classify(make_raster(noise(3, 96, 64), name="part.tif"), "part.gpkg")
    mixed = make_raster(np.concatenate((noise(3, 96, 64), noise(3, 96, 64, seed=5)), axis=2), name="mixed.tif")
    found = rows(classify(mixed, "mixed.gpkg").output)
    assert_geodataframe_equal(found, rows(classify(mixed, "again.gpkg", caption_cache=False).output))
    # The same picture with another head keeps its image feature.
    looked.clear()
    classify(scene, "zero.gpkg", other, head="zero-shot")
    assert not looked


def test_numbers_that_are_none_are_never_a_label(
    make_raster, classify: Classify, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    import torch

    from bimors_cli.model.heads.bimors import BimorsHead

    monkeypatch.setattr(BimorsHead, "logits", lambda self, features: torch.full((len(features), 4), float("nan")))
    summary = classify(make_raster(noise(3, 32, 64)))
    assert summary.reasons == {"model_error": 2} and rows(summary.output)["label"].isna().all()


def test_unknown_words_are_named(make_raster, classify: Classify, caplog) -> None:  # type: ignore[no-untyped-def]
    summary = classify(make_raster(noise(3, 32, 32)), labels=["forest", "solar panels"])
    assert summary.unknown_words == {"solar panels": ("solar", "panels")}
    assert "'solar panels'" in caplog.text and any("solar" in line for line in summary.lines(str))


def test_a_thousand_labels(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    labels = [f"forest {i}" for i in range(1000)]
    layer = rows(classify(make_raster(noise(3, 32, 64)), labels=labels).output)
    assert len(layer) == 2 and set(layer["label"]) <= set(labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "best"}, "--head best"),
        ({"head": "zero-shot", "adapter": "x"}, "--adapter"),
        ({"min_valid": 2}, "--min-valid"),
        ({"min_confidence": -1}, "--min-confidence"),
        ({"top_k": 1}, "--top-k"),
        ({"top_k": 5}, "--top-k"),
        ({"batch_size": 0}, "--batch-size"),
        ({"overwrite": True, "resume": True}, "--overwrite"),
        ({"aoi_rule": "near"}, "--aoi-rule"),
        ({"dst_crs": "EPSG:0"}, "--dst-crs"),
        ({"dst_crs": "http://127.0.0.1:1/crs.wkt"}, "is a URL, not a CRS"),
        ({"device": "tpu9"}, "--device"),
        ({"tile_size": "0"}, "tile size"),
        ({"bidx": (1, 9, 2)}, "no band 9"),
        ({"format": "GeoJSONSeq"}, "suffix"),
    ],
)
def test_wrong_options_are_one_line(make_raster, classify: Classify, options: dict[str, Any], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message) as caught:
        classify(make_raster(noise(3, 32, 32)), **options)
    assert caught.value.exit_code == 2 and "\n" not in caught.value.message


def test_the_scene_itself_is_never_the_output(make_raster, classify: Classify, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scene = Path(make_raster(noise(3, 32, 32))).rename(tmp_path / "scene.gpkg")
    with pytest.raises(InputError, match="also the scene"):
        classify(scene, "scene.gpkg", overwrite=True)
