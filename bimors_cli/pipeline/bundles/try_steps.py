"""The steps of a try: what each does, how long it took, and why it failed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from bimors_cli.errors import BimorsError

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not run"


@dataclass(frozen=True)
class Step:
    """A step of a try.

    Attributes
    ----------
    name : str
        What it does.
    outcome : str
        `PASSED`, `FAILED`, `SKIPPED` or `NOT_RUN`.
    seconds : float
        Its time.
    detail : str
        What it found, one line; of a failed step the error.
    hint : str
        What to do about the error, where it says so.
    trace : str
        The traceback of a failure that is not one of bimors's own errors, else empty.
    """

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
    hint: str = ""
    trace: str = ""


class Skip(Exception):
    """Raised by a step that has nothing to do, with the reason."""


# What a step does: it returns a line that says what it found.
Work = Callable[[], str]


@dataclass
class Steps:
    """Runs steps one after another; after one that failed, the others are not run."""

    report: Callable[[str], None]
    done: list[Step] = field(default_factory=list)

    def run(self, name: str, work: Work) -> None:
        """Run a step, whatever becomes of it; interrupts are not caught."""
        if any(step.outcome == FAILED for step in self.done):
            self.done.append(Step(name, NOT_RUN))
            return
        self.report(f"{name} ...")
        clock = time.perf_counter()
        step = _run(name, work)
        self.done.append(replace(step, seconds=time.perf_counter() - clock))


def _run(name: str, work: Work) -> Step:
    try:
        return Step(name, PASSED, detail=work())
    except Skip as reason:
        return Step(name, SKIPPED, detail=str(reason))
    except BimorsError as error:
        return Step(name, FAILED, detail=error.message, hint=error.hint or "")
    except Exception as error:  # the libraries may raise anything for weights that nobody here has seen
        trace = traceback.format_exc(limit=_FRAMES)
        return Step(name, FAILED, detail=f"{type(error).__name__}: {error}", trace=trace)


_FRAMES: Final = -12
