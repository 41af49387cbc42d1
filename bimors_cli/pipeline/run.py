"""A whole run over tiles, such as classify: plan, models, tiles, journal, layer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bimors_cli.errors import Interrupted
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.formats import STDOUT
from bimors_cli.output.sequence import write_sequence
from bimors_cli.pipeline.band_shift import band_shift_warnings
from bimors_cli.pipeline.checkpoint.store import TileStore
from bimors_cli.pipeline.checkpoint.unfinished import merge_command
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.early_checks import check_output
from bimors_cli.pipeline.engines.engine import Engine, get_engine
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.label_sets import coverage_warnings
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.novelty import rate_warning
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.plan import InferencePlan, Plan, all_tiles, num_tiles
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_rows import frames, without_empty
from bimors_cli.pipeline.write_layer import write_layer
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.steps import step

if TYPE_CHECKING:
    import geopandas


@keeps_warnings
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
        The options of `bimors classify`.
    progress : Progress, optional
        Shows how far the run is.
    stop : StopRequest, optional
        Stops the run after the current batch.
    command : sequence of str
        Command line for the provenance.

    Raises
    ------
    InputError
        As `make_plan`; or the output exists.
    Interrupted
        ``stop`` was requested; finished tiles are in the journal.
    BimorsError
        Models, journal or output fail.
    """
    clock = time.perf_counter()
    check_output(options)
    with step("opening the scenes"):
        plan = make_plan(options)
    warn_of_plan(plan)
    job = Classification.from_plan(plan, command)
    job.summary.seconds["plan"] = time.perf_counter() - clock
    run_job(job, progress, stop)
    return job.summary


def warn_of_plan(plan: Plan) -> None:
    """Warn of what makes the answers of a plan doubtful, before any tile is computed."""
    warn_of_domain(plan)
    if (warning := rate_warning(plan)) is not None:
        warn(warning)
    for warning in (*coverage_warnings(plan), *band_shift_warnings(plan)):
        warn(warning)


def warn_of_domain(plan: InferencePlan) -> None:
    """Warn of scenes outside the training domain of the bundle: one line for all of them."""
    warning = plan.domain_warning()
    if warning is not None:
        warn(warning)


def run_job(job: Job, progress: Progress | None = None, stop: StopRequest | None = None) -> None:
    """Compute the tiles of a job, write its layer, and fill in its summary; raises as `run`.

    A job of one shard stores its tiles in the journal of the shard and writes no layer.
    """
    _run_job(job, progress or NullProgress(), stop or NullProgress())
    job.summary.warnings = warnings_so_far()


def _run_job(job: Job, progress: Progress, stop: StopRequest) -> None:
    plan, summary = job.plan, job.summary
    engine = get_engine(plan.options.engine)
    shards = None if job.shard is None else job.shard.count
    target = OutputTarget(plan, job.schema, job.raster, engine.checkpoint_path(job), shards)
    if target.is_finished():
        summary.output, summary.finished_before = str(plan.output), True
        return
    clock = time.perf_counter()
    target.check()
    summary.seconds["plan"] = summary.seconds.get("plan", 0.0) + time.perf_counter() - clock
    if plan.output == STDOUT:
        _stream(engine, job, progress, stop)
        return
    if plan.options.overwrite:
        target.discard_unfinished()
    with engine.run(job, progress, stop) as store:
        if job.shard is not None:
            _summarize_shard(job, store)
            return
        write_layer(job, target, store, stop)
    if not summary.rows:
        warn(
            "%s has no rows: no tile has enough valid data; see which mask decides with bimors info SCENE", plan.output
        )


def _summarize_shard(job: Job, store: TileStore) -> None:
    """Count the results in the journal of a finished shard, and tell what to do with it."""
    assert job.shard is not None
    summary, shards = job.summary, job.shard.count
    for _ in summary.count(store.results()):
        pass
    summary.output = str(store.path)
    summary.empty_message = f"shard {job.shard} has no tiles"
    summary.next_step = f"when all {shards} shards are finished: {merge_command(job.plan.output, shards)}"
    if summary.failed:
        summary.journal = summary.output


def _stream(engine: Engine, job: Job, progress: Progress, stop: StopRequest) -> None:
    tiles = all_tiles(job.plan)
    progress.begin(num_tiles(tiles), 0)

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        for batch in engine.stream(job, tiles):
            yield from frames(job.plan, without_empty(job.plan, job.count_results(batch)), job.to_frame)
            progress.advance(len(batch))
            if stop.signal_number is not None:
                raise Interrupted(stop.signal_number, "interrupted")

    job.summary.rows = write_sequence(sys.stdout, chunks(), job.schema, rs=job.plan.format.rs)
    job.write_extras()
