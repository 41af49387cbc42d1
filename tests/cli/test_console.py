"""Lines of progress where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bimors_cli.cli import console
from bimors_cli.errors import InputError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.delenv(console.SECONDS_PER_LINE_VARIABLE, raising=False)
    monkeypatch.setattr(console, "err", Console(file=text, highlight=False, soft_wrap=True, markup=False))
    monkeypatch.setattr(console._Level, "verbosity", 0)
    return text


def count() -> None:
    with console.RunProgress() as tiles, console.TrainingProgress() as images:
        tiles.begin(2_000, 500)
        tiles.advance(500)
        images.begin(4, stage="captioning")
        images.advance(1)


def test_a_short_run_needs_no_lines(told: io.StringIO) -> None:
    count()
    assert told.getvalue() == "captioning: 4 images\n"


def test_a_program_may_ask_for_more_lines(told: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    count()
    first, *others = told.getvalue().splitlines()
    assert first.startswith("1,000 of 2,000 tiles (50 %), ")
    assert others == ["captioning: 4 images", "captioning: 1 of 4 images (25 %)"]


def test_quiet_means_no_lines_at_all(told: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    monkeypatch.setattr(console._Level, "verbosity", -1)
    count()
    assert told.getvalue() == ""


@pytest.mark.parametrize("progress", [console.RunProgress, console.TrainingProgress, console.EvaluationProgress])
def test_what_is_no_number_is_refused(progress: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "often")
    with pytest.raises(InputError, match="BIMORS_PROGRESS_EVERY=often: not a number of seconds"):
        progress()
