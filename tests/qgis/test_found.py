"""QGIS itself opens the tiles of a search: they are judged in its form, drawn by their judgement, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bimors_cli
from bimors_cli.options.search import SearchOptions
from bimors_cli.output.found_style import ACCEPTED, CHOICES, REJECTED
from bimors_cli.output.style import CONFIDENCE_COLOURS, FILL_ALPHA
from bimors_cli.results.found_layer import read_found_layer
from tests.qgis.conftest import InQgis

pytestmark = pytest.mark.qgis

SOLID, NO_BRUSH, CROSSES = 1, 0, 14  # Qt::BrushStyle


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiles of the example like one of them, by the features of the embedded bundle."""
    folder = tmp_path_factory.mktemp("found")
    options = bimors_cli.ClassifyOptions(tile_size="1km", head="zero-shot", captions="none", keep_features=True)
    scene = Path(__file__).resolve().parents[2] / "examples" / "scene.tif"
    bimors_cli.classify(scene, ["river", "farmland", "forest"], folder / "out.gpkg", options)
    like = SearchOptions(like=("scene/0/0",), top=12, output=str(folder / "found.gpkg"), accepted_as="pond")
    bimors_cli.search(folder / "out.gpkg", None, like)
    return folder / "found.gpkg"


@pytest.fixture(scope="module")
def ranked(found: Path) -> list[str]:
    return [tile.tile_id for tile in read_found_layer(found).tiles]


@pytest.fixture(scope="module")
def shown(found: Path, ranked: list[str], in_qgis: InQgis) -> dict[str, Any]:
    """The layer after a user chose yes, no, yes and then not judged, and typed a label."""
    verdicts = {ranked[1]: "yes", ranked[2]: "no", ranked[3]: "yes", ranked[4]: "not judged"}
    seen: dict[str, Any] = in_qgis(
        "judge.py", layer=str(found), name="found", verdicts=verdicts, labels={ranked[2]: "meadow"}
    )
    return seen


def test_the_form_offers_yes_and_no(shown: dict[str, Any]) -> None:
    fields = shown["fields"]
    assert {name for name, (_, _, readonly) in fields.items() if not readonly} == {"accept", "label"}
    kind, config, _ = fields["accept"]
    assert kind == "ValueMap" and config["map"] == [{name: value} for name, value in CHOICES]
    kind, config, _ = fields["label"]
    assert kind == "UniqueValues" and config["Editable"] is True
    assert fields["fid"][0] == "Hidden" and shown["hidden"] == ["fid"]


def test_what_the_form_writes_is_read(shown: dict[str, Any], found: Path, ranked: list[str]) -> None:
    tiles = {tile.tile_id: tile for tile in read_found_layer(found).tiles}
    judged = [tiles[tile_id].accepted for tile_id in ranked[:6]]
    assert judged == [None, True, False, True, None, None]
    assert tiles[ranked[2]].corrected == "meadow" and tiles[ranked[1]].corrected is None
    assert [shown["judged"][tile_id] for tile_id in ranked[1:5]] == ["yes", "no", "yes", "not judged"]


def test_judged_tiles_are_drawn_as_such_and_the_others_by_score(shown: dict[str, Any], ranked: list[str]) -> None:
    assert shown["renderer"] == "RuleRenderer" and shown["written"]
    assert shown["legend"][:2] == [ACCEPTED[0], REJECTED[0]] and len(shown["legend"]) == 7
    drawn = shown["drawn"]
    for tile_id, (_, _, colour, _), brush in ((ranked[1], ACCEPTED, NO_BRUSH), (ranked[2], REJECTED, CROSSES)):
        assert drawn[tile_id][0][:3] == [int(part) for part in colour.split(",")] and drawn[tile_id][1] == brush
    best, *_, last = (tile_id for tile_id in ranked if tile_id not in ranked[1:4])
    for tile_id, colour in ((best, CONFIDENCE_COLOURS[-1]), (last, CONFIDENCE_COLOURS[0])):
        assert drawn[tile_id][:2] == [[*bytes.fromhex(colour[1:]), FILL_ALPHA], SOLID]


def test_tiles_are_named_by_rank(shown: dict[str, Any], ranked: list[str]) -> None:
    assert shown["names"][ranked[1]] == 2
    assert shown["tips"][ranked[2]].startswith("<b>3</b> ") and "meadow" in shown["tips"][ranked[2]]
