"""The program as a process of its own: its log is passed on while it runs, and it can be cancelled. Nothing of QGIS."""

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

from .command import environment, percent

UNREADABLE_TILES = 3  # exit code: finished, but for these
# After these the next, harsher way to end is taken. A batch of a large model takes long on a laptop.
PATIENCE_SECONDS = (120.0, 20.0)
_LOOK_EVERY_SECONDS = 0.1


class Feedback(Protocol):
    """What is needed of QgsProcessingFeedback."""

    def isCanceled(self) -> bool: ...
    def setProgress(self, percent: float) -> None: ...
    def pushInfo(self, text: str) -> None: ...
    def pushWarning(self, text: str) -> None: ...
    def pushCommandInfo(self, text: str) -> None: ...


class ProgramFailed(Exception):
    """The program ended with an error; the text is its own."""


def run(command: list[str], feedback: Feedback, patience: tuple[float, float] = PATIENCE_SECONDS) -> str | None:
    """Run a command until it ends, or until the feedback is cancelled.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    feedback : QgsProcessingFeedback
        Gets the log and the progress, is asked whether to go on.
    patience : (float, float)
        Seconds that the program may take to end after it was asked to, and after it was told to.

    Returns
    -------
    str or None
        What the program wrote to standard output; None if it was cancelled.

    Raises
    ------
    ProgramFailed
        It cannot be started, or ended with an error.
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
                # No black window on Windows.
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise ProgramFailed(f"{command[0]} cannot be started: {error}") from error
        assert process.stderr is not None
        with process:
            cancelled, trouble = _follow(process, process.stderr, feedback, patience)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if cancelled:
        return None
    if process.returncode == UNREADABLE_TILES:
        feedback.pushWarning("Some tiles could not be read; run it again with 'Go on' to try them once more.")
    elif process.returncode != 0:
        raise ProgramFailed("\n".join(trouble) or f"bimors ended with {process.returncode}; the log says more")
    feedback.setProgress(100)
    return text


def _follow(
    process: subprocess.Popen[bytes], errors: IO[bytes], feedback: Feedback, patience: tuple[float, float]
) -> tuple[bool, list[str]]:
    """Pass lines on until the process ends. Returns whether it was cancelled, and its lines of error and hint."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for raw in errors:
            lines.put(raw.decode("utf-8", "replace").rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    trouble: list[str] = []
    asked: list[float] = []
    while process.poll() is None or reader.is_alive() or not lines.empty():
        with suppress(queue.Empty):
            _pass_on(lines.get(timeout=_LOOK_EVERY_SECONDS), feedback, trouble)
        if feedback.isCanceled() and process.poll() is None:
            _end(process, asked, patience)
    return bool(asked), trouble


def _pass_on(line: str, feedback: Feedback, trouble: list[str]) -> None:
    done = percent(line)
    if done is not None:
        feedback.setProgress(done)
    if line.startswith(("error: ", "hint: ")):
        trouble.append(line)
    if line.startswith("warning: "):
        feedback.pushWarning(line)
    elif line:
        feedback.pushInfo(line)


def _end(process: subprocess.Popen[bytes], asked: list[float], patience: tuple[float, float]) -> None:
    """Ask, then tell, then force the process to end, as time passes."""
    now = time.monotonic()
    if not asked:
        # Asked, it keeps the finished tiles and says how to go on. Windows has no such signal; they are kept there too.
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)
        asked.append(now)
    elif len(asked) == 1 and now - asked[0] > patience[0]:
        process.terminate()
        asked.append(now)
    elif len(asked) == 2 and now - asked[1] > patience[1]:
        process.kill()
        asked.append(now)
