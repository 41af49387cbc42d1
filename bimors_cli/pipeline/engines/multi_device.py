"""Several devices of one machine: one process per device computes a part of the tiles, this process keeps the journal.

Processes are spawned, never forked: CUDA, GDAL and threads do not survive a fork. Each gets a contiguous part of the
pending tiles, as a shard does, and sends its results back. So the journal is that of the local engine, and a run can be
resumed with other devices, or with one.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from bimors_cli.errors import BimorsError, WorkerError
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.engines.single_process import predict_job
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import TileIndices, num_tiles
from bimors_cli.pipeline.progress import StopRequest
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.run_warnings import warn
from bimors_cli.steps import LIBRARIES, step

START_METHOD: Final = "spawn"
POLL_SECONDS: Final = 0.1  # how soon a signal is noticed
# After a stop request a process may still send its current batch, if that takes no longer.
GRACE_SECONDS: Final = 1.0

log = logging.getLogger("bimors")


def check_devices(names: Sequence[str]) -> None:
    """Check that the devices exist. Raises DeviceError as `choose_device`."""
    with step(LIBRARIES):
        from bimors_cli.model.device import choose_device

    for name in names:
        choose_device(name)


@dataclass(frozen=True)
class _DeviceProcess:
    """A process that computes tiles on a device, and this end of the pipe to it."""

    device: str
    process: BaseProcess
    pipe: Connection


def predict_on_devices(
    job: Job, tiles: TileIndices, names: Sequence[str], stop: StopRequest, journal: str
) -> Generator[list[TileResult], None, None]:
    """Start the processes, and yield results as they arrive, until all end, one fails, or ``stop`` is requested.

    ``journal`` is its name, for messages.

    Raises
    ------
    WorkerError
        A process cannot be started, or died.
    BimorsError
        A process failed.
    """
    workers = _start(job, tiles, names)
    busy = {worker.pipe: worker for worker in workers}
    summary = _MergedSummary(job.summary)
    failure: BaseException | None = None
    end_requested: float | None = None
    try:
        while busy and (end_requested is None or time.monotonic() < end_requested + GRACE_SECONDS):
            ready = wait(list(busy), POLL_SECONDS)
            for pipe in [pipe for pipe in busy if pipe in ready]:
                kind, value = _receive(pipe)
                if kind == "results":
                    yield value
                    continue
                if kind == "log":
                    summary.log(value)
                    continue
                worker = busy.pop(pipe)
                if kind == "done":
                    summary.add(value)
                else:
                    failure = failure or _failure(kind, value, worker, journal)
            if end_requested is None and (failure is not None or stop.signal_number is not None):
                end_requested = time.monotonic()
                for pipe in busy:
                    with suppress(OSError):
                        pipe.send("end")
    finally:
        for worker in workers:
            if worker.pipe not in busy:
                worker.process.join(GRACE_SECONDS)
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
    if failure is not None and stop.signal_number is None:
        raise failure


def _start(job: Job, tiles: TileIndices, names: Sequence[str]) -> list[_DeviceProcess]:
    import torch

    context = multiprocessing.get_context(START_METHOD)
    threads = max(1, torch.get_num_threads() // len(names))
    workers: list[_DeviceProcess] = []
    for number, name in enumerate(names, 1):
        part = Shard(number, len(names)).of(tiles)
        if not num_tiles(part):
            continue
        parent_end, child_end = context.Pipe()
        args = (child_end, job.for_worker(name), part, threads, min(log.getEffectiveLevel(), logging.WARNING))
        process = context.Process(target=_work, args=args, name=f"bimors {name}", daemon=True)
        try:
            with _stop_signals_blocked():
                process.start()
        except OSError as error:
            for worker in workers:
                worker.process.kill()
            raise WorkerError(f"{name}: cannot start its process: {error.strerror or error}") from error
        child_end.close()
        workers.append(_DeviceProcess(name, process, parent_end))
    return workers


@contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM: a process that is started meanwhile never receives them, not even during imports."""
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


def _failure(kind: str, value: Any, worker: _DeviceProcess, journal: str) -> BaseException:
    if kind == "error":
        error_class, message, hint = value
        error: BimorsError = error_class(message, hint)
        return error
    if kind == "bug":
        bug = RuntimeError(f"on {worker.device}: {value[0]}")
        bug.add_note(value[1])
        return bug
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    memory = "is there enough memory? " if code == -9 else ""  # Linux kills what takes too much
    return WorkerError(
        f"{worker.device}: its process {how}",
        f"{memory}finished tiles are in {journal}: run the same command with --resume",
    )


class _MergedSummary:
    """Merges the summaries and log records of the processes into the summary of the run."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary

    def add(self, other: RunSummary) -> None:
        """Add the captions of a process; of seconds keep the longest, as the processes run in parallel."""
        merged = self._summary
        merged.caption_hits += other.caption_hits
        merged.caption_misses += other.caption_misses
        for stage, seconds in other.seconds.items():
            merged.seconds[stage] = max(merged.seconds.get(stage, 0.0), seconds)

    def log(self, record: logging.LogRecord) -> None:
        """Log a record of a process; a warning is one of the run, which shows it once."""
        if record.name == log.name and record.levelno == logging.WARNING:
            warn(record.getMessage())
            return
        logging.getLogger(record.name).handle(record)


def _work(pipe: Connection, job: Job, tiles: TileIndices, threads: int, level: int) -> None:
    """Compute a part of the tiles, in a process of its own."""
    # A terminal sends the signal to all processes of a run: the first one handles it. (Windows blocks no signals.)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    channel = _Channel(pipe)
    _log_to(channel, level)
    try:
        import torch

        torch.set_num_threads(threads)
        for results in predict_job(job, tiles):
            channel.send("results", results)
            if pipe.poll():
                return
        channel.send("done", job.summary)
    except BimorsError as error:
        channel.send("error", (type(error), error.message, error.hint))
    except Exception as error:  # a bug: the parent process raises it
        channel.send("bug", (f"{type(error).__name__}: {error}", traceback.format_exc()))


def _exit_with_parent() -> None:
    """Exit as soon as the parent process has ended, whatever the other threads wait for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Channel:
    """The pipe to the parent process, for all threads; serves as the queue of `logging.handlers.QueueHandler`."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """Send a message, unless the other end is closed."""
        with self._lock, suppress(OSError):
            self._pipe.send((kind, value))

    def put_nowait(self, record: logging.LogRecord) -> None:
        """Send a log record."""
        self.send("log", record)


def _log_to(channel: _Channel, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [logging.handlers.QueueHandler(channel)]  # type: ignore[arg-type]
    log.setLevel(level)
    logging.captureWarnings(True)
