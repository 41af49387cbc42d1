"""The steps of a try: what each does, how long it took, and why it failed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
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
        What it found, one line; of a failed step the error with its hint.
    trace : str
        The traceback of a failure that is not one of bimors's own errors, else empty.
    """

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
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

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return any(step.outcome == FAILED for step in self.done)

    def run(self, name: str, work: Work) -> None:
        """Run a step, whatever becomes of it; interrupts are not caught."""
        if self.failed:
            self.done.append(Step(name, NOT_RUN))
            return
        self.report(f"{name} ...")
        clock = time.perf_counter()
        outcome, detail, trace = _outcome(work)
        self.done.append(Step(name, outcome, time.perf_counter() - clock, detail, trace))


def _outcome(work: Work) -> tuple[str, str, str]:
    try:
        return PASSED, work(), ""
    except Skip as reason:
        return SKIPPED, str(reason), ""
    except BimorsError as error:
        return FAILED, error.message + (f" | {error.hint}" if error.hint else ""), ""
    except Exception as error:  # the libraries may raise anything for weights that nobody here has seen
        return FAILED, f"{type(error).__name__}: {error}", traceback.format_exc(limit=_FRAMES)


_FRAMES: Final = -12
