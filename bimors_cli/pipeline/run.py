"""A whole run over tiles, that of classify above all: plan, models, tiles, journal, layer."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from bimors_cli.errors import Interrupted, OutputError
from bimors_cli.output.formats import STDOUT
from bimors_cli.output.sequence import write_sequence
from bimors_cli.pipeline.caption_cache import open_caption_cache
from bimors_cli.pipeline.classification import Classification
from bimors_cli.pipeline.destination import check_output, is_finished, write_rows
from bimors_cli.pipeline.job import Batches, IsDone, Job
from bimors_cli.pipeline.journal import Journal, journal_path
from bimors_cli.pipeline.layer import frames, tile_id, with_rows
from bimors_cli.pipeline.options import ClassifyOptions
from bimors_cli.pipeline.plan import LookPlan, make_plan
from bimors_cli.pipeline.record import TileRecord
from bimors_cli.pipeline.summary import Summary

if TYPE_CHECKING:
    import geopandas

log = logging.getLogger("bimors")


class Progress(Protocol):
    """Who shows how far a run is."""

    def begin(self, total: int, done: int) -> None:
        """Start: ``total`` tiles, of which ``done`` are done."""

    def advance(self, tiles: int) -> None:
        """Count finished tiles."""


class Stop(Protocol):
    """Who asks a run to end early: ``signal_number`` is that of the signal, None to go on."""

    signal_number: int | None


class Silent:
    """Shows nothing and never asks to stop."""

    signal_number: int | None = None

    def begin(self, total: int, done: int) -> None:
        """Show nothing."""

    def advance(self, tiles: int) -> None:
        """Show nothing."""


def run(
    options: ClassifyOptions,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
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


def run_job(job: Job, progress: Progress | None = None, stop: Stop | None = None) -> None:
    """Look at the tiles of a job, and write its layer; its summary tells what was done. Errors are those of `run`."""
    progress, stop = progress or Silent(), stop or Silent()
    plan, options, summary = job.plan, job.plan.options, job.summary
    if is_finished(plan, job.raster):
        summary.output, summary.finished_before = str(plan.output), True
        return
    clock = time.perf_counter()
    check_output(plan, job.spec, job.raster, resume=options.resume)
    summary.seconds["plan"] = summary.seconds.get("plan", 0.0) + time.perf_counter() - clock
    if plan.output == STDOUT:
        _stream(job, progress, stop)
        return
    sizes = [len(scene.grid) for scene in plan.scenes]
    with Journal(journal_path(plan.output), plan.decides_rows(), sizes, resume=options.resume) as journal:
        summary.resumed = journal.count()
        for batch in _batches(job, journal.is_done, summary.resumed, progress):
            journal.append(batch)
            _stop_here(stop, journal)
        clock = time.perf_counter()
        rows = with_rows(plan, job.watch(_watched(journal, stop)))
        features = (
            (tile_id(plan, record), record.feature) for record in _watched(journal, stop) if record.feature is not None
        )
        kept = features if job.keeps_features else ()
        with _saying_what_is_kept(journal):
            chunks = frames(plan, rows, job.frame)
            summary.rows = write_rows(plan, job.spec, chunks, kept, resume=options.resume)
            job.finish()
        summary.seconds["layer"] = time.perf_counter() - clock
        summary.output = str(plan.output)
        if summary.failed:
            summary.journal = str(journal.path)
        else:
            journal.delete()
    if not summary.rows:
        log.warning("%s holds no rows: no tile holds enough data", plan.output)


def _batches(job: Job, is_done: IsDone, resumed: int, progress: Progress) -> Batches:
    # A resumed run that lacks only its layer needs no model; torch takes seconds to import.
    plan, options, summary = job.plan, job.plan.options, job.summary
    total = _count(plan)
    progress.begin(total, resumed)
    if resumed >= total:
        return
    clock = time.perf_counter()
    from bimors_cli.pipeline.models import load_models

    with open_caption_cache(keep=options.caption_cache and job.captions) as cache:
        models = load_models(plan.bundle, options.device, captions=job.captions, caption_cache=cache)
        work = job.start(models)
        summary.seconds["loading the model"] = time.perf_counter() - clock
        models.seconds = summary.seconds
        for records in work(is_done, summary.seconds):
            summary.captions_known, summary.captions_described = cache.known, cache.described
            yield records
            progress.advance(len(records))


def _count(plan: LookPlan) -> int:
    """Count the records that a finished journal has."""
    return sum(len(scene.grid) if plan.options.keep_empty else len(scene) for scene in plan.scenes)


def _stream(job: Job, progress: Progress, stop: Stop) -> None:
    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        for batch in _batches(job, lambda _scene, _index: False, 0, progress):
            yield from frames(job.plan, with_rows(job.plan, job.watch(batch)), job.frame)
            if stop.signal_number is not None:
                raise Interrupted(stop.signal_number, "interrupted")

    job.summary.rows = write_sequence(sys.stdout, chunks(), job.spec, rs=job.plan.format.rs)
    job.finish()


def _watched(journal: Journal, stop: Stop) -> Iterator[TileRecord]:
    for record in journal.records():
        _stop_here(stop, journal)
        yield record


@contextmanager
def _saying_what_is_kept(journal: Journal) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        kept = f"{journal.count():,} finished tiles are in {journal.path.name}: run the same command with --resume"
        first = "" if error.hint is None else f"{error.hint} " if error.hint.endswith("?") else f"{error.hint}; "
        raise OutputError(error.message, first + kept) from error


def _stop_here(stop: Stop, journal: Journal) -> None:
    if stop.signal_number is not None:
        raise Interrupted(
            stop.signal_number,
            f"interrupted; {journal.count():,} finished tiles are in {journal.path.name}",
            "run the same command with --resume to go on",
        )
