"""Lines of progress where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bimors_cli.cli import console
from bimors_cli.cli.shown_steps import shown_step
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
    assert first == "1,000 of 2,000 tiles (50 %)"
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


class Hours:
    """Time that passes when a test says so."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    monkeypatch.setattr(console, "time", hours)
    return hours


def test_the_rate_starts_with_the_first_tiles(told: io.StringIO, hours: Hours) -> None:
    with console.RunProgress() as progress:
        progress.begin(1_000, 200)
        hours.now += 500  # other processes load the model
        progress.advance(100)
        hours.now += 10
        progress.advance(200)
    assert told.getvalue().splitlines() == [
        "300 of 1,000 tiles (30 %)",
        "500 of 1,000 tiles (50 %), 20.0 tiles/s, about 25 s left",
    ]


def test_what_loads_between_tiles_has_no_share_in_their_rate(told: io.StringIO, hours: Hours) -> None:
    with console.RunProgress() as progress:
        progress.begin(1_000)
        progress.advance(100)
        with console.work_clock.stopped(), console.work_clock.stopped():
            hours.now += 300
        hours.now += 10
        progress.advance(200)
    assert told.getvalue().splitlines()[1] == "300 of 1,000 tiles (30 %), 20.0 tiles/s, about 35 s left"


def test_the_time_left_at_a_bar_leaves_out_steps(hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=text, force_terminal=True, width=100))
    monkeypatch.setattr(console, "animates", lambda: True)
    monkeypatch.setattr(console._Level, "verbosity", 0)
    with console.RunProgress() as progress:
        progress.begin(1_000)
        hours.now += 500
        progress.advance(100)
        with shown_step("loading the captioner"):
            hours.now += 300
            assert progress._bar is not None and progress._bar.tasks[0].description == "loading the captioner..."
        hours.now += 10
        progress.advance(200)
        assert progress._bar.tasks[0].time_remaining == 35 and progress._bar.tasks[0].fields["rate"] == "20.0 tiles/s"
