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
from .translate import tr

UNREADABLE_TILES = 3  # exit code: some tiles could not be read
# Time for SIGINT and then for SIGTERM before the process is killed. A batch of a large model is slow on a laptop.
GRACE_SECONDS = (120.0, 20.0)
_POLL_SECONDS = 0.1
# How the program reports a command or an option that it does not have.
_UNKNOWN = tuple(f"{error}: No such {what}" for error in ("error", "Error") for what in ("command", "option"))
_ERRORS = ("error: ", "hint: ", "Error: ")


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
            raise ProgramFailed(
                tr("{program} cannot be started: {error}").format(program=command[0], error=error)
            ) from error
        assert process.stderr is not None
        log = _Log(feedback)
        with process:
            cancelled = _follow(process, process.stderr, log, grace)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if cancelled:
        # What it says then is not a failure: how many tiles are saved.
        for line in log.errors:
            feedback.pushInfo(line)
        return None
    if process.returncode == UNREADABLE_TILES:
        feedback.pushWarning(
            tr("Some tiles could not be read; run the algorithm again with 'Resume a cancelled run' to retry them.")
        )
    elif process.returncode != 0:
        raise ProgramFailed(log.failure(process.returncode))
    feedback.setProgress(100)
    return text


class _Log:
    """Shows the lines of the program, and keeps those that say why it failed: they are shown once, as the error."""

    def __init__(self, feedback: Feedback) -> None:
        self.feedback = feedback
        self.errors: list[str] = []
        self._last = ""

    def add(self, line: str) -> None:
        if not line:
            return
        done = percent(line)
        if done is not None:
            self.feedback.setProgress(done)
        if line.startswith("hint: ") and self.errors and self.errors[0].startswith(_UNKNOWN):
            return  # the user wrote no command line: what to do is in the plugin's own hint
        if line.startswith(_ERRORS):
            self.errors.append(line)
            if line.startswith(_UNKNOWN):
                self.errors.append("hint: " + tr("the program may be older than this plugin: update bimors"))
        elif line.startswith("warning: "):
            self.feedback.pushWarning(line)
        else:
            self._last = line
            self.feedback.pushInfo(line)

    def failure(self, code: int) -> str:
        """Return one message: what is wrong, and below it what to do."""
        if self.errors:
            hint = tr("Hint:")
            return "\n".join(
                line.removeprefix("error: ").removeprefix("Error: ").replace("hint:", hint, 1)
                if line.startswith(_ERRORS)
                else line
                for line in self.errors
            )
        if code < 0:
            return tr(
                "bimors was ended by the system (signal {number}). Often the memory was not enough: close other "
                "programs, or choose a smaller batch size or model."
            ).format(number=-code)
        return tr("bimors failed with exit code {code}; its last line was: {line}").format(
            code=code, line=self._last or "-"
        )


def _follow(process: subprocess.Popen[bytes], errors: IO[bytes], log: _Log, grace: tuple[float, float]) -> bool:
    """Forward the lines of the program until it ends; return whether it was cancelled."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for raw in errors:
            lines.put(raw.decode("utf-8", "replace").rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    signalled: list[float] = []
    while process.poll() is None or reader.is_alive() or not lines.empty():
        with suppress(queue.Empty):
            log.add(lines.get(timeout=_POLL_SECONDS))
        if log.feedback.isCanceled() and process.poll() is None:
            _stop(process, signalled, grace)
    return bool(signalled)


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
