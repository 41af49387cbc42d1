"""What the dialogs of the plugin show in the real QGIS, held to the options of the program."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from bimors_cli.cli.main import app
from tests.evaluation.accuracy.map_files import LABELS, write_layer
from tests.qgis.conftest import InQgis
from tests.qgis.plugin import FOLDER

pytestmark = pytest.mark.qgis

# The command of an algorithm whose name differs.
COMMANDS = {"assess": "evaluate", "finetunecorrected": "finetune"}
# What an option is called where the name of the parameter differs.
OPTIONS = {"BANDS": "bidx"}
# Defaults that differ on purpose, or that are written in another way.
OTHER_DEFAULTS = {("classify", "CAPTIONS"), ("change", "MAX_FALSE")}
GROUPS = {
    "Classification": {"classify", "change"},
    "Training": {"finetune", "finetunecorrected", "suggest"},
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
        assert algorithm["help"] and algorithm["tags"]
    assert found == GROUPS and shown["icon"]


def test_the_defaults_are_those_of_the_program(shown: dict[str, Any]) -> None:
    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    compared = 0
    for name, algorithm in shown["algorithms"].items():
        command = commands.get(COMMANDS.get(name, name))
        options = {} if command is None else {parameter.name: parameter.default for parameter in command.params}
        for parameter, about in algorithm["parameters"].items():
            option = OPTIONS.get(parameter, parameter.lower())
            if option in options and about["default"] not in (None, "") and (name, parameter) not in OTHER_DEFAULTS:
                assert str(options[option]) == str(about["default"]), (name, parameter)
                compared += 1
    assert compared > 30


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
