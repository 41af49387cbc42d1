"""What people see: messages, warnings, progress. All of it on stderr; stdout belongs to data."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from bimors_cli.errors import BimorsError, InputError
from bimors_cli.redact import redact


class _Console(Console):
    """A console that falls silent when nobody reads it any more (`2>&1 | tee log`, and tee is killed), or its disk is
    full.

    No run of hours ends for that; its exit code still tells how it went.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        """Show something, if that can be done."""
        try:
            super().print(*objects, **how)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
        # What is left in Python's buffer would make it complain at the end, and end with 120.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


err: Final = _Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
log: Final = logging.getLogger("bimors")

# Where no terminal shows a bar, a line tells how far it is. A program that draws a bar of its own asks for more lines.
LINE_EVERY_SECONDS: Final = 30.0
LINE_EVERY_VARIABLE: Final = "BIMORS_PROGRESS_EVERY"


class _Level:
    before_command = 0
    verbosity = 0


def set_verbosity(verbose: int, quiet: bool) -> None:
    """Choose what is shown: -1 errors only, 0 messages, 1 details (-v), 2 tracebacks as well (-vv).

    -q and -v count before the command's name and after it.
    """
    quiet = quiet or _Level.before_command < 0
    _Level.verbosity = -1 if quiet else max(verbose, _Level.before_command)
    log.setLevel({-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(_Level.verbosity, logging.DEBUG))
    root = logging.getLogger()
    if not any(isinstance(handler, _Handler) for handler in root.handlers):
        root.addHandler(_Handler())


def set_verbosity_before_command(verbose: int, quiet: bool) -> None:
    """Take -q and -v from before the command's name; BIMORS_DEBUG=1 is -vv."""
    debug = 2 if os.environ.get("BIMORS_DEBUG", "") not in ("", "0") else 0
    _Level.before_command = -1 if quiet else max(verbose, debug)
    set_verbosity(0, False)


def verbosity() -> int:
    """Return the chosen level, see `set_verbosity`."""
    return _Level.verbosity


def say(text: str) -> None:
    """Show a message, unless -q."""
    if _Level.verbosity >= 0:
        err.print(text)


def show_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table, unless -q; the first column to the left, numbers to the right."""
    if _Level.verbosity < 0:
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    # A log has no width, so a table may take what it needs.
    _Console(stderr=True, highlight=False, markup=False, width=None if err.is_terminal else 200).print(table)


def show_error(error: BimorsError) -> None:
    """Show an error: one line, and a line with what to do next."""
    err.print(f"error: {redact(error.message)}", style="bold red")
    if error.hint:
        err.print(f"hint: {redact(error.hint)}")


def show_traceback() -> None:
    """Show the error that is being handled as Python does, without what addresses may hold of secrets."""
    err.print(redact(traceback.format_exc()))


class _Handler(logging.Handler):
    """Shows what bimors logs, and with -v what libraries warn of."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != log.name and _Level.verbosity < 1:
            return
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        err.print(f"{level}{redact(record.getMessage())}")


def line_every() -> float:
    """Return how many seconds lie between two lines of progress. Raises InputError where the variable is no number."""
    text = os.environ.get(LINE_EVERY_VARIABLE) or str(LINE_EVERY_SECONDS)
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{LINE_EVERY_VARIABLE}={text}: not a number of seconds", "set it to 30, or unset it"
        ) from None


class TileProgress:
    """Progress over tiles: a bar on a terminal, a line every 30 s elsewhere, nothing with -q."""

    def __init__(self) -> None:
        self._line_every = line_every()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = self._done = self._before = 0
        self._began = self._told = time.monotonic()

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Start counting: ``total`` tiles, of which ``done`` were finished by an earlier run."""
        self._total, self._done, self._before = total, done, done
        self._began = self._told = time.monotonic()
        if _Level.verbosity >= 0 and err.is_terminal and not err.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("tiles", total=total, completed=done, rate="")

    def advance(self, count: int) -> None:
        """Count finished tiles."""
        self._done += count
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._began, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{rate:.1f} tiles/s")
        elif _Level.verbosity >= 0 and now - self._told >= self._line_every:
            self._told = now
            left = (self._total - self._done) / max(rate, 1e-9)
            err.print(
                f"{self._done:,} of {self._total:,} tiles ({100 * self._done / max(self._total, 1):.0f} %), "
                f"{rate:.1f} tiles/s, about {duration(left)} left"
            )

    def __enter__(self) -> TileProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class PictureProgress:
    """Progress over pictures: a bar on a terminal, a line first and every 30 s elsewhere, nothing with -q."""

    def __init__(self) -> None:
        self._line_every = line_every()
        self._what = ""
        self._total = self._done = 0
        self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err,
            transient=True, disable=_Level.verbosity < 0 or not err.is_terminal or err.is_dumb_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Start counting ``total`` pictures."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(stage, total=total)
        self._what, self._total, self._done, self._told = stage, total, 0, time.monotonic()
        if self._bar.disable:
            say(f"{stage}: {total:,} pictures")

    def advance(self, count: int) -> None:
        """Count pictures."""
        if self._task is not None:
            self._bar.update(self._task, advance=count)
        self._done += count
        now = time.monotonic()
        if self._bar.disable and now - self._told >= self._line_every:
            self._told = now
            share = 100 * self._done / max(self._total, 1)
            say(f"{self._what}: {self._done:,} of {self._total:,} pictures ({share:.0f} %)")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class TrainingProgress(PictureProgress):
    """Progress of finetune: pictures, then a line an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None

    def epoch(self, figures: EpochLine, total: int) -> None:
        """Show an epoch, and how long the others will take."""
        now = time.monotonic()
        seconds = None if self._began is None else now - self._began
        self._began = now
        told = f"epoch {figures.epoch} of {total}: loss {figures.loss:.3f}, right {100 * figures.accuracy:.0f} %"
        if figures.validation_accuracy is not None:
            told += f", on validation {100 * figures.validation_accuracy:.0f} %"
        if seconds is not None and figures.epoch < total:
            told += f", about {duration(seconds * (total - figures.epoch))} left"
        say(told)


class CompareProgress(PictureProgress):
    """Progress of evaluate: pictures, and a line a trial."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._before: int | None = None

    def trial(self, done: int, total: int, message: str) -> None:
        """Show a finished trial, and how long the others will take."""
        if self._before is None:
            self._before = done - 1  # of an earlier run
        left = (time.monotonic() - self._began) / (done - self._before) * (total - done)
        say(f"{done} of {total}: {message}" + (f"; about {duration(left)} left" if done < total else ""))


class EpochLine(Protocol):
    """What of an epoch is shown."""

    @property
    def epoch(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def validation_accuracy(self) -> float | None: ...


def duration(seconds: float) -> str:
    """Say a time as people do: 0.4 s, 42 s, 5 min, 3 h 20 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
