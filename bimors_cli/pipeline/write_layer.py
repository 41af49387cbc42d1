"""Writes the layer from finished tiles, whichever store holds them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from bimors_cli.errors import Interrupted, OutputError
from bimors_cli.pipeline.checkpoint.store import TileStore
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.progress import StopRequest
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, tile_id, without_empty
from bimors_cli.steps import step

RESUME_HINT = "run the same command with --resume"


def write_layer(
    job: Job, target: OutputTarget, store: TileStore, stop: StopRequest, *, resume_hint: str = RESUME_HINT
) -> None:
    """Write the layer of a job and the files next to it, and remove the store if no tile failed.

    The provenance gets what the run has warned of when the final answers are known.
    ``resume_hint`` says how to continue after an error.

    Raises
    ------
    Interrupted
        ``stop`` was requested.
    OutputError
        The output cannot be written. In both cases the store stays.
    """
    plan, summary = job.plan, job.summary
    results = _InterruptibleResults(store, stop, resume_hint)
    features = ((tile_id(plan, result), result.feature) for result in results if result.feature is not None)
    with (
        _with_resume_hint(store, resume_hint),
        job.refine(results, partial(raise_if_stopped, stop, store, resume_hint)) as final,
    ):
        clock = time.perf_counter()
        job = job.with_warnings()
        target = replace(target, schema=job.schema)
        chunks = frames(job.output_plan, without_empty(plan, job.count_results(final)), job.to_frame)
        with step(f"writing {plan.output.name}"):
            summary.rows = target.write(chunks, features if job.keeps_features else ())
            job.write_extras()
        summary.seconds["layer"] = time.perf_counter() - clock
    summary.output = str(plan.output)
    if summary.failed:
        summary.journal = str(store.path)
    else:
        store.delete()


class _InterruptibleResults:
    """The results of a store; each iteration ends with Interrupted when a stop is requested."""

    def __init__(self, store: TileStore, stop: StopRequest, resume_hint: str) -> None:
        self._store, self._stop, self._resume_hint = store, stop, resume_hint

    def __iter__(self) -> Iterator[TileResult]:
        for result in self._store.results():
            raise_if_stopped(self._stop, self._store, self._resume_hint)
            yield result


def raise_if_stopped(stop: StopRequest, store: TileStore, resume_hint: str = RESUME_HINT) -> None:
    """Raise Interrupted if a stop was requested."""
    if stop.signal_number is not None:
        raise Interrupted(
            stop.signal_number,
            f"interrupted; {store.count():,} finished tiles are in {store.path.name}",
            f"{resume_hint} to continue",
        )


@contextmanager
def _with_resume_hint(store: TileStore, resume_hint: str) -> Iterator[None]:
    """Add to an OutputError where the finished tiles are."""
    try:
        yield
    except OutputError as error:
        saved = f"{store.count():,} finished tiles are in {store.path.name}: {resume_hint}"
        first = "" if error.hint is None else f"{error.hint} " if error.hint.endswith("?") else f"{error.hint}; "
        raise OutputError(error.message, first + saved) from error
