"""Ctrl-C and SIGTERM ask the run to end after the batch in hand; a second one ends it now."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bimors_cli.cli.console import err, say


class StopRequest:
    """Holds the number of the signal that asked to stop; None before."""

    signal_number: int | None = None


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request, and let the system end the program at the second.

    A signal that the program was started to ignore, as a shell does for what it runs in the background, stays ignored.
    """
    request = StopRequest()
    known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in known.items() if handler != signal.SIG_IGN}

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal_number = number
        for each in before:
            # Not Python's own handler: its exception waits for libraries, and for threads that read from a dead server.
            signal.signal(each, signal.SIG_DFL)
        err.show_cursor()  # a progress bar hides it
        say("stopping after this batch; once more to stop at once")

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
