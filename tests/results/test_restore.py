"""Copies of a layer that another program exported: what is found in them, and what `bimors restore` makes of them."""

from __future__ import annotations

import logging
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

import bimors_cli
from bimors_cli.cli.main import app
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.options.restore import RestoreOptions
from bimors_cli.output.predictions import read_corrections, read_predictions
from bimors_cli.provenance import read_run
from bimors_cli.results.classified_layer import read_classified_layer
from tests.conftest import MakeRaster
from tests.evaluation.areas import samples
from tests.layers import MakeLayer, make_layer
from tests.results.copies import answered, original, read, write

__all__ = ["make_layer", "original"]

EDITS = {"r0c1": "forest", "r2c2": "salt marsh"}
WANTED = {"coast/0/1": "forest", "coast/2/2": "salt marsh"}
CUT = {"probability of rain": "probabilit", "confidence_2": "confiden_1"}


def corrections(path: Path) -> dict[str, str]:
    return read_corrections(path, "tiles")


@pytest.mark.parametrize(
    "name", ["copy.gpkg", "copy.geojson", "copy.shp", "copy.fgb", "degrees.geojson", "web.gpkg", "zone17.shp"]
)
def test_formats_and_crs(name: str, original: Path, tmp_path: Path) -> None:
    crs = {"degrees": 4326, "web": 3857, "zone17": 32617}.get(name.split(".")[0], 32618)
    frame = answered(original, **EDITS).to_crs(crs)
    out = tmp_path / "restored.gpkg"
    found = bimors_cli.restore(write(tmp_path / name, frame[::-1]), original, out)  # the order of the rows is lost too
    assert (found.tiles, found.deleted, found.skipped) == (20, 0, {}) and found.changed["label"] == 2
    assert corrections(out) == WANTED and read_predictions(out, "tiles") == read_predictions(original, "tiles")
    assert read_run(out, "tiles") == read_run(original, "tiles")
    assert (read(out)["checked"] == 1).sum() == 2
    assert read(out).geometry.geom_equals(read(original).geometry).all()
    assert len(read_classified_layer(out).scenes) == 1


@pytest.mark.parametrize(
    "fields",
    [
        ["tile_id", "label"],
        ["Row", "COL", "Label"],
        ["label"],
        ["grid_tile_id", "t_label"],
        ["label", "scene"],
    ],
)
def test_fields_left_out_renamed_and_joined(fields: list[str], original: Path, tmp_path: Path) -> None:
    frame = answered(original, **EDITS)
    names = {"Row": "row", "COL": "col", "Label": "label", "grid_tile_id": "tile_id", "t_label": "label"}
    kept = geopandas.GeoDataFrame(
        {field: frame[names.get(field, field)] for field in fields}, geometry=frame.geometry, crs=frame.crs
    )
    copy = write(tmp_path / "copy.geojson", kept.to_crs(4326))
    bimors_cli.restore(copy, original, tmp_path / "restored.gpkg")
    assert corrections(tmp_path / "restored.gpkg") == WANTED


def test_a_field_that_is_used_for_another_is_named(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = answered(original, **EDITS).rename(columns={"label": "t_label"})
    bimors_cli.restore(write(tmp_path / "copy.gpkg", frame), original, tmp_path / "restored.gpkg")
    assert "the column t_label is used as label" in caplog.text
    again = frame.rename(columns={"t_label": "class"})
    options = RestoreOptions(field="class", overwrite=True)
    bimors_cli.restore(write(tmp_path / "again.gpkg", again), original, tmp_path / "restored.gpkg", options)
    assert corrections(tmp_path / "restored.gpkg") == WANTED
    with pytest.raises(InputError, match="has no column klass"):
        bimors_cli.restore(
            tmp_path / "again.gpkg", original, tmp_path / "restored.gpkg", RestoreOptions(field="klass", overwrite=True)
        )
    frame["u_label"] = frame["t_label"]
    with pytest.raises(InputError, match="t_label, u_label could all be the column label"):
        bimors_cli.restore(write(tmp_path / "two.gpkg", frame), original, tmp_path / "r.gpkg")


def test_without_labels_and_ids_nothing_changes(original: Path, tmp_path: Path) -> None:
    frame = read(original)[["caption", "geometry"]][3:7]
    found = bimors_cli.restore(write(tmp_path / "copy.gpkg", frame), original, tmp_path / "restored.gpkg")
    assert (found.tiles, found.deleted, dict(found.changed)) == (4, 16, {}) and not corrections(found.path)


def test_centroids_and_rows_without_geometry(original: Path, tmp_path: Path) -> None:
    frame = answered(original, **EDITS)
    points = frame[["label", "geometry"]].assign(geometry=frame.geometry.centroid)
    bimors_cli.restore(write(tmp_path / "points.gpkg", points.to_crs(4326)), original, tmp_path / "a.gpkg")
    frame.loc[frame["tile_id"] == "coast/0/1", "geometry"] = None
    bimors_cli.restore(write(tmp_path / "null.gpkg", frame), original, tmp_path / "b.gpkg")
    assert corrections(tmp_path / "a.gpkg") == corrections(tmp_path / "b.gpkg") == WANTED


def test_split_rows(original: Path, tmp_path: Path) -> None:
    frame = answered(original, **EDITS)
    here = frame["tile_id"] == "coast/2/2"
    left, bottom, right, top = frame[here].total_bounds
    halves = pd.concat([frame[here], frame[here]])
    halves["geometry"] = [
        shapely.box(left, bottom, left + 100, top),
        shapely.box(left + 100, bottom, right, top),
    ]
    split = pd.concat([frame[~here], halves])
    found = bimors_cli.restore(write(tmp_path / "copy.gpkg", split), original, tmp_path / "restored.gpkg")
    assert (found.tiles, found.reunited, found.skipped) == (20, 1, {}) and corrections(found.path) == WANTED
    only = bimors_cli.restore(write(tmp_path / "half.gpkg", split[:-1]), original, tmp_path / "half_r.gpkg")
    assert (only.tiles, only.skipped) == (19, {"part of a tile": 1})
    halves["label"] = ["salt marsh", "river"]
    two = write(tmp_path / "two.gpkg", pd.concat([frame[~here], halves]))
    with pytest.raises(InputError, match="2 features are the tile coast/2/2, with label salt marsh and river"):
        bimors_cli.restore(two, original, tmp_path / "r.gpkg")


def test_merged_deleted_moved_and_drawn_rows(original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = answered(original, **EDITS).set_index("tile_id", drop=False)
    shapes = frame.geometry.copy()
    shapes["coast/1/0"] = shapes["coast/1/0"].union(shapes["coast/1/1"])
    shapes["coast/3/0"] = shapely.affinity.translate(shapes["coast/3/0"], 700, 0)
    frame["geometry"] = shapes
    frame = frame.drop(["coast/1/1", "coast/0/0"])
    drawn = frame[:1].assign(tile_id=None, row=None, col=None, geometry=[shapely.box(0, 0, 9, 9)])
    copy = write(tmp_path / "copy.gpkg", pd.concat([frame, drawn]).reset_index(drop=True))
    with caplog.at_level(logging.WARNING):
        found = bimors_cli.restore(copy, original, tmp_path / "restored.gpkg")
    assert found.skipped == {"merged from several tiles": 1, "not where its tile is": 1, "not a tile": 1}
    assert (found.tiles, found.deleted) == (16, 4) and corrections(found.path) == WANTED
    assert len([message for message in caplog.messages if "skipped 3 of 19 features" in message]) == 1


def test_dissolved_rows_are_no_tiles(original: Path, tmp_path: Path) -> None:
    dissolved = read(original).dissolve("label").reset_index()
    with pytest.raises(InputError, match=r"no feature is a tile of coast\.tif|are not where the tiles"):
        bimors_cli.restore(write(tmp_path / "copy.gpkg", dissolved), original, tmp_path / "r.gpkg")


def test_a_copy_of_another_run_or_place_is_refused(
    original: Path, tmp_path: Path, make_raster: MakeRaster, make_layer: MakeLayer
) -> None:
    frame = answered(original, **EDITS)

    def refusal(frame: geopandas.GeoDataFrame, name: str = "copy.gpkg") -> str:
        with pytest.raises(InputError) as caught:
            bimors_cli.restore(write(tmp_path / name, frame), original, tmp_path / "r.gpkg")
        assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
        assert not (tmp_path / "r.gpkg").exists()
        return caught.value.message

    other = frame.assign(confidence=1 - frame["confidence"].to_numpy() / 3)
    assert "was not exported from" in refusal(other) and "the column confidence differs in" in refusal(other, "c.gpkg")
    assert "20 of 20 features are not where the tiles of coast.tif are" in refusal(
        frame.set_geometry(frame.translate(5000)), "moved.gpkg"
    )
    assert "not where" in refusal(frame.set_crs(32617, allow_override=True), "zone.gpkg")
    assert "has no CRS" in refusal(frame.set_crs(None, allow_override=True), "none.shp")
    scene = make_raster(np.ones((3, 120, 150), np.uint8), name="coast2.tif")
    coarse = make_layer(scene, tile_size="60", name="coarse.gpkg")
    assert "most features have 60 x 60 pixels of coast.tif, its tiles 32 x 32" in refusal(read(coarse), "d.gpkg")
    assert "has no features" in refusal(frame[:0], "empty.gpkg")


def test_other_originals_and_outputs_are_refused(original: Path, tmp_path: Path) -> None:
    copy = write(tmp_path / "copy.gpkg", answered(original, **EDITS))

    def refusal(original: Path, output: Path, **options: str) -> str:
        with pytest.raises(InputError) as caught:
            bimors_cli.restore(copy, original, output, RestoreOptions(**options))
        return caught.value.message

    assert "does not exist" in refusal(tmp_path / "none.gpkg", tmp_path / "r.gpkg")
    assert "has no record of a run" in refusal(write(tmp_path / "other.gpkg", read(original)), tmp_path / "r.gpkg")
    assert "only a GeoPackage" in refusal(original, tmp_path / "r.geojson")
    assert "is an input" in refusal(original, original)
    assert "has no layer" in refusal(original, tmp_path / "r.gpkg", layer="none")
    (tmp_path / "there.gpkg").touch()
    assert "exists" in refusal(original, tmp_path / "there.gpkg")


def test_long_texts_of_a_shapefile_are_not_edits(
    make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    from bimors_cli.labels import Labels

    long = "forest with " + "very " * 60 + "old trees"
    scene = make_raster(np.ones((3, 64, 64), np.uint8), name="coast.tif")
    source = make_layer(scene, tile_size="32", labels=Labels.of([long, "river"]))
    found = bimors_cli.restore(write(tmp_path / "copy.shp", read(source)), source, tmp_path / "r.gpkg")
    assert dict(found.changed) == {"label": 0} and set(read(found.path)["label"]) == {long, "river"}


def test_a_sample_comes_back(tmp_path: Path) -> None:
    source = samples.write(tmp_path / "sample.gpkg", samples.drawn_tiles(["forest", "river", "forest", "river"]))
    frame = read(source, "sample")
    frame["reference"] = ["forest", "river", "river", "river"]
    frame["note"] = [None, "shadow", None, None]
    copy = write(tmp_path / "copy.geojson", frame.to_crs(4326))
    found = bimors_cli.restore(copy, source, tmp_path / "restored.gpkg")
    assert dict(found.changed) == {"reference": 4, "note": 1}
    before, after = read_sample(source), read_sample(found.path)
    assert after.references == ("forest", "river", "river", "river") and after.design == before.design
    result = CliRunner().invoke(app, ["evaluate", str(copy)])
    assert result.exit_code == 2 and f"bimors restore {copy} --original {source} -o" in result.stderr.replace("\n", " ")
    again = CliRunner().invoke(app, ["evaluate", str(found.path)])
    assert again.exit_code == 0, again.stderr


@pytest.mark.parametrize("command", ["report", "preview", "search", "suggest", "sample", "finetune"])
@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_every_command_names_the_command_that_works(
    command: str, suffix: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / f"copy.{suffix}", answered(original, **EDITS))
    monkeypatch.chdir(tmp_path)
    given = ["text"] if command == "search" else []
    result = CliRunner().invoke(app, [command, f"copy.{suffix}", *given])
    assert result.exit_code == 2
    _, _, hint = " ".join(result.stderr.split()).partition("hint: bimors ")
    again = CliRunner().invoke(app, hint.split(";")[0].split())
    assert again.exit_code == 0, (result.stderr, again.stderr)
    assert again.stdout == "copy_restored.gpkg\n" and corrections(tmp_path / "copy_restored.gpkg") == WANTED


def test_the_commands_of_the_documents(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    readme, tutorial = ((root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tutorial.md"))
    monkeypatch.chdir(tmp_path)
    frame = answered(original, **EDITS)
    write(Path("copy.geojson"), frame.to_crs(4326))
    write(Path("copy.gpkg"), frame)
    for text, copy in ((readme, "copy.geojson"), (tutorial, "copy.gpkg")):
        command = f"bimors restore {copy} --original out.gpkg -o restored.gpkg"
        assert command in text
        result = CliRunner().invoke(app, [*command.split()[1:], "--overwrite"])
        assert (result.exit_code, result.stdout) == (0, "restored.gpkg\n"), result.stderr
        assert corrections(Path("restored.gpkg")) == WANTED
        summary = "20 tiles in layer tiles; values that differ from the original: 2 of label, 2 of checked"
        assert summary in " ".join(result.stderr.split())
    write(Path("truth.gpkg"), read(original)[["label", "geometry"]].dropna())
    command = "bimors evaluate copy.geojson --reference truth.gpkg --field class"
    assert command in readme
    result = CliRunner().invoke(app, command.replace("class", "label").split()[1:])
    assert result.exit_code == 0, result.stderr
    assert "bimors finetune scene.tif --corrected copy.geojson --tile-size 500m" in readme  # see test_copied_layer.py
