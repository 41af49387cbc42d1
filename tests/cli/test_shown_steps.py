"""What is shown while libraries and models are loaded: on a terminal, in a log, with -q."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli import console, shown_steps
from bimors_cli.cli.main import app
from bimors_cli.cli.shown_steps import shown_step
from bimors_cli.errors import InputError
from bimors_cli.steps import LIBRARIES, show_steps, step
from tests.conftest import MakeRaster

MakeConsole = Callable[..., io.StringIO]


class Terminal(io.StringIO):
    """A terminal, as far as it says."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> MakeConsole:
    def make(terminal: bool) -> io.StringIO:
        text = Terminal() if terminal else io.StringIO()
        shown = Console(file=text, highlight=False, markup=False, force_terminal=terminal, width=100)
        monkeypatch.setattr(console, "err", shown)
        monkeypatch.setattr(console._Level, "verbosity", 0)
        return text

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return make


def test_in_a_log_only_what_takes_long_has_a_line(shown: MakeConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(terminal=False)
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0.05")
    with shown_step("a short step"):
        pass
    with shown_step("loading [the model] mini"):
        time.sleep(0.5)
        assert text.getvalue() == "loading [the model] mini...\n"  # while it lasts
    time.sleep(0.1)
    assert text.getvalue() == "loading [the model] mini...\n"


def test_a_terminal_shows_the_innermost_step_and_clears_the_line(shown: MakeConsole) -> None:
    text = shown(terminal=True)
    with shown_step("opening [the] scenes"), shown_step("verifying the files"):
        time.sleep(0.2)
    with pytest.raises(ValueError, match="damaged"), shown_step("loading"):
        raise ValueError("damaged")
    written = text.getvalue()
    assert "opening [the] scenes..." in written and "verifying the files..." in written
    assert written.endswith(("\x1b[2K", "\x1b[?25h\r\x1b[1A\x1b[2K")) and shown_steps._Animation.status is None


def test_force_color_puts_no_animation_into_a_log(shown: MakeConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(terminal=False)
    monkeypatch.setattr(console, "err", Console(file=text, highlight=False, force_terminal=True, width=100))
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0.05")
    with console.RunProgress() as progress, shown_step("loading"):
        progress.begin(20)
        time.sleep(0.3)
        progress.advance(20)
    assert text.getvalue().splitlines()[0] == "loading..." and "\x1b[?25l" not in text.getvalue()


def test_a_bar_shows_the_step_in_place_of_its_name(shown: MakeConsole) -> None:
    text = shown(terminal=True)
    with console.RunProgress() as progress:
        progress.begin(20)
        with shown_step("loading the model mini"):
            time.sleep(0.2)
        assert console.RunProgress.shown is progress and progress._bar is not None
        assert [task.description for task in progress._bar.tasks] == ["tiles"]
    assert "loading the model mini..." in text.getvalue() and console.RunProgress.shown is None


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(shown: MakeConsole, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    text = shown(terminal=terminal)
    monkeypatch.setattr(console._Level, "verbosity", -1)
    monkeypatch.setenv("BIMORS_PROGRESS_EVERY", "0")
    with shown_step("loading"):
        time.sleep(0.2)
    assert text.getvalue() == ""


@pytest.fixture
def until_the_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The steps of a command, which ends when the model is loaded."""
    steps: list[str] = []

    @contextmanager
    def note(text: str) -> Iterator[None]:
        steps.append(text)
        if text.startswith("loading the model "):
            raise InputError("here the model is loaded")
        yield

    monkeypatch.setattr("bimors_cli.cli.main.shown_step", note)
    yield steps
    show_steps(shown_step)


@pytest.mark.parametrize(
    "command",
    [
        "classify {scene} -l {labels} -o out.gpkg",
        "classify {scene} -l {labels} -o -",
        "classify {scene} -l {labels} --dry-run",
        "caption {scene} -o captions.gpkg",
        "finetune {folder} -o adapter",
        "finetune {folder} -o adapter --head linear",
        "bench",
    ],
)
def test_loading_is_said_before_it_happens(
    command: str, until_the_model: list[str], make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    for name in ("forest", "river"):
        for number in range(3):
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    words = command.format(scene=scene, labels="labels.txt", folder="images").split()
    result = CliRunner().invoke(app, [*words, "--model", str(tiny_bundle.folder)])
    assert result.exit_code == 2 and "error: here the model is loaded" in result.output
    assert [text for text in until_the_model if text.startswith("loading")] == [LIBRARIES, "loading the model tiny"]


def test_in_python_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    from contextlib import nullcontext

    show_steps(nullcontext)
    with step("loading"):
        pass
    assert capfd.readouterr() == ("", "")
    show_steps(shown_step)
