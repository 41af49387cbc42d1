"""Ctrl-C and SIGTERM ask the run to end after the batch in hand; a second Ctrl-C ends it now."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bimors_cli.cli.console import say


class StopRequest:
    """Holds the number of the signal that asked to stop; None before."""

    signal_number: int | None = None


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; afterwards both act as they used to."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal_number = number
        for each in before:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
        say("stopping after this batch; once more to stop at once")

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
