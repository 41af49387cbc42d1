"""Several devices of one machine: a process for each looks at its share of the tiles, this one keeps the journal.

Processes are spawned, never forked: CUDA, GDAL and threads do not survive a fork. Each gets a contiguous part of what
is missing, as a shard would, and hands its records on. So the journal is that of the local engine, and a run may go on
with other devices, or with one.
"""

from __future__ import annotations

import copy
import logging
import logging.handlers
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from bimors_cli.errors import BimorsError, WorkerError
from bimors_cli.options.device_names import device_names
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.engines.local import batches, take_up
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import TileIndices, count
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.write_layer import raise_if_stopped

START: Final = "spawn"
LOOK_SECONDS: Final = 0.1  # how soon a signal is seen
# A process that is asked to end may hand on the batch in hand, if that takes no longer.
GRACE_SECONDS: Final = 1.0

log = logging.getLogger("bimors")


@contextmanager
def look(job: Job, progress: Progress, stop: StopRequest) -> Iterator[Journal]:
    """Look at all tiles of a job that are not done, by the devices of its options; else as that of the local engine.

    Raises
    ------
    DeviceError
        A device is not there; no process was started.
    WorkerError
        A process died. Finished tiles of all of them are in the journal.
    """
    from bimors_cli.model.device import choose_device

    names = device_names(job.plan.options.device)
    for name in names:
        choose_device(name)
    with take_up(job, progress) as (journal, todo):
        with closing(_looked_at(job, todo, names, stop, journal.path.name)) as found:
            for batch in found:
                journal.append(batch)
                progress.advance(len(batch))
        raise_if_stopped(stop, journal)
        yield journal


@dataclass(frozen=True)
class _Child:
    """A process that looks at tiles, and the end of the pipe to it."""

    device: str
    process: BaseProcess
    pipe: Connection


def _looked_at(
    job: Job, todo: TileIndices, names: Sequence[str], stop: StopRequest, journal: str
) -> Generator[list[TileResult], None, None]:
    """Start the processes, and yield their records as they come, until all have ended, one fails, or ``stop`` asks."""
    children = _start(job, todo, names)
    busy = {child.pipe: child for child in children}
    summary = _Total(job.summary)
    failure: BaseException | None = None
    told_to_end: float | None = None
    try:
        while busy and (told_to_end is None or time.monotonic() < told_to_end + GRACE_SECONDS):
            ready = wait(list(busy), LOOK_SECONDS)
            for pipe in [pipe for pipe in busy if pipe in ready]:
                kind, value = _receive(pipe)
                if kind == "records":
                    yield value
                    continue
                if kind == "log":
                    summary.tell(value)
                    continue
                child = busy.pop(pipe)
                if kind == "done":
                    summary.add(value)
                else:
                    failure = failure or _failure(kind, value, child, journal)
            if told_to_end is None and (failure is not None or stop.signal_number is not None):
                told_to_end = time.monotonic()
                for pipe in busy:
                    with suppress(OSError):
                        pipe.send("end")
    finally:
        for child in children:
            if child.pipe not in busy:
                child.process.join(GRACE_SECONDS)
            child.process.kill()
            child.process.join()
            child.pipe.close()
    if failure is not None and stop.signal_number is None:
        raise failure


def _start(job: Job, todo: TileIndices, names: Sequence[str]) -> list[_Child]:
    import torch

    context = multiprocessing.get_context(START)
    threads = max(1, torch.get_num_threads() // len(names))
    worker = copy.copy(job)
    worker.raster = None  # a table of all tiles, which only the layer needs
    children: list[_Child] = []
    for number, name in enumerate(names, 1):
        share = Shard(number, len(names)).of(todo)
        if not count(share):
            continue
        here, there = context.Pipe()
        work = (there, worker, share, name, threads, log.getEffectiveLevel())
        process = context.Process(target=_work, args=work, name=f"bimors {name}", daemon=True)
        try:
            with _deaf():
                process.start()
        except OSError as error:
            for child in children:
                child.process.kill()
            raise WorkerError(f"{name}: its process cannot be started: {error.strerror or error}") from error
        there.close()
        children.append(_Child(name, process, here))
    return children


@contextmanager
def _deaf() -> Iterator[None]:
    """Block the signals that ask to end: a process that is started now never hears them, not even while it imports."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # started later, it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        kind, value = pipe.recv()
        return kind, value
    except (EOFError, OSError):
        return "died", None


def _failure(kind: str, value: Any, child: _Child, journal: str) -> BaseException:
    if kind == "error":
        error_class, message, hint = value
        error: BimorsError = error_class(message, hint)
        return error
    if kind == "bug":
        bug = RuntimeError(f"on {child.device}: {value[0]}")
        bug.add_note(value[1])
        return bug
    child.process.join()
    code = child.process.exitcode or 0
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    memory = "is there memory enough? " if code == -9 else ""  # as Linux ends what takes too much
    return WorkerError(
        f"{child.device}: its process {how}",
        f"{memory}finished tiles are in {journal}: run the same command with --resume",
    )


class _Total:
    """What the processes tell, for the one summary of the run."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._said: set[str] = set()

    def add(self, other: RunSummary) -> None:
        """Add the captions of a process, and take its seconds where they are more: the processes run side by side."""
        mine = self._summary
        mine.caption_hits += other.caption_hits
        mine.caption_misses += other.caption_misses
        for stage, seconds in other.seconds.items():
            mine.seconds[stage] = max(mine.seconds.get(stage, 0.0), seconds)

    def tell(self, record: logging.LogRecord) -> None:
        """Log what a process has to say; what all of them say, once."""
        if record.name == log.name and record.levelno >= logging.WARNING:
            if record.getMessage() in self._said:
                return
            self._said.add(record.getMessage())
        logging.getLogger(record.name).handle(record)


def _work(pipe: Connection, job: Job, share: TileIndices, device: str, threads: int, level: int) -> None:
    """Look at a share of the tiles, in a process of its own."""
    # A terminal asks all processes of a run to end: the first of them says how. (Windows blocks no signals.)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    link = _Link(pipe)
    _log_to(link, level)
    try:
        import torch

        torch.set_num_threads(threads)
        plan = job.plan
        job.plan = replace(plan, options=replace(plan.options, device=device))
        for records in batches(job, share):
            link.send("records", records)
            if pipe.poll():
                return
        link.send("done", job.summary)
    except BimorsError as error:
        link.send("error", (type(error), error.message, error.hint))
    except Exception as error:  # a fault of the program: the run tells it
        link.send("bug", (f"{type(error).__name__}: {error}", traceback.format_exc()))


def _end_with_parent() -> None:
    """End at once when the run is gone, whatever the other threads wait for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Link:
    """The pipe to the run, for all threads; what `logging.handlers.QueueHandler` takes for a queue."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._one_at_a_time = threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """Send something, unless nobody listens any more."""
        with self._one_at_a_time, suppress(OSError):
            self._pipe.send((kind, value))

    def put_nowait(self, record: logging.LogRecord) -> None:
        """Send what is to be logged."""
        self.send("log", record)


def _log_to(link: _Link, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [logging.handlers.QueueHandler(link)]  # type: ignore[arg-type]
    log.setLevel(level)
    logging.captureWarnings(True)
