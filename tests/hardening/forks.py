"""Runs of `bimors` in a process of their own that start at once: one process imports everything, a fork of it is a run.

A start of the program costs seconds, most of them the import of torch; a fork costs none of it. Tests of any folder use
the fixture `forks`, except those of what happens at a start: imports, `python -m`, variables that are read once.
Faults are planted in the fork alone: it kills itself, or is told that the disk is full, at the n-th call of a function.
"""

from __future__ import annotations

import errno
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.errors import ReadError

GO, WAIT_SECONDS = Path("go"), 60
IMPORTED = ["tests.hardening.everything"]


@dataclass(frozen=True)
class Fault:
    """What happens at the ``nth`` call of a function: ``target`` is ``module:name`` or ``module:Class.name``.

    ``act`` is ``kill`` before the call, ``kill after`` it, ``half`` for one that writes bytes: half of them, then a
    kill; ``SIGINT`` sends that and goes on; ``wait`` goes on when the file `GO` is in the run's folder; else it is
    ``ReadError`` or the name of an errno, which the call and all later ones fail with. ``about`` restricts the count to
    calls with this text in one of their arguments.
    """

    target: str
    nth: int = 1
    act: str = "kill"
    about: str = ""

    def __str__(self) -> str:
        about = f"({self.about})" if self.about else ""
        return f"{self.act} at {self.nth}. {self.target.partition(':')[2]}{about}"

    def plant(self) -> None:
        """Replace the function in this process."""
        module, _, path = self.target.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, name = path.split(".")
        for each in classes:
            owner = getattr(owner, each)
        setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def faulty(*args: Any, **kw: Any) -> Any:
            nonlocal calls
            if self.about and not any(self.about in str(arg) for arg in args):
                return real(*args, **kw)
            calls += 1
            if calls < self.nth:
                return real(*args, **kw)
            if self.act == "kill after":
                real(*args, **kw)
            elif self.act == "half":
                real(args[0], args[1][: len(args[1]) // 2], *args[2:], **kw)
            if self.act.startswith(("kill", "half")):
                os.kill(os.getpid(), signal.SIGKILL)
            if self.act in ("SIGINT", "wait"):
                if self.act == "SIGINT":
                    os.kill(os.getpid(), signal.SIGINT)
                else:
                    end = time.monotonic() + WAIT_SECONDS
                    while not GO.exists() and time.monotonic() < end:
                        time.sleep(0.005)
                calls -= 1_000_000  # once
                return real(*args, **kw)
            if self.act == "ReadError":
                raise ReadError("the drive is gone")
            number = getattr(errno, self.act)
            raise OSError(number, os.strerror(number))

        return faulty


@dataclass(frozen=True)
class Setting:
    """A constant ``module:name`` that has another value in the fork."""

    target: str
    value: Any

    def plant(self) -> None:
        """Set it in this process."""
        module, _, name = self.target.partition(":")
        setattr(importlib.import_module(module), name, self.value)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``code`` is negative after a signal, as in `subprocess`."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line

    @property
    def hint(self) -> str:
        """The line after it."""
        lines = self.stderr.splitlines()
        assert lines[-2:] == [self.error, lines[-1]] and lines[-1].startswith("hint: "), self.stderr
        return lines[-1]


@dataclass
class Run:
    """A run that was started."""

    process: Any
    out: Path
    err: Path

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def wait(self, timeout: float = 120, *, traceback: bool = False) -> Outcome:
        """Wait until it ends; ``traceback`` is whether it may show one, as with ``-vv``."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still there after {timeout} s: {self.err.read_text()}")
        outcome = Outcome(self.process.exitcode, *map(_read, (self.out, self.err)))
        assert traceback or "Traceback" not in outcome.stderr, outcome.stderr
        assert "should not have happened" not in outcome.stderr, outcome.stderr
        return outcome

    def kill_after(self, seconds: float) -> Outcome:
        """Let it live for some time, at most."""
        self.process.join(seconds)
        self.process.kill()
        return self.wait()

    def when(self, ready: Callable[[], bool], timeout: float = 60) -> Run:
        """Wait for something that it does."""
        end = time.monotonic() + timeout
        while not ready():
            assert self.process.is_alive() and time.monotonic() < end, self.err.read_text()
            time.sleep(0.002)
        return self


@dataclass
class Forks:
    """Starts runs; ``folder`` takes what they say."""

    folder: Path
    context: Any
    started: int = field(default=0)

    def start(
        self,
        args: Sequence[object],
        cwd: Path,
        *,
        faults: Sequence[Fault | Setting] = (),
        env: Mapping[str, str] | None = None,
        file_limit: int | None = None,
        ignored: Sequence[int] = (),
        out: Path | None = None,
        err: Path | None = None,
    ) -> Run:
        """Start ``bimors ARGS``.

        ``file_limit`` is the size in bytes that no file of it can outgrow; ``ignored`` are signals that are ignored
        when it starts; ``out`` and ``err`` are other places for its standard output and error, not read afterwards.
        """
        self.started += 1
        out = out or self.folder / f"{self.started}.out"
        err = err or self.folder / f"{self.started}.err"
        variables = _variables() | dict(env or {})
        told = (str(cwd), str(out), str(err), tuple(faults), variables, file_limit, tuple(ignored))
        return self._fork(bimors, tuple(map(str, args)), out, err, told)

    def run(self, args: Sequence[object], cwd: Path, **kw: Any) -> Outcome:
        """Start it and wait."""
        return self.start(args, cwd, **kw).wait()

    def start_call(self, function: Callable[..., object], *args: object, file_limit: int | None = None) -> Run:
        """Start a function of a module instead of ``bimors``; what it prints is the standard output."""
        self.started += 1
        out, err = (self.folder / f"{self.started}.{name}" for name in ("out", "err"))
        return self._fork(function, args, out, err, (os.getcwd(), str(out), str(err), (), _variables(), file_limit, ()))

    def call(self, function: Callable[..., object], *args: object, file_limit: int | None = None) -> Outcome:
        """Call a function and wait."""
        return self.start_call(function, *args, file_limit=file_limit).wait()

    def _fork(
        self, function: Callable[..., object], args: tuple[object, ...], out: Path, err: Path, told: tuple[Any, ...]
    ) -> Run:
        for path in (out, err):
            path.touch()
        process = self.context.Process(target=run_forked, args=(function, args, *told))
        process.start()
        return Run(process, out, err)


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("BIMORS_")}


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def bimors(*args: str) -> None:
    """Be the program."""
    sys.argv = ["bimors", *args]
    from bimors_cli.cli.main import main

    main()


def run_forked(
    function: Callable[..., object],
    args: tuple[object, ...],
    cwd: str,
    out: str,
    err: str,
    faults: tuple[Fault | Setting, ...],
    env: dict[str, str],
    file_limit: int | None,
    ignored: tuple[int, ...],
) -> None:
    """Call a function, in the fork."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.update(env)
    if file_limit is not None:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    for fault in faults:
        fault.plant()
    function(*args)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Forks:
    """Make the process that all runs are forks of."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        patch.setenv("HF_HUB_OFFLINE", "1")
        forkserver.ensure_running()
    return Forks(tmp_path_factory.mktemp("forks"), context)
