"""Copies that QGIS itself exports: edited, in other formats and CRSs, with renamed, missing and joined fields."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import bimors_cli
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.labels import Labels
from bimors_cli.options.restore import RestoreOptions
from bimors_cli.output.geopackage import read_layer
from bimors_cli.training.examples.corrected_layer import from_layer
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.options import FinetuneOptions
from tests.conftest import NORTH_UP
from tests.evaluation.areas import samples
from tests.layers import in_turn, write_layer
from tests.qgis.conftest import InQgis

pytestmark = pytest.mark.qgis

LABELS = ["forest", "river", "harbour"]
CHECKED = ["field", "checked", "bool"]
# What a user corrects in each copy: the label of one tile, and two tiles that are right.
STEPS = [
    CHECKED,
    ["set", "label", {"coast/0/1": "forest", "coast/2/2": "salt marsh"}],
    ["set", "checked", {"coast/0/1": True, "coast/1/1": True, "coast/3/2": True}],
]
GPKG, GEOJSON, SHP, FGB = ({"driver": name} for name in ("GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf"))
COPIES: dict[str, dict[str, Any]] = {
    "plain.gpkg": {"export": GPKG},
    "degrees.geojson": {"export": {**GEOJSON, "crs": "EPSG:4326"}},
    "plain.shp": {"export": SHP},
    "web.fgb": {"export": {**FGB, "crs": "EPSG:3857"}},
    "zone17.shp": {"export": {**SHP, "crs": "EPSG:32617"}},
    "few_fields.gpkg": {"export": {**GPKG, "fields": ["label", "checked"]}},
    "no_id.geojson": {"export": {**GEOJSON, "crs": "EPSG:4326", "fields": ["col", "row", "label", "checked"]}},
    "selected.gpkg": {"export": {**GPKG, "selected": ["coast/0/1", "coast/1/1", "coast/2/2", "coast/3/2"]}},
}


@pytest.fixture(scope="module")
def original(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 5 x 4 tiles, the last column and row clipped."""
    folder = tmp_path_factory.mktemp("original")
    scene = folder / "coast.tif"
    pixels = np.random.default_rng(0).integers(1, 255, (3, 120, 150), dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "height": 120, "width": 150, "dtype": "uint8"}
    with rasterio.open(scene, "w", crs="EPSG:32618", transform=NORTH_UP, **profile) as dataset:
        dataset.write(pixels)
    labels = Labels.of(LABELS)
    return write_layer(
        folder / "out.gpkg", tiny_bundle, (str(scene),), labels, in_turn(labels), tile_size="32", device="cpu"
    )


def export(in_qgis: InQgis, original: Path, folder: Path, copies: dict[str, dict[str, Any]]) -> None:
    asked = [{"name": name, "steps": STEPS, **one} for name, one in copies.items()]
    done = in_qgis("export.py", original=str(original), layer="tiles", folder=str(folder), copies=asked)
    assert done == {"copies": len(copies)}


@pytest.fixture(scope="module")
def folder(original: Path, in_qgis: InQgis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copies, all exported by one QGIS."""
    folder = tmp_path_factory.mktemp("copies")
    table = folder / "answers.csv"
    table.write_text("tile_id,label\ncoast/0/1,forest\ncoast/2/2,salt marsh\n", encoding="utf-8")
    edited: dict[str, dict[str, Any]] = {
        "altered.gpkg": {
            "steps": [
                *STEPS,
                ["split", "coast/1/1"],
                ["merge", ["coast/2/0", "coast/2/1"]],
                ["delete", ["coast/0/0", "coast/3/0"]],
                ["move", ["coast/1/3"], 5000, 0],
            ],
            "export": GPKG,
        },
        "joined.shp": {"steps": [], "join": {"table": str(table)}, "export": SHP},
        "joined.gpkg": {"steps": [], "join": {"table": str(table)}, "export": {**GPKG, "crs": "EPSG:4326"}},
        "renamed.gpkg": {"steps": [*STEPS, ["rename", "label", "class"]], "export": GPKG},
        "moved.gpkg": {
            "steps": [*STEPS, ["move", [f"coast/{row}/{col}" for row in range(4) for col in range(5)], 5000, 0]],
            "export": GPKG,
        },
    }
    export(in_qgis, original, folder, {**COPIES, **edited})
    return folder


def corrected(path: Path) -> dict[str, str]:
    examples = from_layer(path, image_size=16)
    return {one.source_id: examples.labels.names[one.label] for one in examples.examples}


def of_the_run(original: Path, tile: str) -> str:
    frame = read_layer(original, "tiles", ["tile_id", "label"])
    return str(frame["label"][frame["tile_id"] == tile].iloc[0])


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_restored(name: str, folder: Path, original: Path, tmp_path: Path) -> None:
    found = bimors_cli.restore(folder / name, original, tmp_path / "restored.gpkg")
    assert (found.skipped, found.reunited) == ({}, 0)
    assert found.tiles == (4 if name == "selected.gpkg" else 20) and found.tiles + found.deleted == 20
    # The record of the predictions is back, so a changed label is a correction without a tick.
    assert corrected(tmp_path / "restored.gpkg") == {
        "coast/0/1": "forest",
        "coast/1/1": of_the_run(original, "coast/1/1"),
        "coast/2/2": "salt marsh",
        "coast/3/2": of_the_run(original, "coast/3/2"),
    }


@pytest.mark.parametrize("name", COPIES)
def test_checked_rows_of_a_copy_are_examples_of_the_scene(
    name: str, folder: Path, original: Path, tiny_bundle: Bundle
) -> None:
    options = FinetuneOptions(
        sources=(str(original.with_name("coast.tif")),), corrected=(str(folder / name),), tile_size="32"
    )
    examples = find_examples(options, tiny_bundle)
    assert {one.source_id: examples.labels.names[one.label] for one in examples.examples} == {
        "coast/0/1": "forest",
        "coast/1/1": of_the_run(original, "coast/1/1"),
        "coast/3/2": of_the_run(original, "coast/3/2"),
    }


def test_split_merged_deleted_and_moved_rows(
    folder: Path, original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = bimors_cli.restore(folder / "altered.gpkg", original, tmp_path / "restored.gpkg")
    assert found.skipped == {"merged from several tiles": 1, "not where its tile is": 1} and found.reunited == 1
    assert (found.tiles, found.deleted) == (15, 5)
    (warning,) = caplog.messages
    assert warning.endswith("skipped 2 of 18 features: 1 not where its tile is, 1 merged from several tiles")
    assert set(corrected(tmp_path / "restored.gpkg")) == {"coast/0/1", "coast/1/1", "coast/2/2", "coast/3/2"}


def test_a_renamed_field_is_named(folder: Path, original: Path, tmp_path: Path) -> None:
    bimors_cli.restore(folder / "renamed.gpkg", original, tmp_path / "restored.gpkg", RestoreOptions(field="class"))
    assert corrected(tmp_path / "restored.gpkg")["coast/2/2"] == "salt marsh"


def test_a_joined_table_corrects_the_tiles_that_it_has(folder: Path, original: Path, tmp_path: Path) -> None:
    for name, field in (("joined.gpkg", "answers_label"), ("joined.shp", "answers_la")):
        options = RestoreOptions(field=field, overwrite=True)
        found = bimors_cli.restore(folder / name, original, tmp_path / "restored.gpkg", options)
        assert found.changed["label"] == 2
        assert corrected(found.path) == {"coast/0/1": "forest", "coast/2/2": "salt marsh"}
    # Without the option the tiles have the labels of the run.
    assert bimors_cli.restore(folder / "joined.gpkg", original, tmp_path / "plain.gpkg").changed["label"] == 0


def test_a_sample_that_qgis_exported_is_evaluated(in_qgis: InQgis, tmp_path: Path) -> None:
    source = samples.write(tmp_path / "sample.gpkg", samples.drawn_tiles(["forest", "river", "forest", "river"]))
    answers = {"s/0/0": "forest", "s/1/0": "river", "s/2/0": "river", "s/3/0": "river"}
    copy = {
        "name": "copy.geojson",
        "steps": [["set", "reference", answers]],
        "export": {**GEOJSON, "crs": "EPSG:4326"},
    }
    in_qgis("export.py", original=str(source), layer="sample", folder=str(tmp_path), copies=[copy])
    with pytest.raises(InputError, match="is not a probability sample") as caught:
        bimors_cli.assess_sample(tmp_path / "copy.geojson")
    assert caught.value.hint == (
        f"bimors restore {tmp_path / 'copy.geojson'} --original {source} -o {tmp_path / 'copy_restored.gpkg'}"
    )
    found = bimors_cli.restore(tmp_path / "copy.geojson", source, tmp_path / "restored.gpkg")
    assert read_sample(found.path).references == tuple(answers.values())
    bimors_cli.assess_sample(found.path)


def test_moved_features_are_refused(folder: Path, original: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"20 of 20 features are not where the tiles of coast.tif are"):
        bimors_cli.restore(folder / "moved.gpkg", original, tmp_path / "restored.gpkg")
    assert not (tmp_path / "restored.gpkg").exists()
