"""The engine for clusters: Ray Data hands tasks of tiles to workers, which write their results to Parquet files."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bimors_cli import errors
from bimors_cli.errors import BimorsError, DeviceError, InputError, JournalError, WorkerError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.options.layer import STDOUT
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask, make_tasks
from bimors_cli.pipeline.checkpoint.parquet_store import ParquetStore
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.engines.engine import Engine
from bimors_cli.pipeline.engines.ray_cluster import check_installed, cluster
from bimors_cli.pipeline.engines.ray_worker import Worker
from bimors_cli.pipeline.engines.worker_spec import WorkerSpec, WorkerUpdate, adapter_files, forwarded_environment
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import Plan, TileIndices, all_tiles, num_tiles
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.write_layer import raise_if_stopped
from bimors_cli.redact import redact
from bimors_cli.run_warnings import warn
from bimors_cli.steps import step
from bimors_cli.version import __version__

_RESUME_HINT: Final = "finished tiles are saved: run the same command with --resume"
# How often a stop request is checked.
POLL_SECONDS: Final = 0.5

_Updates = queue.SimpleQueue[WorkerUpdate | BaseException | None]


class RayEngine(Engine):
    """The workers of a Ray cluster, an existing one or one on this machine."""

    def check(self, options: InferenceOptions) -> None:
        if options.output == STDOUT:
            raise InputError("--engine ray does not support standard output: tiles finish in no order", "use -o FILE")
        if options.device not in ("auto", "cpu", "cuda"):
            raise InputError(
                f"--device {options.device}: not supported with --engine ray, which assigns devices itself",
                "use auto, cpu or cuda: one GPU per worker",
            )
        if isinstance(options, ClassifyOptions) and options.shard is not None:
            raise InputError(
                f"--shard {options.shard}: not supported with --engine ray, which distributes the tiles itself",
                "leave out --shard or --engine",
            )

    def checkpoint_path(self, job: Job) -> Path:
        return blocks_path(job.plan.output)

    @contextmanager
    def run(self, job: Job, progress: Progress, stop: StopRequest) -> Iterator[ParquetStore]:
        """Compute the pending tiles of a job with the workers of a Ray cluster.

        Raises
        ------
        Interrupted
            ``stop`` was requested; finished tiles are in the store.
        InputError
            Ray is not installed, the cluster was not found, or it lacks the requested resources.
        BimorsError
            A worker or the store fails.
        """
        check_installed()
        plan = job.plan
        with ParquetStore(plan) as store:
            tiles = all_tiles(plan)
            pending = store.pending(tiles)
            job.summary.resumed = num_tiles(tiles) - num_tiles(pending)
            progress.begin(num_tiles(tiles), job.summary.resumed)
            if num_tiles(pending):
                _run_on_cluster(job, pending, store, progress, stop)
                store.refresh()
                if lost := num_tiles(store.missing(tiles)):
                    raise JournalError(
                        f"{store.path.name}: {lost:,} finished tiles are missing",
                        "run the same command with --resume",
                    )
            yield store


@dataclass(frozen=True)
class WorkerPool:
    """The number of workers, and the processors and GPUs of each."""

    workers: int
    processors: int
    gpus: int

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers:,} workers"
        if self.gpus:
            return f"{workers} with a GPU each"
        return f"{workers} with {self.processors} processor{'s' * (self.processors > 1)} each"


def _run_on_cluster(job: Job, tiles: TileIndices, store: ParquetStore, progress: Progress, stop: StopRequest) -> None:
    """Run the workers, and record their updates."""
    options, clock = job.plan.options, time.perf_counter()
    updates: _Updates = queue.SimpleQueue()
    with ExitStack() as stack:
        with step("starting Ray"):
            ray = stack.enter_context(cluster(options.ray_address))
        raise_if_stopped(stop, store)
        pool = _allocate(ray, options)
        tasks = list(make_tasks(tiles, pool.workers))
        pool = replace(pool, workers=min(pool.workers, len(tasks)))
        job.summary.seconds["starting Ray"], clock = time.perf_counter() - clock, time.perf_counter()
        spec = _worker_spec(job, store.session, pool)
        # Ray returns when a task is done, and handles no signals: they are polled here.
        threading.Thread(target=_run_tasks, args=(ray, spec, tasks, pool, updates), name="ray", daemon=True).start()
        while True:
            raise_if_stopped(stop, store)
            try:
                update = updates.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if update is None:
                break
            if isinstance(update, BaseException):
                raise _failure(update) from update
            _record(update, job, store, progress)
    job.summary.seconds[f"tiles, by {pool}"] = time.perf_counter() - clock


def _record(update: WorkerUpdate, job: Job, store: ParquetStore, progress: Progress) -> None:
    for text in update.warnings:
        warn(text)
    store.save_warnings()
    if update.error is not None:
        kind: type[BimorsError] = getattr(errors, update.error, WorkerError) if update.error else WorkerError
        message = update.message if update.error else f"internal error: {update.message}"
        raise kind(message, update.hint or _RESUME_HINT)
    summary = job.summary
    for stage, seconds in update.seconds.items():
        name = f"{stage}, all workers"
        summary.seconds[name] = summary.seconds.get(name, 0.0) + seconds
    summary.caption_hits += update.caption_hits
    summary.caption_misses += update.caption_misses
    if new := store.report(update.task, update.done):
        progress.advance(new)


def _run_tasks(ray: Any, spec: WorkerSpec, tasks: Sequence[TileTask], pool: WorkerPool, updates: _Updates) -> None:
    """Put the updates of the workers into ``updates``, then None; or the error that ended them."""
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = 1  # each update of a worker is passed on at once
        rows = ray.data.from_items([{"task": task.to_json()} for task in tasks], override_num_blocks=len(tasks))
        batches = rows.map_batches(
            Worker,
            fn_constructor_args=(spec,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=pool.workers),
            num_cpus=pool.processors,
            num_gpus=pool.gpus,
        )
        for batch in batches.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for text in batch["update"]:
                updates.put(WorkerUpdate.from_json(str(text)))
        updates.put(None)
    except BaseException as error:  # raised in the main thread
        updates.put(error)


def _failure(error: BaseException) -> BimorsError:
    """Make the error that reports a failure of Ray."""
    reason = redact(" ".join(str(error).split()))[:300]
    return WorkerError(f"Ray failed: {type(error).__name__}: {reason}", _RESUME_HINT)


def _worker_spec(job: Job, session: int, pool: WorkerPool) -> WorkerSpec:
    adapter = job.plan.adapter if isinstance(job.plan, Plan) else None
    return WorkerSpec(
        version=__version__,
        job=job.for_worker("cuda" if pool.gpus else "cpu"),
        adapter=None if adapter is None else adapter_files(adapter),
        environment=forwarded_environment(),
        folder=os.getcwd(),
        session=session,
        threads=pool.processors,
    )


def _allocate(ray: Any, options: InferenceOptions) -> WorkerPool:
    """Distribute the processors or the GPUs of a cluster among workers."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if options.device == "cuda" or (options.device == "auto" and gpus):
        if not gpus:
            raise DeviceError("--device cuda: the cluster has no GPU", "use --device cpu or auto")
        return _checked(WorkerPool(options.workers or gpus, 1, 1), gpus, "GPUs", options)
    processors = sorted(int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1) or [1]
    if options.workers is None:
        return WorkerPool(sum(count // processors[0] for count in processors), processors[0], 0)
    for each in range(processors[-1], 0, -1):
        if sum(count // each for count in processors) >= options.workers:
            return WorkerPool(options.workers, each, 0)
    return _checked(WorkerPool(options.workers, 1, 0), sum(processors), "processors", options)


def _checked(pool: WorkerPool, available: int, what: str, options: InferenceOptions) -> WorkerPool:
    """Refuse more workers than a machine can have; a cluster may still grow."""
    if pool.workers > available and options.ray_address is None:
        raise InputError(
            f"--workers {pool.workers}: this machine has {available} {what}", f"use --workers {available} or less"
        )
    if pool.workers > available:
        warn(
            "--workers %d: the cluster has %d %s so far: add nodes, or use fewer workers", pool.workers, available, what
        )
    return pool
