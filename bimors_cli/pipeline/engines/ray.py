"""The engine for clusters: Ray Data hands blocks of tiles to workers, which write what they have done."""

from __future__ import annotations

import copy
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from bimors_cli import errors
from bimors_cli.errors import BimorsError, DeviceError, InputError, JournalError, WorkerError
from bimors_cli.options.classify import InferenceOptions
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask, make_tasks
from bimors_cli.pipeline.checkpoint.parquet_store import ParquetStore
from bimors_cli.pipeline.engines.ray_cluster import check_installed, cluster
from bimors_cli.pipeline.engines.ray_worker import Worker
from bimors_cli.pipeline.engines.worker_spec import WorkerSpec, WorkerUpdate, adapter_files, forwarded_environment
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import Plan, TileIndices, all_tiles, count
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.write_layer import raise_if_stopped
from bimors_cli.redact import redact
from bimors_cli.version import __version__

_GO_ON: Final = "finished tiles are kept: run the same command with --resume"
# How often it is looked whether a signal came.
LISTEN_SECONDS: Final = 0.5

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class Share:
    """How many workers there are, and the processors and GPUs of each."""

    workers: int
    processors: int
    gpus: int

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers:,} workers"
        if self.gpus:
            return f"{workers} with a GPU each"
        return f"{workers} with {self.processors} processor{'s' * (self.processors > 1)} each"


@contextmanager
def look(job: Job, progress: Progress, stop: StopRequest) -> Iterator[ParquetStore]:
    """Look at all tiles of a job that are not done, by the workers of a Ray cluster.

    Raises
    ------
    Interrupted
        ``stop`` asked for it; finished tiles are in the blocks.
    InputError
        Ray is not installed, there is no such cluster, or it has not what was asked for.
    BimorsError
        A worker fails, or the blocks do.
    """
    check_installed()
    plan = job.plan
    with ParquetStore(plan) as blocks:
        total = all_tiles(plan)
        todo = blocks.pending(total)
        job.summary.resumed = count(total) - count(todo)
        progress.begin(count(total), job.summary.resumed)
        if count(todo):
            _look(job, todo, blocks, progress, stop)
            blocks.refresh()
            if lost := count(blocks.missing(total)):
                raise JournalError(
                    f"{blocks.path.name}: {lost:,} finished tiles are not there any more",
                    "run the same command with --resume",
                )
        yield blocks


def _look(job: Job, todo: TileIndices, blocks: ParquetStore, progress: Progress, stop: StopRequest) -> None:
    """Have Ray work, and note what its workers tell."""
    options, clock = job.plan.options, time.perf_counter()
    told: queue.SimpleQueue[WorkerUpdate | BaseException | None] = queue.SimpleQueue()
    with cluster(options.ray_address) as ray:
        raise_if_stopped(stop, blocks)
        share = _share(ray, options)
        parts = list(make_tasks(todo, share.workers))
        share = replace(share, workers=min(share.workers, len(parts)))
        job.summary.seconds["starting Ray"], clock = time.perf_counter() - clock, time.perf_counter()
        errand = _errand(job, blocks.session, share)
        # Ray answers when a block is done, and knows no signals: these are waited for here.
        threading.Thread(target=_work, args=(ray, errand, parts, share, told), name="ray", daemon=True).start()
        while True:
            raise_if_stopped(stop, blocks)
            try:
                message = told.get(timeout=LISTEN_SECONDS)
            except queue.Empty:
                continue
            if message is None:
                break
            if isinstance(message, BaseException):
                raise _failure(message) from message
            _note(message, job, blocks, progress)
    job.summary.seconds[f"tiles, by {share}"] = time.perf_counter() - clock


def _note(told: WorkerUpdate, job: Job, blocks: ParquetStore, progress: Progress) -> None:
    if told.error is not None:
        kind: type[BimorsError] = getattr(errors, told.error, WorkerError) if told.error else WorkerError
        message = told.message if told.error else f"this should not have happened: {told.message}"
        raise kind(message, told.hint or _GO_ON)
    summary = job.summary
    for stage, seconds in told.seconds.items():
        name = f"{stage}, all workers"
        summary.seconds[name] = summary.seconds.get(name, 0.0) + seconds
    summary.caption_hits += told.caption_hits
    summary.caption_misses += told.caption_misses
    if fresh := blocks.report(told.block, told.done):
        progress.advance(fresh)


def _work(
    ray: Any,
    errand: WorkerSpec,
    blocks: Sequence[TileTask],
    share: Share,
    told: queue.SimpleQueue[WorkerUpdate | BaseException | None],
) -> None:
    """Put what the workers tell into ``told``; None at the end, or the error that ended it."""
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = 1  # what a worker tells is passed on at once
        rows = ray.data.from_items([{"block": block.to_json()} for block in blocks], override_num_blocks=len(blocks))
        answers = rows.map_batches(
            Worker,
            fn_constructor_args=(errand,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=share.workers),
            num_cpus=share.processors,
            num_gpus=share.gpus,
        )
        for batch in answers.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for text in batch["told"]:
                told.put(WorkerUpdate.from_json(str(text)))
        told.put(None)
    except BaseException as error:  # it belongs to whoever waits
        told.put(error)


def _failure(error: BaseException) -> BimorsError:
    """Say what Ray has failed with."""
    why = redact(" ".join(str(error).split()))[:300]
    return WorkerError(f"Ray failed: {type(error).__name__}: {why}", _GO_ON)


def _errand(job: Job, session: int, share: Share) -> WorkerSpec:
    sent = copy.copy(job)
    sent.raster = None  # written here
    adapter = job.plan.adapter if isinstance(job.plan, Plan) else None
    return WorkerSpec(
        version=__version__,
        job=sent,
        adapter=None if adapter is None else adapter_files(adapter),
        environment=forwarded_environment(),
        folder=os.getcwd(),
        session=session,
        device="cuda" if share.gpus else "cpu",
        threads=share.processors,
    )


def _share(ray: Any, options: InferenceOptions) -> Share:
    """Part the processors or the GPUs of a cluster among workers."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if options.device == "cuda" or (options.device == "auto" and gpus):
        if not gpus:
            raise DeviceError("--device cuda: the cluster has no GPU", "use --device cpu or auto")
        return _checked(Share(options.workers or gpus, 1, 1), gpus, "GPUs", options)
    processors = sorted(int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1) or [1]
    if options.workers is None:
        return Share(sum(have // processors[0] for have in processors), processors[0], 0)
    for each in range(processors[-1], 0, -1):
        if sum(have // each for have in processors) >= options.workers:
            return Share(options.workers, each, 0)
    return _checked(Share(options.workers, 1, 0), sum(processors), "processors", options)


def _checked(share: Share, have: int, what: str, options: InferenceOptions) -> Share:
    """Refuse more workers than a machine can ever have; a cluster may still grow."""
    if share.workers > have and options.ray_address is None:
        raise InputError(f"--workers {share.workers}: this machine has {have} {what}", f"--workers {have} at most")
    if share.workers > have:
        log.warning("--workers %d: the cluster has %d %s so far", share.workers, have, what)
    return share
