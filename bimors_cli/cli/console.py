"""What people see: messages, warnings, progress. All of it on stderr; stdout belongs to data."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, ClassVar, Final, Protocol, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from bimors_cli.errors import BimorsError, InputError
from bimors_cli.redact import redact


class _Console(Console):
    """A console that stops writing when its reader has ended (`2>&1 | tee log`, and tee is killed) or the disk is full.

    A run of hours must not fail for that; its exit code still tells the result.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        """Write, if standard error can be written."""
        try:
            super().print(*objects, **how)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Write nothing more."""
        self.quiet = True
        # Python would fail to flush its buffer at exit, and end with 120.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


err: Final = _Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
log: Final = logging.getLogger("bimors")

# Without a terminal, progress is a line every so many seconds. Another program sets the variable to get more lines.
SECONDS_PER_LINE: Final = 30.0
SECONDS_PER_LINE_VARIABLE: Final = "BIMORS_PROGRESS_EVERY"


# A warning is repeated at the end of a command when so many lines of progress followed it.
LINES_UNTIL_REPEATED: Final = 5


class _Level:
    before_command = 0
    verbosity = 0


class _Lines:
    """How many lines of progress were shown, in all and before each warning."""

    progress = 0
    before: ClassVar[dict[str, int]] = {}


def set_verbosity(verbose: int, quiet: bool) -> None:
    """Set what is shown: -1 errors only, 0 messages, 1 details (-v), 2 tracebacks as well (-vv).

    -q and -v are accepted before the command's name and after it.
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
    """Return the level, see `set_verbosity`."""
    return _Level.verbosity


def animates() -> bool:
    """Return whether standard error shows bars: not in a file, even if FORCE_COLOR asks for colours there."""
    return err.is_terminal and not err.is_dumb_terminal and err.file.isatty()


def say(text: str) -> None:
    """Show a message, unless -q."""
    if _Level.verbosity >= 0:
        err.print(text)


def say_progress(text: str) -> None:
    """Show a line of progress, unless -q."""
    _Lines.progress += 1
    say(text)


def repeat_warnings(texts: Sequence[str]) -> None:
    """Show warnings again, in one block, that lines of progress have moved out of sight, unless -q."""
    passed = [
        text
        for text in texts
        # A text that was not shown is the number of many, of which only the first was.
        if _Lines.progress - _Lines.before.pop(text, -LINES_UNTIL_REPEATED) >= LINES_UNTIL_REPEATED
    ]
    if passed:
        say("warnings of this run:" if len(passed) > 1 else "warning of this run:")
        for text in passed:
            say(f"  {text}")


def show_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table, unless -q; the first column is left-aligned, the others right-aligned."""
    if _Level.verbosity < 0:
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    # A log file has no width.
    _Console(stderr=True, highlight=False, markup=False, width=None if err.is_terminal else 200).print(table)


def show_error(error: BimorsError) -> None:
    """Show an error: one line, and a hint that says what to do next."""
    err.print(f"error: {redact(error.message)}", style="bold red")
    if error.hint:
        err.print(f"hint: {redact(error.hint)}")


def show_traceback() -> None:
    """Show the traceback of the current error, without credentials in URLs."""
    err.print(redact(traceback.format_exc()))


class _Handler(logging.Handler):
    """Shows log records of bimors, and with -v those of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != log.name and _Level.verbosity < 1:
            return
        if record.levelno == logging.WARNING:
            _Lines.before[record.getMessage()] = _Lines.progress
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        err.print(f"{level}{redact(record.getMessage())}")


def seconds_per_line(default: float = SECONDS_PER_LINE) -> float:
    """Return the seconds between two lines of progress. Raises InputError if the variable is not a number."""
    text = os.environ.get(SECONDS_PER_LINE_VARIABLE) or str(default)
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{SECONDS_PER_LINE_VARIABLE}={text}: not a number of seconds", "set it to 30, or unset it"
        ) from None


class WorkClock:
    """A clock that stands still during steps such as the loading of a model: they have no share in a rate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps = 0
        self._stopped_at = self._stopped_for = 0.0

    def __call__(self) -> float:
        """Return the seconds of work since some moment."""
        with self._lock:
            return (self._stopped_at if self._steps else time.monotonic()) - self._stopped_for

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the clock; steps may overlap, in several threads."""
        with self._lock:
            if not self._steps:
                self._stopped_at = time.monotonic()
            self._steps += 1
        try:
            yield
        finally:
            with self._lock:
                self._steps -= 1
                if not self._steps:
                    self._stopped_for += time.monotonic() - self._stopped_at


# Of all progress: whatever step is shown, the tiles wait for it.
work_clock: Final = WorkClock()


class RunProgress:
    """Progress of a run: a bar on a terminal, a line every 30 s elsewhere, nothing with -q.

    The stage without a name counts tiles, and shows their rate; other stages count images. The rate, and the time left
    that follows from it, start with the first tiles that finish, and leave out the steps of `work_clock`: what loads
    before or between the tiles says nothing of their rate. ``shown`` is the progress whose bar is on the terminal now.
    """

    shown: ClassVar[RunProgress | None] = None

    def __init__(self) -> None:
        self._seconds_per_line = seconds_per_line()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._total = self._done = 0
        self._first: tuple[int, float] | None = None
        self._last_line = time.monotonic()

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Start a stage of ``total`` items, of which an earlier run finished ``done``."""
        self._stage, self._total, self._done, self._first = stage, total, done, None
        self._last_line = time.monotonic()
        if animates():
            self._show_bar()
        elif stage:
            say_progress(f"{stage}: {total:,} images")

    def advance(self, count: int) -> None:
        """Count finished items."""
        self._done += count
        now = time.monotonic()
        rate = self._rate()
        if self._bar is not None and self._task is not None:
            shown = "" if self._stage or rate is None else f"{rate:.1f} tiles/s"
            self._bar.update(self._task, completed=self._done, rate=shown)
        elif now - self._last_line >= self._seconds_per_line:
            self._last_line = now
            say_progress(self._line(rate))

    def _rate(self) -> float | None:
        """Return the items per second since the first ones were finished; None until others are."""
        now = work_clock()
        if self._first is None:
            self._first = self._done, now
            return None
        count, since = self._first
        return (self._done - count) / max(now - since, 1e-9)

    def _line(self, rate: float | None) -> str:
        done = f"{self._done:,} of {self._total:,}"
        percent = f"{100 * self._done / max(self._total, 1):.0f} %"
        if self._stage:
            return f"{self._stage}: {done} images ({percent})"
        if rate is None:
            return f"{done} tiles ({percent})"
        left = (self._total - self._done) / max(rate, 1e-9)
        return f"{done} tiles ({percent}), {rate:.1f} tiles/s, about {duration(left)} left"

    def _show_bar(self) -> None:
        if _Level.verbosity < 0:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=err,
                transient=True,
                get_time=work_clock,
            )
            self._bar.start()
            RunProgress.shown = self
        if self._task is not None:
            self._bar.remove_task(self._task)
        name = self._stage or "tiles"
        self._task = self._bar.add_task(name, total=self._total, completed=self._done, rate="")

    @contextmanager
    def described(self, text: str) -> Iterator[None]:
        """Show what is done at the bar, in place of the name of the stage."""
        bar, task = self._bar, self._task
        if bar is None or task is None:
            raise RuntimeError("no bar is shown")
        before = bar.tasks[-1].description
        bar.update(task, description=f"{text}...")
        try:
            yield
        finally:
            if task in bar.task_ids:
                bar.update(task, description=before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            RunProgress.shown = None
            self._bar.stop()


class TrainingProgress(RunProgress):
    """Progress of finetune: images, then a line per epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch_started: float | None = None

    def epoch(self, figures: EpochLine, total: int) -> None:
        """Show an epoch, and the time that is left."""
        now = time.monotonic()
        seconds = None if self._epoch_started is None else now - self._epoch_started
        self._epoch_started = now
        line = f"epoch {figures.epoch} of {total}: loss {figures.loss:.3f}, accuracy {100 * figures.accuracy:.0f} %"
        if figures.validation_accuracy is not None:
            line += f", on validation {100 * figures.validation_accuracy:.0f} %"
        if seconds is not None and figures.epoch < total:
            line += f", about {duration(seconds * (total - figures.epoch))} left"
        say_progress(line)


class EvaluationProgress(RunProgress):
    """Progress of evaluate: images, and a line per trial."""

    def __init__(self) -> None:
        super().__init__()
        self._trials_started = time.monotonic()
        self._resumed_trials: int | None = None

    def trial(self, done: int, total: int, message: str) -> None:
        """Show a finished trial, and the time that is left."""
        if self._resumed_trials is None:
            self._resumed_trials = done - 1
        left = (time.monotonic() - self._trials_started) / (done - self._resumed_trials) * (total - done)
        say_progress(f"{done} of {total}: {message}" + (f"; about {duration(left)} left" if done < total else ""))


class EpochLine(Protocol):
    """The figures of an epoch that are shown."""

    @property
    def epoch(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def validation_accuracy(self) -> float | None: ...


def duration(seconds: float) -> str:
    """Format a time: 0.4 s, 42 s, 5 min, 3 h 20 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
