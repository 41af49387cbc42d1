"""Algorithms of the plugin in the real QGIS, with the program itself: what the dialog gives, and what it gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyogrio
import pytest

import bimors_cli
from bimors_cli.results.found_layer import read_found_layer
from tests.qgis.conftest import BIMORS, InQgis
from tests.qgis.plugin import EXAMPLES, FOLDER

pytestmark = pytest.mark.qgis

SCENE = EXAMPLES / "scene.tif"


def run(in_qgis: InQgis, algorithm: str, parameters: dict[str, object], selected: dict[str, Any] | None = None) -> Any:
    """Run an algorithm; ``selected`` are tiles that are selected in a layer, for parameters that name it SELECTED."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()}
    return in_qgis(
        "run_algorithm.py",
        plugins=str(FOLDER.parent),
        program=str(BIMORS),
        algorithm=f"bimors:{algorithm}",
        parameters=given,
        selected=selected,
    )


def test_a_tile_grid_is_loaded(in_qgis: InQgis, tmp_path: Path) -> None:
    output = tmp_path / "grid.gpkg"
    found = run(in_qgis, "tiles", {"INPUT": SCENE, "TILE_SIZE": "1km", "DST_CRS": "EPSG:4326", "OUTPUT": output})
    assert found["fine"], found["log"]
    grid = pyogrio.read_dataframe(output, layer="tiles")
    assert found["layers"][0]["name"] == "Tiles" and len(grid) > 10 and grid.crs == 4326


@pytest.mark.slow
def test_a_scene_is_shown_on_a_page(in_qgis: InQgis, tmp_path: Path) -> None:
    page = tmp_path / "scene.html"
    found = run(in_qgis, "info", {"INPUT": SCENE, "TILE_SIZE": "100m", "PAGE": page})
    assert found["fine"] and found["results"] == {"PAGE": str(page)}, found["log"]
    text = page.read_text(encoding="utf-8")
    assert "EPSG:" in text and any("EPSG:" in line for line in found["log"])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of the example with image features."""
    path = tmp_path_factory.mktemp("features") / "out.gpkg"
    options = bimors_cli.ClassifyOptions(tile_size="1km", head="zero-shot", captions="none", keep_features=True)
    bimors_cli.classify(SCENE, ["river", "farmland", "forest"], path, options)
    return path


def test_tiles_like_the_selected_ones_are_found(features: Path, in_qgis: InQgis, tmp_path: Path) -> None:
    output = tmp_path / "found.gpkg"
    parameters = {"INPUT": features, "LIKE": "SELECTED", "TOP": 5, "ACCEPTED_AS": "pond", "OUTPUT": output}
    chosen = {"layer": str(features), "field": "tile_id", "values": ["scene/0/0", "scene/1/1"]}
    found = run(in_qgis, "search", parameters, chosen)
    assert found["fine"], found["log"]
    tiles = read_found_layer(output).tiles
    assert len(tiles) == 5 and {"scene/0/0", "scene/1/1"}.isdisjoint(tile.tile_id for tile in tiles)
    (layer,) = (one for one in found["layers"] if one["name"] == "Tiles")
    assert layer["renderer"] == "RuleRenderer" and layer["widgets"]["accept"] == "ValueMap"
    # The whole layer is no choice.
    all_tiles = run(in_qgis, "search", {**parameters, "LIKE": SCENE.with_name("train.gpkg")})
    assert not all_tiles["fine"]
    assert "ERROR Tiles like these: the layer has no field tile_id: select a layer of bimors." in all_tiles["log"]


def test_an_error_of_the_program_is_one_message_in_the_words_of_the_dialog(in_qgis: InQgis, tmp_path: Path) -> None:
    labels = EXAMPLES / "labels.txt"
    parameters = {"INPUT": SCENE, "LABELS": labels, "VOTE": True, "KEEP_FEATURES": True, "OUTPUT": tmp_path / "o.gpkg"}
    found = run(in_qgis, "classify", parameters)
    assert not found["fine"] and not found["layers"]
    errors = [line for line in found["log"] if "keep-features" in line]
    assert errors == [
        "ERROR 'Keep image features' (--keep-features) stores features of tiles, but 'Average overlapping tiles' "
        "(--vote) writes cells instead of tiles\nHint: leave one of them out"
    ]


@pytest.mark.slow
def test_an_exported_copy_is_restored_and_reported(features: Path, in_qgis: InQgis, tmp_path: Path) -> None:
    copy, output, page = tmp_path / "copy.geojson", tmp_path / "restored.gpkg", tmp_path / "page.html"
    tiles = pyogrio.read_dataframe(features, layer="tiles")
    tiles.loc[0, "label"] = "river" if tiles["label"][0] != "river" else "forest"
    tiles.to_crs(4326).to_file(copy)
    found = run(in_qgis, "restore", {"COPY": copy, "ORIGINAL": features, "OUTPUT": output})
    assert found["fine"], found["log"]
    assert found["layers"][0]["renderer"] == "categorizedSymbol"
    assert list(pyogrio.read_dataframe(output, layer="tiles")["label"]) == list(tiles["label"])
    found = run(in_qgis, "report", {"INPUT": output, "PAGE": page})
    assert found["fine"] and found["results"] == {"PAGE": str(page)}, found["log"]
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
