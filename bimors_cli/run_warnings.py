"""Warnings of a run: shown at once, and kept for its layer, its summary and its JSON.

    @keeps_warnings
    def run(options: Options) -> Summary:
        warn("%s: ...; use ...", scene)
        return Summary(warnings=warnings_so_far())

Every warning of the package goes through `warn`. A text that the run has already kept is not shown again. The run is
that of the context (PEP 567), so that runs in several threads of one program keep their own; a thread that a run starts
calls a function that was `bound`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from bimors_cli.redact import redact

P = ParamSpec("P")
R = TypeVar("R")

log: Final = logging.getLogger("bimors")
_SUCH_AS: Final = ", such as "


class KeptWarnings:
    """The texts that a run warned of, each once, in order. Threads may share it."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._others: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, text: str, kind: str | None = None) -> bool:
        """Keep a text, or count it if there is one of its kind; tell whether it is to be shown."""
        key = text if kind is None else kind
        with self._lock:
            is_new = key not in self._first and text not in self._first.values()
            first = self._first.setdefault(key, text)
            others = self._others.setdefault(key, set())
            if text != first:
                others.add(text)
        return is_new

    def texts(self) -> tuple[str, ...]:
        """Return all texts so far, one a kind: ``12 images are skipped, such as a.png: ...``.

        A resumed run warns again of what it had warned of before, as texts without a kind: they are not repeated.
        """
        with self._lock:
            texts = dict.fromkeys(
                f"{len(self._others[kind]) + 1:,} {kind}{_SUCH_AS}{text}" if self._others[kind] else text
                for kind, text in self._first.items()
            )
        return tuple(text for text in texts if not any(other.endswith(_SUCH_AS + text) for other in texts))


_run: ContextVar[KeptWarnings | None] = ContextVar("bimors_run_warnings", default=None)


def warn(message: str, *values: object) -> None:
    """Warn: one line that says what is suspicious and what to do, formatted as by `logging.Logger.warning`.

    The line is kept even where the log does not show it. Credentials in addresses are removed from it.
    """
    text = redact(message % values if values else message)
    kept = _run.get()
    if kept is None or kept.add(text):
        log.warning("%s", text)


def warn_of_one(kind: str, message: str, *values: object) -> None:
    """Warn of one of many things: a run shows the first, and keeps one line with their number.

    ``kind`` says in the plural what they have in common, such as ``images are skipped``.
    """
    text = redact(message % values if values else message)
    kept = _run.get()
    if kept is None or kept.add(text, kind):
        log.warning("%s", text)


def warnings_so_far() -> tuple[str, ...]:
    """Return what the run of this context warned of until now; empty outside a run."""
    kept = _run.get()
    return () if kept is None else kept.texts()


@contextmanager
def keep_warnings(kept: KeptWarnings | None = None) -> Iterator[KeptWarnings]:
    """Keep the warnings of the block: in ``kept`` if it is given, else with those of the run that the block is part of.

    Yields
    ------
    KeptWarnings
        The warnings of the block, and of the run so far.
    """
    kept = kept or _run.get() or KeptWarnings()
    token = _run.set(kept)
    try:
        yield kept
    finally:
        _run.reset(token)


def keeps_warnings(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function a run: what it and the functions that it calls warn of is kept, see `warnings_so_far`."""

    @wraps(function)
    def run(*args: P.args, **given: P.kwargs) -> R:
        with keep_warnings():
            return function(*args, **given)

    return run


def bound(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that warns as part of the run that is in progress now, whichever thread calls it."""
    kept = _run.get()
    if kept is None:
        return function

    @wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        with keep_warnings(kept):
            return function(*args, **given)

    return call
