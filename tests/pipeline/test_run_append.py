"""Runs that add a layer to a GeoPackage, and runs that write other formats."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, JournalError, OutputExistsError
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult
from tests import api

LABELS = ["forest", "river", "bare land", "port"]
Classify = Callable[..., Summary]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: Any, output: str = "out.gpkg", **options: Any) -> Summary:
        known = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "captions": False}
        return api.classify(scene, LABELS, tmp_path / output, **{**known, **options})

    return run


@pytest.fixture
def scene(make_raster: Any) -> str:
    return str(make_raster(noise(3, 64, 96)))


def layers(path: Path) -> list[str]:
    return [name for name, geometry in pyogrio.list_layers(path) if geometry]


def test_a_second_run_adds_its_layer(scene: str, classify: Classify, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    classify(scene)
    first = geopandas.read_file(path, layer="tiles")
    summary = classify(scene, append=True, layer="small", tile_size="16", dst_crs="EPSG:3857")
    assert (summary.output, summary.rows) == (str(path), 24)
    assert layers(path) == ["tiles", "small"]
    assert geopandas.read_file(path, layer="tiles").equals(first)
    small = geopandas.read_file(path, layer="small")
    assert len(small) == 24 and small.crs.to_epsg() == 3857
    for name, size in (("tiles", 32), ("small", 16)):
        run = json.loads(read_provenance(path, name)["run"])
        assert (run["layer"], run["scenes"][0]["tile"]) == (name, [size, size])
    with closing(sqlite3.connect(path)) as database:
        styled = database.execute("SELECT f_table_name FROM layer_styles WHERE useAsDefault").fetchall()
    assert styled == [("tiles",), ("small",)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.gpkg", "scene.tif"]


def test_the_first_run_may_append_too(scene: str, classify: Classify, tmp_path: Path) -> None:
    for name in ("a", "b"):
        classify(scene, append=True, layer=name)
    assert layers(tmp_path / "out.gpkg") == ["a", "b"]


def test_what_cannot_be_appended_is_refused_before_the_run(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gpkg"
    classify(scene)
    before = path.read_bytes()
    (tmp_path / "text.gpkg").write_text("precious")
    monkeypatch.setattr("bimors_cli.pipeline.engines.local.predict_job", lambda *a: pytest.fail("the run began"))
    with pytest.raises(OutputExistsError, match="layer 'tiles' exists") as caught:
        classify(scene, append=True)
    assert "--layer" in str(caught.value.hint)
    for output, options, says in (
        ("text.gpkg", {}, "not a GeoPackage"),
        ("out.geojsonl", {}, "GeoJSONSeq supports one layer only"),
        ("out.fgb", {}, "FlatGeobuf supports one layer only"),
        ("out.gpkg", {"overwrite": True}, "--overwrite replaces"),
        ("out.gpkg", {"layer": "rtree_x"}, "invalid layer name"),
    ):
        with pytest.raises(InputError, match=says):
            classify(scene, output, append=True, **options)
    assert path.read_bytes() == before and (tmp_path / "text.gpkg").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.gpkg", "scene.tif", "text.gpkg"]


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int = 1) -> None:
    """Let runs fail after some batches; their journals stay."""
    append = Journal.append
    left = [after]

    def limited(self: Journal, records: Any) -> None:
        append(self, records)
        left[0] -= 1
        if not left[0]:
            raise JournalError("the power is gone")

    monkeypatch.setattr(Journal, "append", limited)


def test_an_interrupted_append_goes_on(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gpkg"
    classify(scene)
    before = path.read_bytes()
    later: dict[str, Any] = {"append": True, "layer": "later", "batch_size": 2}
    with monkeypatch.context() as patch:
        interrupt(patch)
        with pytest.raises(JournalError, match="power"):
            classify(scene, **later)
    assert path.read_bytes() == before and journal_path(path).exists()
    # The journal is the file's: a run of another layer neither takes it up nor writes beside it.
    for options, says in (({}, "was not finished"), ({"resume": True}, r'layer \("later", now "third"\)')):
        with pytest.raises(InputError, match=says) as caught:
            classify(scene, **{**later, "layer": "third", **options})
        assert options or "remove out.gpkg.bimors-journal" in str(caught.value.hint)
    summary = classify(scene, resume=True, **later)
    assert (summary.resumed, summary.rows) == (2, 6)
    assert layers(path) == ["tiles", "later"] and not journal_path(path).exists()
    same = [geopandas.read_file(path, layer=name)[["tile_id", "label"]] for name in ("tiles", "later")]
    assert same[0].equals(same[1])


def test_resume_of_a_finished_append_does_nothing(scene: str, classify: Classify, tmp_path: Path) -> None:
    classify(scene)
    assert classify(scene, append=True, layer="later", resume=True).rows == 6  # nothing to go on with: it begins
    before = (tmp_path / "out.gpkg").read_bytes()
    assert classify(scene, append=True, layer="later", resume=True).finished_before
    assert classify(scene, resume=True).finished_before
    assert (tmp_path / "out.gpkg").read_bytes() == before
    with pytest.raises(OutputExistsError, match="exists"):
        classify(scene, append=True, layer="later", resume=True, tile_size="16")


def test_tiles_that_failed_are_tried_again_in_their_layer(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bimors_cli.pipeline.inference import predict as tiles

    real = tiles.classify_tiles

    def failing(*args: Any) -> Iterator[list[TileResult]]:
        return ([TileResult(record.scene, record.index, "model_error") for record in batch] for batch in real(*args))

    path = tmp_path / "out.gpkg"
    classify(scene)
    later: dict[str, Any] = {"append": True, "layer": "later"}
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "classify_tiles", failing)
        assert classify(scene, **later).failed == 6
    assert layers(path) == ["tiles", "later"] and journal_path(path).exists()
    assert classify(scene, resume=True, **later).failed == 0
    assert layers(path) == ["tiles", "later"]
    assert geopandas.read_file(path, layer="later")["label"].notna().all()


@pytest.mark.parametrize("suffix", [".fgb", ".parquet", ".geojson", ".geojsonl"])
def test_every_format_has_the_rows_of_the_geopackage(scene: str, classify: Classify, suffix: str) -> None:
    plain = geopandas.read_file(str(classify(scene).output), layer="tiles")
    path = classify(scene, f"other{suffix}").output
    read = geopandas.read_parquet(path) if suffix == ".parquet" else pyogrio.read_dataframe(path)
    read = read.sort_values(["row", "col"], ignore_index=True)
    assert read.crs.to_epsg() == (4326 if "geojson" in suffix else 32618)
    assert read["tile_id"].tolist() == plain["tile_id"].tolist() and read["label"].tolist() == plain["label"].tolist()
    assert read["confidence"].tolist() == plain["confidence"].tolist()
    moved = plain.to_crs(read.crs).geometry
    assert read.geometry.normalize().geom_equals_exact(moved.normalize(), 1e-6, align=False).all()


def test_a_format_alone_names_the_file(
    scene: str, classify: Classify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle
) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"model": str(tiny_bundle.folder), "tile_size": "32", "captions": False}
    for name, expected in (("flatgeobuf", "scene.fgb"), ("GPKG", "scene.gpkg"), ("gpkg", "scene.gpkg")):
        assert api.classify(scene, LABELS, format=name, overwrite=True, **options).output == expected
    assert (tmp_path / "scene.qml").exists()


@pytest.mark.parametrize("output", ["out.gpkg", "out.geojson"])
def test_separators_need_a_sequence(scene: str, classify: Classify, output: str) -> None:
    with pytest.raises(InputError, match="--rs"):
        classify(scene, output, rs=True)


def test_separators_in_a_file(scene: str, classify: Classify, tmp_path: Path) -> None:
    classify(scene, "out.json", format="GeoJSONSeq", rs=True)
    assert (tmp_path / "out.json").read_bytes().count(b"\x1e") == 6


def test_the_plan_knows_nothing_of_how_the_layer_is_added(scene: str, classify: Classify, tmp_path: Path) -> None:
    """The same rows are the same run, whether the layer is alone in its file or not."""
    classify(scene, append=True)
    assert classify(scene, resume=True).finished_before
    assert "append" not in json.loads(read_provenance(tmp_path / "out.gpkg")["run"])
