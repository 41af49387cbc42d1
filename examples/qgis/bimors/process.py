"""Running the program as a child process, with its log, progress and cancelling. Does not import QGIS."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO, Protocol

from .program import environment, percent

UNREADABLE_TILES = 3  # exit code: some tiles could not be read
# Time for SIGINT and then for SIGTERM before the process is killed. A batch of a large model is slow on a laptop.
GRACE_SECONDS = (120.0, 20.0)
_POLL_SECONDS = 0.1
# How the program reports a command or an option that it does not have.
_UNKNOWN = ("Error: No such command", "Error: No such option")


class Feedback(Protocol):
    """The methods of QgsProcessingFeedback that are used."""

    def isCanceled(self) -> bool: ...
    def setProgress(self, percent: float) -> None: ...
    def pushInfo(self, text: str) -> None: ...
    def pushWarning(self, text: str) -> None: ...
    def pushCommandInfo(self, text: str) -> None: ...


class ProgramFailed(Exception):
    """The program failed; the message is that of the program."""


def run(command: list[str], feedback: Feedback, grace: tuple[float, float] = GRACE_SECONDS) -> str | None:
    """Run a command until it ends, or until the feedback is cancelled.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    feedback : QgsProcessingFeedback
        Receives log and progress; cancels the run.
    grace : (float, float)
        Seconds that the program may take to end after SIGINT, and after SIGTERM.

    Returns
    -------
    str or None
        Standard output of the program; None if it was cancelled.

    Raises
    ------
    ProgramFailed
        The program cannot be started, or failed.
    """
    feedback.pushCommandInfo(shlex.join(command))
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=environment(os.environ),
                # no console window on Windows
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise ProgramFailed(f"{command[0]} cannot be started: {error}") from error
        assert process.stderr is not None
        with process:
            cancelled, errors_shown = _follow(process, process.stderr, feedback, grace)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if cancelled:
        return None
    if process.returncode == UNREADABLE_TILES:
        feedback.pushWarning(
            "Some tiles could not be read; run the algorithm again with 'Resume a cancelled run' to retry them."
        )
    elif process.returncode != 0:
        raise ProgramFailed(
            "\n".join(errors_shown) or f"bimors failed with exit code {process.returncode}; see the log"
        )
    feedback.setProgress(100)
    return text


def _follow(
    process: subprocess.Popen[bytes], errors: IO[bytes], feedback: Feedback, grace: tuple[float, float]
) -> tuple[bool, list[str]]:
    """Forward log lines until the process ends; return whether it was cancelled, and its error and hint lines."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for raw in errors:
            lines.put(raw.decode("utf-8", "replace").rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    errors_shown: list[str] = []
    signalled: list[float] = []
    while process.poll() is None or reader.is_alive() or not lines.empty():
        with suppress(queue.Empty):
            _forward(lines.get(timeout=_POLL_SECONDS), feedback, errors_shown)
        if feedback.isCanceled() and process.poll() is None:
            _stop(process, signalled, grace)
    return bool(signalled), errors_shown


def _forward(line: str, feedback: Feedback, errors_shown: list[str]) -> None:
    done = percent(line)
    if done is not None:
        feedback.setProgress(done)
    if line.startswith(("error: ", "hint: ", "Error: ")):
        errors_shown.append(line)
    if line.startswith(_UNKNOWN):
        errors_shown.append("hint: the program may be older than this plugin: update bimors")
    if line.startswith("warning: "):
        feedback.pushWarning(line)
    elif line:
        feedback.pushInfo(line)


def _stop(process: subprocess.Popen[bytes], signalled: list[float], grace: tuple[float, float]) -> None:
    """Interrupt, then terminate, then kill the process, as time passes."""
    now = time.monotonic()
    if not signalled:
        # After SIGINT the program saves finished tiles and reports how to resume. Windows cannot send SIGINT to a child
        # process; finished tiles are saved there too.
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)
        signalled.append(now)
    elif len(signalled) == 1 and now - signalled[0] > grace[0]:
        process.terminate()
        signalled.append(now)
    elif len(signalled) == 2 and now - signalled[1] > grace[1]:
        process.kill()
        signalled.append(now)
