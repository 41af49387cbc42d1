"""What the plugin runs and reads, held to the program; without QGIS."""

from __future__ import annotations

import configparser
import inspect
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from bimors_cli.cli.main import app
from bimors_cli.options.classify import HEADS as CLASSIFY_HEADS
from bimors_cli.options.classify import REFINEMENTS
from bimors_cli.options.heads import AUTO, HEADS
from bimors_cli.options.sample import DESIGNS
from bimors_cli.options.views import VIEWS
from bimors_cli.version import __version__
from tests.qgis.plugin import FOLDER, part

command = part("command")
ALL = {"tile_size": "500m", "model": "mini", "bands": "4,3,2", "stretch": "p2,p98", "device": "cpu"}


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What the program makes of arguments."""
    group: Any = typer.main.get_command(app)
    context = group.commands[arguments[0]].make_context(arguments[0], arguments[1:])
    return {name: value for name, value in context.params.items() if value is not None}


def test_classify_is_understood(tmp_path: Path) -> None:
    output = str(tmp_path / "out.gpkg")
    arguments = command.classify(
        "scene.tif", "labels.txt", output, **ALL, overlap="25%", aoi="area.gpkg:a b", min_confidence=0.6,
        captions=False, adapter="coast", vote=True, refine="spatial", head="auto",
        keep_features=True, probabilities=True, extra="--top-k 3 --layer 'my tiles'",
    )  # fmt: skip
    found = parsed(arguments)
    assert (found["scenes"], found["labels"], found["output"]) == (["scene.tif"], "labels.txt", output)
    assert (found["tile_size"], found["overlap"], found["aoi"]) == ("500m", "25%", "area.gpkg:a b")
    assert (found["min_confidence"], found["no_captions"], found["adapter"]) == (0.6, True, "coast")
    assert (found["vote"], found["refine"], found["head"]) == (True, "spatial", "auto")
    assert found["keep_features"] and found["probabilities"]
    assert (found["bidx"], found["stretch"], found["device"]) == (["4,3,2"], "p2,p98", "cpu")
    assert (found["top_k"], found["layer"], found["overwrite"], found["resume"]) == (3, "my tiles", False, False)


def test_what_is_left_empty_is_left_to_the_program(tmp_path: Path) -> None:
    arguments = command.classify("scene.tif", "labels.txt", str(tmp_path / "out.gpkg"), tile_size=" ")
    assert arguments == ["classify", "scene.tif", "--labels", "labels.txt", "--output", str(tmp_path / "out.gpkg")]


def test_an_output_that_is_there_is_replaced_but_not_an_unfinished_run(tmp_path: Path) -> None:
    output = tmp_path / "out.gpkg"
    assert "--overwrite" not in command.classify("scene.tif", "labels.txt", str(output))
    output.touch()
    assert "--overwrite" in command.classify("scene.tif", "labels.txt", str(output))
    found = parsed(command.classify("scene.tif", "labels.txt", str(output), resume=True))
    assert (found["overwrite"], found["resume"]) == (False, True)


def test_a_stretch_may_begin_with_a_dash(tmp_path: Path) -> None:
    assert parsed(command.classify("a.tif", "l.txt", str(tmp_path / "o.gpkg"), stretch="-20,5"))["stretch"] == "-20,5"


def test_finetune_is_understood() -> None:
    arguments = command.finetune(
        "scene.tif", "adapters/coast", polygons="train.gpkg:fields", field="class", **ALL, shots="0", epochs="3",
        min_overlap="0.4", background="other", head="auto", views="bands,image", overwrite=True, extra="--seed 7",
    )  # fmt: skip
    found = parsed(arguments)
    assert (found["sources"], found["polygons"], found["field"]) == (["scene.tif"], "train.gpkg:fields", "class")
    assert (found["output"], found["shots"], found["epochs"], found["seed"]) == ("adapters/coast", 0, 3, 7)
    assert (found["min_overlap"], found["background"]) == (0.4, "other")
    assert (found["head"], found["views"]) == ("auto", "bands,image")
    assert (found["overwrite"], found["resume"]) == (True, False)
    assert parsed(command.finetune("out.gpkg", "coast", resume=True, overwrite=True))["resume"]
    corrected = command.finetune("scene.tif", "coast", corrected=["a.gpkg", "b.gpkg"])
    assert corrected == ["finetune", "scene.tif", "--output", "coast", "--corrected=a.gpkg", "--corrected=b.gpkg"]


def test_evaluate_is_understood() -> None:
    found = parsed(command.evaluate("out.gpkg", "tiles", "truth.gpkg", "", "class", "check", min_overlap="0.7"))
    assert (found["sources"], found["layer"], found["reference"], found["field"]) == (
        ["out.gpkg"], "tiles", "truth.gpkg", "class",
    )  # fmt: skip
    assert (found["output"], found["min_overlap"], found["json"], found["overwrite"]) == ("check", 0.7, True, True)
    assert "reference_layer" not in found


def test_sample_is_understood() -> None:
    arguments = command.sample(
        "out.gpkg", "tiles", "sample.gpkg", design="random", tiles="300", least="1", expect="0.7", min_distance="25.5",
        exclude="train.gpkg:a", seed="3", show_label=True, overwrite=True, extra="--size 'bare land=80'",
    )  # fmt: skip
    found = parsed(arguments)
    assert (str(found["file"]), found["layer"], str(found["output"])) == ("out.gpkg", "tiles", "sample.gpkg")
    assert (found["design"], found["tiles"], found["least"], found["expect"]) == ("random", 300, 1, ["0.7"])
    assert (found["min_distance"], found["exclude"], found["seed"]) == (25.5, "train.gpkg:a", 3)
    assert (found["show_label"], found["overwrite"], found["size"]) == (True, True, ["bare land=80"])
    assert {"target_se", "per_class"}.isdisjoint(found) and found["by"] == "label"
    assert parsed(command.sample("out.gpkg", "", "s.gpkg", by="crop", per_class="50"))["per_class"] == 50


def test_assess_is_understood() -> None:
    found = parsed(command.assess("sample.gpkg", output="areas"))
    assert (found["sources"], found["output"], found["json"], found["overwrite"]) == (
        ["sample.gpkg"], "areas", True, True,
    )  # fmt: skip
    assert command.assess("sample.gpkg") == ["evaluate", "sample.gpkg", "--json"]


def test_suggest_and_change_are_written_as_documented(tmp_path: Path) -> None:
    arguments = command.suggest(
        "out.gpkg", "tiles", "s.gpkg", tiles="20", min_distance="100.0", examples="train.gpkg:a", exclude="sample.gpkg",
        seed="2", overwrite=True,
    )  # fmt: skip
    assert arguments == [
        "suggest", "out.gpkg", "--output", "s.gpkg", "--layer=tiles", "--tiles=20", "--min-distance=100.0",
        "--examples=train.gpkg:a", "--exclude=sample.gpkg", "--seed=2", "--overwrite",
    ]  # fmt: skip
    output, matrix = tmp_path / "change.gpkg", tmp_path / "matrix.csv"
    given = {"layer_before": "tiles", "layer_after": "new", "max_false": "5%", "matrix": str(matrix)}
    arguments = command.change("a.gpkg", "b.gpkg", str(output), **given)
    assert arguments == [
        "change", "a.gpkg", "b.gpkg", "--output", str(output), "--layer-before=tiles", "--layer-after=new",
        "--max-false=5%", f"--matrix={matrix}",
    ]  # fmt: skip
    for existing in (output, matrix):
        existing.touch()
        assert command.change("a.gpkg", "b.gpkg", str(output), **given) == [*arguments, "--overwrite"]
        existing.unlink()


# The functions that write command lines.
WRITERS = [
    name
    for name, function in inspect.getmembers(command, inspect.isfunction)
    if function.__module__ == command.__name__ and not name.startswith("_") and "extra" in get_type_hints(function)
]


def every_option(name: str) -> list[str]:
    """The words of the command lines with all parameters set: with and without resume, which excludes overwrite."""
    function = getattr(command, name)
    kinds = {parameter: get_type_hints(function)[parameter] for parameter in inspect.signature(function).parameters}
    values = {parameter: {str: "1", bool: True, float: 1.0}.get(kind) for parameter, kind in kinds.items()}
    values |= {"extra": "", **({"corrected": ["1"]} if "corrected" in values else {})}
    flags = [name for name in ("resume", "captions") if name in values]
    return [*function(**values), *function(**values | dict.fromkeys(flags, False))]


def test_all_writers_are_found() -> None:
    assert sorted(WRITERS) == ["assess", "change", "classify", "evaluate", "finetune", "sample", "suggest"]


@pytest.mark.parametrize("name", WRITERS)
def test_every_option_that_the_plugin_uses_is_one_of_the_program(name: str) -> None:
    group: Any = typer.main.get_command(app)
    called, *arguments = every_option(name)
    used = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    assert "--output" in used
    known = {flag for parameter in group.commands[called].params for flag in parameter.opts}
    assert used <= known, used - known


def test_the_values_that_the_plugin_offers_are_those_of_the_program() -> None:
    assert list(CLASSIFY_HEADS) == command.CLASSIFY_HEADS
    assert list(REFINEMENTS) == command.REFINEMENTS
    assert command.FINETUNE_HEADS[0] == AUTO and sorted(command.FINETUNE_HEADS[1:]) == sorted(HEADS)
    assert list(VIEWS) == command.VIEWS
    assert list(DESIGNS) == command.DESIGNS


def test_the_zip_holds_the_plugin_as_qgis_wants_it(tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER.parent))
    try:
        from pack import pack  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(FOLDER.parent))
    pack(tmp_path / "dist" / "bimors.zip")
    with zipfile.ZipFile(tmp_path / "dist" / "bimors.zip") as archive:
        names = archive.namelist()
        about = configparser.ConfigParser()
        about.read_string(archive.read("bimors/metadata.txt").decode())
    assert {"bimors/__init__.py", "bimors/metadata.txt", "bimors/LICENSE", "bimors/classify.py"} <= set(names)
    assert f"bimors/{about['general']['icon']}" in names
    assert all(re.fullmatch(r"bimors/[\w.]+", name) for name in names)
    assert about["general"]["version"] == __version__
    assert about["general"]["hasProcessingProvider"] == "yes"
    # What QGIS and its list of plugins ask for.
    assert {"name", "description", "about", "qgisminimumversion", "author", "email"} <= set(about["general"])
