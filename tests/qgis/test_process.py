"""How the plugin runs, follows and ends a program; without QGIS."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import pytest

from tests.qgis.plugin import part

process = part("process")


class Feedback:
    """What Processing would show, and someone who presses Cancel when a line comes."""

    def __init__(self, cancel_at: Callable[[str], bool] = lambda line: False) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.progress: list[float] = []
        self._cancel_at = cancel_at

    def isCanceled(self) -> bool:
        return any(map(self._cancel_at, self.lines))

    def setProgress(self, percent: float) -> None:
        self.progress.append(percent)

    def pushInfo(self, text: str) -> None:
        self.lines.append(text)

    def pushWarning(self, text: str) -> None:
        self.warnings.append(text)

    def pushCommandInfo(self, text: str) -> None:
        self.command = text


def program(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\n{code}"]


def test_the_log_and_the_progress_are_passed_on() -> None:
    code = """
print("5 of 20 tiles (25 %), 1 tiles/s", file=sys.stderr)
print("warning: café 🌲", file=sys.stderr)
print("done, and a stray byte:", file=sys.stderr, flush=True); sys.stderr.buffer.write(b"\\xff\\n")
print("/out.gpkg")
"""
    feedback = Feedback()
    assert process.run(program(code), feedback).strip() == "/out.gpkg"
    assert feedback.progress == [25, 100] and feedback.warnings == ["warning: café 🌲"]
    assert feedback.lines == ["5 of 20 tiles (25 %), 1 tiles/s", "done, and a stray byte:", "\ufffd"]
    assert feedback.command.startswith(sys.executable)


def test_the_log_comes_while_the_program_runs() -> None:
    began = time.monotonic()
    seen: list[float] = []
    code = 'print("first", file=sys.stderr); time.sleep(2)'
    feedback = Feedback(lambda line: seen.append(time.monotonic()) is not None)
    process.run(program(code), feedback)
    assert feedback.lines == ["first"] and seen[0] - began < time.monotonic() - seen[0]


def test_an_error_is_that_of_the_program() -> None:
    code = 'print("error: no.tif: no such file", "hint: look", sep="\\n", file=sys.stderr); sys.exit(2)'
    feedback = Feedback()
    with pytest.raises(process.ProgramFailed, match=r"^no\.tif: no such file\nHint: look$"):
        process.run(program(code), feedback)
    assert feedback.lines == []  # QGIS shows the error; it is not shown twice
    code = 'print("Traceback", "MemoryError", sep="\\n", file=sys.stderr); sys.exit(1)'
    with pytest.raises(
        process.ProgramFailed, match=r"^bimors failed with exit code 1; its last line was: MemoryError$"
    ):
        process.run(program(code), Feedback())
    if os.name != "nt":
        with pytest.raises(process.ProgramFailed, match=r"ended by the system \(signal 9\)\. Often the memory"):
            process.run(program("os.kill(os.getpid(), signal.SIGKILL)"), Feedback())
    with pytest.raises(process.ProgramFailed, match="cannot be started"):
        process.run(["/no/such/program"], Feedback())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-command", "out.gpkg"], "No such command 'no-such-command'"),
        (["sample", "out.gpkg", "--no-such-option=1"], "No such option: --no-such-option"),
    ],
)
def test_what_an_older_program_lacks_is_an_error_in_its_own_words(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program itself: what it does not know is what an older one would not know."""
    monkeypatch.setenv("COLUMNS", "40")  # a box of this width would break the line
    with pytest.raises(process.ProgramFailed) as failed:
        process.run([sys.executable, "-m", "bimors_cli", *arguments], Feedback())
    first, *others = str(failed.value).splitlines()
    assert first.startswith(message)
    assert others == ["Hint: the program may be older than this plugin: update bimors"]


def test_unreadable_tiles_are_a_warning() -> None:
    feedback = Feedback()
    assert process.run(program('print("out.gpkg"); sys.exit(3)'), feedback).strip() == "out.gpkg"
    assert "could not be read" in feedback.warnings[0]


def test_qgiss_own_python_settings_are_kept_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/qgis")
    monkeypatch.setenv("PYTHONHOME", "/of/qgis")
    written = process.run(program('print(os.environ.get("PYTHONPATH"), os.environ.get("PYTHONHOME"))'), Feedback())
    assert written.split() == ["None", "None"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal to ask with")
@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("try: go(); time.sleep(60)\nexcept KeyboardInterrupt: print('kept what was done', file=sys.stderr)", "kept"),
        ("signal.signal(signal.SIGINT, lambda *_: print('not yet', file=sys.stderr)); go(); time.sleep(60)", "not yet"),
        (
            "signal.signal(signal.SIGTERM, lambda *_: print('never', file=sys.stderr))\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN); go()\n"
            "while True: time.sleep(1)",
            "never",
        ),
    ],
    ids=["asked", "told", "forced"],
)
def test_cancel_ends_the_program(code: str, last: str) -> None:
    code = "go = lambda: print('go', file=sys.stderr)\n" + code
    feedback = Feedback(lambda line: line == "go")
    began = time.monotonic()
    assert process.run(program(code), feedback, grace=(10, 10) if last == "kept" else (0.5, 0.5)) is None
    assert time.monotonic() - began < 30 and feedback.lines[-1].startswith(last)
