"""How steps of a run are shown: an animation on a terminal, a line elsewhere if they take long, nothing with -q."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text

from bimors_cli.cli import console

if TYPE_CHECKING:
    from rich.status import Status

# Without a terminal, a step that is done within this time has no line. If another program asks for lines more or less
# often (`console.SECONDS_PER_LINE_VARIABLE`), its time counts.
SECONDS_UNTIL_LINE: Final = 1.0


class _Animation:
    """The animation on a terminal, and the steps inside each other that it shows: there can be only one."""

    steps: ClassVar[list[str]] = []
    status: ClassVar[Status | None] = None

    @classmethod
    def show(cls) -> None:
        """Show the innermost step; stop if there is none."""
        if not cls.steps:
            if cls.status is not None:
                cls.status.stop()
            cls.status = None
            return
        text = Text(f"{cls.steps[-1]}...")
        if cls.status is None:
            # Dots are Braille, which other encodings lack.
            spinner = "dots" if console.err.encoding.lower().startswith("utf") else "line"
            cls.status = console.err.status(text, spinner=spinner)
            cls.status.start()
        else:
            cls.status.update(text)


@contextmanager
def shown_step(text: str) -> Iterator[None]:
    """Show a step as long as the context lasts; its time has no share in the rate of tiles."""
    with console.work_clock.stopped(), _shown(text):
        yield


@contextmanager
def _shown(text: str) -> Iterator[None]:
    if console.verbosity() < 0:
        yield
        return
    bar = console.RunProgress.shown
    if bar is not None:
        with bar.described(text):
            yield
    elif console.animates():
        _Animation.steps.append(text)
        _Animation.show()
        try:
            yield
        finally:
            _Animation.steps.pop()
            _Animation.show()
    else:
        timer = threading.Timer(console.seconds_per_line(SECONDS_UNTIL_LINE), console.say_progress, [f"{text}..."])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
