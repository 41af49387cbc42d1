"""Ctrl-C, SIGTERM and SIGHUP stop a run after the current batch; a second one stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bimors_cli.cli.console import err, say

# Windows has no SIGHUP.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """The signal that requested a stop; None before."""

    signal_number: int | None = None


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a request; the second ends the program.

    SIGHUP comes when the terminal is closed, or the connection to it is lost. A signal that is ignored at the start, as
    in a shell's background job or under nohup, stays ignored.
    """
    request = StopRequest()
    known = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in known.items() if handler != signal.SIG_IGN}

    def request_stop(number: int, _frame: FrameType | None) -> None:
        request.signal_number = number
        for each in before:
            # The exception of Python's own handler would wait for libraries, and for threads that read from a server.
            signal.signal(each, signal.SIG_DFL)
        err.show_cursor()  # a progress bar hides it
        say("stopping after this batch; press Ctrl-C again to stop at once")

    for number in before:
        signal.signal(number, request_stop)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
