"""What the dialogs of the plugin show in the real QGIS, held to the options of the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.accuracy.map_files import LABELS, write_layer
from tests.qgis.conftest import InQgis
from tests.qgis.plugin import FOLDER, described

pytestmark = pytest.mark.qgis

GROUPS = {
    "Scenes": {"info", "tiles"},
    "Classification": {"classify", "caption", "change", "merge"},
    "Search and review": {"search", "report", "restore"},
    "Training": {"finetune", "finetuneraster", "finetunecorrected", "suggest"},
    "Accuracy and area": {"sample", "assess", "evaluate"},
}


@pytest.fixture(scope="module")
def shown(in_qgis: InQgis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    layer = write_layer(tmp_path_factory.mktemp("layer") / "map.gpkg", LABELS)
    found: dict[str, Any] = in_qgis("list_parameters.py", plugins=str(FOLDER.parent), layer=str(layer))
    return found


def test_the_toolbox_shows_every_algorithm_in_its_group(shown: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for name, algorithm in shown["algorithms"].items():
        found.setdefault(algorithm["group"], set()).add(name)
        assert algorithm["name"] == described(name).label and algorithm["help"] == described(name).help
        assert algorithm["tags"] and algorithm["url"].endswith(f"bimors_help.html#{name}")
    assert found == GROUPS and shown["icon"]
    assert "Szene" not in shown["page"] and '<h2 id="classify">Classify scene</h2>' in shown["page"]


def test_the_icon_of_the_list_of_plugins_is_that_of_the_toolbox(shown: dict[str, Any]) -> None:
    assert shown["icons"]["size"] == [128, 128] and shown["icons"]["different"] < 0.01


def test_defaults_ranges_and_tips_are_those_of_the_program(shown: dict[str, Any]) -> None:
    compared = 0
    for name, algorithm in shown["algorithms"].items():
        one = described(name)
        assert list(algorithm["parameters"]) == [parameter.name for parameter in one.parameters]
        for parameter in one.parameters:
            about, option = algorithm["parameters"][parameter.name], one.declared(parameter)
            assert about["help"] == one.tip(parameter) and about["advanced"] == parameter.advanced
            # The dialog starts with what is legal.
            assert about["default"] in (None, "") or about["legal"], (name, parameter.name)
            if option is None or parameter.kind in ("file", "field"):
                continue
            default = "" if about["default"] is None else about["default"]
            if parameter.percent:
                default = f"{default:g}%" if default else ""
            assert default == (option.default if option.default is not None else ""), (name, parameter.name)
            if option.minimum is not None and about["range"]:
                assert about["range"][0] == (option.minimum if parameter.minimum is None else parameter.minimum)
                compared += 1
    assert compared > 20


def test_the_dialogs_open_for_one_run_and_for_a_batch(shown: dict[str, Any]) -> None:
    for name, algorithm in shown["algorithms"].items():
        wanted = {one.label for one in described(name).parameters}
        assert wanted - set(algorithm["labels"]) == set(), name
        assert algorithm["columns"] >= len([one for one in described(name).parameters if not one.advanced]), name


def test_unsaved_edits_are_refused_before_the_start(shown: dict[str, Any]) -> None:
    refused = shown["refusals"]
    for name in ("evaluate", "classify", "assess"):
        assert refused["edited"][name].startswith("shown has unsaved edits, which the program cannot read: save them")
        assert "unsaved" not in refused["plain"][name]
    # QGIS exports selected features as the project shows them.
    assert "unsaved" not in refused["edited"]["selected"]


def test_a_filter_is_refused_where_qgis_does_not_apply_it(shown: dict[str, Any]) -> None:
    refused = shown["refusals"]["filtered"]
    for name in ("evaluate", "assess"):
        assert refused[name].startswith("shown has a filter, but the program reads the whole file: remove it")
    assert "filter" not in refused["classify"] and "filter" not in refused["selected"]


def test_the_toolbox_speaks_the_language_of_qgis(in_qgis: InQgis, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "map.gpkg", LABELS)
    german = in_qgis("list_parameters.py", plugins=str(FOLDER.parent), layer=str(layer), language="de")
    classify = german["algorithms"]["classify"]
    assert (classify["name"], classify["group"]) == ("Szene klassifizieren", "Klassifikation")
    assert "Classify scene" in classify["tags"]
    assert classify["parameters"]["TILE_SIZE"]["help"].startswith("Seitenlänge einer Kachel")
    assert "Kachelgröße" in classify["labels"]
    assert '<h2 id="classify">Szene klassifizieren</h2>' in german["page"]
    assert german["refusals"]["edited"]["assess"].startswith("shown hat ungespeicherte Änderungen")
