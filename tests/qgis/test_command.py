"""What the plugin runs and reads, held to the program; without QGIS."""

from __future__ import annotations

import configparser
import io
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from bimors_cli.cli import console
from bimors_cli.cli.main import app
from bimors_cli.version import __version__
from tests.qgis.plugin import EXAMPLES, FOLDER, part

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
        captions=False, adapter="coast", extra="--top-k 3 --layer 'my tiles'",
    )  # fmt: skip
    found = parsed(arguments)
    assert (found["scenes"], found["labels"], found["output"]) == (["scene.tif"], "labels.txt", output)
    assert (found["tile_size"], found["overlap"], found["aoi"]) == ("500m", "25%", "area.gpkg:a b")
    assert (found["min_confidence"], found["no_captions"], found["adapter"]) == (0.6, True, "coast")
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
        "scene.tif", "train.gpkg:fields", "class", "adapters/coast", **ALL, shots=0, epochs=3, min_overlap=0.4,
        background="other", head="coop", overwrite=True, extra="--seed 7",
    )  # fmt: skip
    found = parsed(arguments)
    assert (found["sources"], found["polygons"], found["field"]) == (["scene.tif"], "train.gpkg:fields", "class")
    assert (found["output"], found["shots"], found["epochs"], found["seed"]) == ("adapters/coast", 0, 3, 7)
    assert (found["min_overlap"], found["background"], found["head"]) == (0.4, "other", "coop")
    assert (found["overwrite"], found["resume"]) == (True, False)
    assert parsed(command.finetune("s.tif", "t.gpkg", "class", "coast", resume=True, overwrite=True))["resume"]


def test_evaluate_is_understood() -> None:
    found = parsed(command.evaluate("out.gpkg", "tiles", "truth.gpkg", "", "class", "check", min_overlap=0.7))
    assert (found["sources"], found["layer"], found["reference"], found["field"]) == (
        ["out.gpkg"], "tiles", "truth.gpkg", "class",
    )  # fmt: skip
    assert (found["output"], found["min_overlap"], found["json"], found["overwrite"]) == ("check", 0.7, True, True)
    assert "reference_layer" not in found


def test_nothing_of_qgiss_python_reaches_the_program() -> None:
    inherited = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "BIMORS_HOME": "/models"}
    of_qgis = dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "PROJ_LIB", "FORCE_COLOR"), "/qgis")
    found = command.environment({**inherited, **of_qgis})
    assert inherited.items() <= found.items() and not of_qgis.keys() & found.keys()
    assert found["BIMORS_PROGRESS_EVERY"] == "1"


@pytest.mark.skipif(os.name == "nt", reason="another name and no permission bits")
def test_the_program_is_found_by_its_file_its_folder_or_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "env" / "bin" / "bimors"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    for chosen in (program, program.parent, tmp_path / "env"):
        assert command.find_program(f" {chosen} ") == str(program)
    monkeypatch.setenv("PATH", str(program.parent))
    assert command.find_program("") == str(program)
    program.chmod(0o644)
    with pytest.raises(command.ProgramError, match=r"was not found at .*Set its path in Settings"):
        command.find_program(str(program))
    with pytest.raises(command.ProgramError, match=r"not found on the PATH.*set its path in Settings"):
        command.find_program("")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the program shows where there is no terminal, a line for every step."""
    text = io.StringIO()
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    monkeypatch.setattr(console, "err", Console(file=text, highlight=False, soft_wrap=True, markup=False))
    monkeypatch.setattr(console._Level, "verbosity", 0)
    return text


def percents(told: io.StringIO) -> list[float]:
    found = [command.percent(line) for line in told.getvalue().splitlines()]
    return [share for share in found if share is not None]


def test_progress_over_tiles_is_read(told: io.StringIO) -> None:
    with console.RunProgress() as progress:
        progress.begin(8_000, 2_000)
        progress.advance(2_000)
        progress.advance(4_000)
    assert percents(told) == [50, 100]


def test_progress_of_finetune_is_read_and_only_grows(told: io.StringIO) -> None:
    class Epoch:
        loss, accuracy, validation_accuracy = 0.5, 0.9, None

        def __init__(self, number: int) -> None:
            self.epoch = number

    with console.TrainingProgress() as progress:
        for stage in ("encoding", "random crops"):
            progress.begin(4, stage=stage)
            progress.advance(2)
            progress.advance(2)
        progress.epoch(Epoch(1), 2)
        progress.epoch(Epoch(2), 2)
        progress.begin(2, stage="test images")
        progress.advance(2)
    assert percents(told) == [20, 40, 50, 60, 75, 90, 100]


@pytest.mark.parametrize(
    "line", ["20 of 20 tiles labelled", "  pond   12  60.0 %", "encoding: 24 images", "3 of 4 tiles have a truth"]
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert command.percent(line) is None


def test_the_stages_are_those_that_finetune_names() -> None:
    source = (EXAMPLES.parent / "bimors_cli" / "training" / "run.py").read_text()
    stages = re.findall(r'progress\.begin\(.*stage="([^"]+)"', source)
    assert stages and all(command.percent(f"{stage}: 1 of 2 images (50 %)") is not None for stage in stages)


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
    assert all(re.fullmatch(r"bimors/[\w.]+", name) for name in names)
    assert about["general"]["version"] == __version__
    assert about["general"]["hasProcessingProvider"] == "yes"
    # What QGIS and its list of plugins ask for.
    assert {"name", "description", "about", "qgisminimumversion", "author", "email"} <= set(about["general"])
