"""A whole run over tiles, that of classify above all: plan, models, tiles, journal, layer."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from bimors_cli.errors import Interrupted
from bimors_cli.options.classify import RAY, ClassifyOptions, InferenceOptions
from bimors_cli.options.device_names import device_names
from bimors_cli.output.formats import STDOUT
from bimors_cli.output.sequence import write_sequence
from bimors_cli.pipeline.checkpoint.store import TileStore
from bimors_cli.pipeline.checkpoint.unfinished import merge_command
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.engines import local, ray
from bimors_cli.pipeline.engines import multi_device as processes
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.output_checks import check_output, discard_unfinished, is_finished
from bimors_cli.pipeline.plan import all_tiles, count
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_rows import frames, with_rows
from bimors_cli.pipeline.write_layer import write_layer

if TYPE_CHECKING:
    import geopandas

# Has the tiles of a job looked at, and gives what is finished.
Engine = Callable[[Job, Progress, StopRequest], AbstractContextManager[TileStore]]

log = logging.getLogger("bimors")


def run(
    options: ClassifyOptions,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    command: Sequence[str] = ("bimors_cli.classify",),
) -> Summary:
    """Classify scenes and write the layer.

    Parameters
    ----------
    options : ClassifyOptions
        What the user chose.
    progress, stop : optional
        See there.
    command : sequence of str
        Goes into the provenance.

    Raises
    ------
    InputError
        See `make_plan`; the output is there already.
    Interrupted
        ``stop`` asked for it; finished tiles are in the journal.
    BimorsError
        Models, journal or output fail.
    """
    clock = time.perf_counter()
    job = Classification(make_plan(options), command)
    job.summary.seconds["plan"] = time.perf_counter() - clock
    run_job(job, progress, stop)
    return job.summary


def run_job(job: Job, progress: Progress | None = None, stop: StopRequest | None = None) -> None:
    """Look at the tiles of a job, and write its layer; its summary tells what was done. Errors are those of `run`.

    A job of one shard keeps its tiles in the shard's journal and writes no layer.
    """
    progress, stop = progress or NullProgress(), stop or NullProgress()
    plan, options, summary = job.plan, job.plan.options, job.summary
    shards = None if job.shard is None else job.shard.count
    if is_finished(plan, job.checkpoint_path, job.raster):
        summary.output, summary.finished_before = str(plan.output), True
        return
    clock = time.perf_counter()
    check_output(plan, job.spec, job.raster, resume=options.resume, checkpoint_path=job.checkpoint_path, shards=shards)
    summary.seconds["plan"] = summary.seconds.get("plan", 0.0) + time.perf_counter() - clock
    if plan.output == STDOUT:
        _stream(job, progress, stop)
        return
    if options.overwrite:
        discard_unfinished(plan.output, job.checkpoint_path, shards)
    with _engine(options)(job, progress, stop) as journal:
        if job.shard is not None:
            _tell_of_shard(job, journal)
            return
        write_layer(job, journal, stop, resume=options.resume)
    if not summary.rows:
        log.warning("%s holds no rows: no tile holds enough data", plan.output)


def _engine(options: InferenceOptions) -> Engine:
    if options.engine == RAY:
        return ray.look
    return processes.look if len(device_names(options.device)) > 1 else local.look


def _tell_of_shard(job: Job, journal: TileStore) -> None:
    """Count what the journal of a finished shard holds, and say what is done with it."""
    assert job.shard is not None
    summary, count = job.summary, job.shard.count
    for _ in summary.count(journal.results()):
        pass
    summary.output = str(journal.path)
    summary.none = f"shard {job.shard} has no tiles"
    summary.then = f"when all {count} shards are finished: {merge_command(job.plan.output, count)}"
    if summary.failed:
        summary.journal = summary.output


def _stream(job: Job, progress: Progress, stop: StopRequest) -> None:
    todo = all_tiles(job.plan)
    progress.begin(count(todo), 0)

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        for batch in local.batches(job, todo):
            yield from frames(job.plan, with_rows(job.plan, job.watch(batch)), job.frame)
            progress.advance(len(batch))
            if stop.signal_number is not None:
                raise Interrupted(stop.signal_number, "interrupted")

    job.summary.rows = write_sequence(sys.stdout, chunks(), job.spec, rs=job.plan.format.rs)
    job.finish()
