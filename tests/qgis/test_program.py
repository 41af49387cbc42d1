"""How the plugin finds the program, starts it, and reads its progress; without QGIS."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from bimors_cli.cli import console
from tests.qgis.plugin import EXAMPLES, part

program = part("program")


def test_nothing_of_qgiss_python_reaches_the_program() -> None:
    inherited = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "BIMORS_HOME": "/models"}
    of_qgis = dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "GDAL_DATA", "PROJ_LIB", "FORCE_COLOR"), "/qgis")
    found = program.environment({**inherited, **of_qgis})
    assert inherited.items() <= found.items() and not of_qgis.keys() & found.keys()
    assert found["BIMORS_PROGRESS_EVERY"] == "1"


@pytest.mark.skipif(os.name == "nt", reason="another name and no permission bits")
def test_the_program_is_found_by_its_file_its_folder_or_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "env" / "bin" / "bimors"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o755)
    for chosen in (file, file.parent, tmp_path / "env"):
        assert program.find_program(f" {chosen} ") == str(file)
    monkeypatch.setenv("PATH", str(file.parent))
    assert program.find_program("") == str(file)
    file.chmod(0o644)
    with pytest.raises(program.ProgramError, match=r"was not found at .*Set its path in Settings"):
        program.find_program(str(file))
    with pytest.raises(program.ProgramError, match=r"not found on the PATH.*set its path in Settings"):
        program.find_program("")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the program shows where there is no terminal, a line for every step."""
    text = io.StringIO()
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    monkeypatch.setattr(console, "err", Console(file=text, highlight=False, soft_wrap=True, markup=False))
    monkeypatch.setattr(console._Level, "verbosity", 0)
    return text


def percents(told: io.StringIO) -> list[float]:
    found = [program.percent(line) for line in told.getvalue().splitlines()]
    return [share for share in found if share is not None]


def test_progress_over_tiles_is_read(told: io.StringIO) -> None:
    with console.RunProgress() as progress:
        progress.begin(8_000, 2_000)
        progress.advance(2_000)
        progress.advance(4_000)
    assert percents(told) == [50, 100]


def test_progress_of_the_heads_that_are_chosen_is_read_and_only_grows(told: io.StringIO) -> None:
    with console.TrainingProgress() as progress:
        for stage in ("examples", "captions", "training of prompts", "test images"):
            progress.begin(4, stage=stage)
            progress.advance(2)
            progress.advance(2)
    assert percents(told) == [20, 40, 50, 60, 75, 90, 95, 100]


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
    assert program.percent(line) is None


def test_the_stages_are_those_that_finetune_names() -> None:
    sources = "".join(file.read_text() for file in (EXAMPLES.parent / "bimors_cli" / "training").rglob("*.py"))
    stages = re.findall(r'progress\.begin\(.*stage="([^"]+)"', sources)
    assert {"examples", "encoding", "training of prompts", "test images"} <= set(stages)
    assert all(program.percent(f"{stage}: 1 of 2 images (50 %)") is not None for stage in stages)
