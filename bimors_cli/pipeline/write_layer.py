"""Finished tiles, wherever they are kept, become the layer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from bimors_cli.errors import Interrupted, OutputError
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.formats import write_layer as write_file
from bimors_cli.output.geopackage import append_geopackage
from bimors_cli.pipeline.checkpoint.store import TileStore
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.output_checks import is_of_this_run
from bimors_cli.pipeline.plan import LayerPlan
from bimors_cli.pipeline.progress import StopRequest
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, tile_id, with_rows

if TYPE_CHECKING:
    import geopandas


GO_ON = "run the same command with --resume"


def write_layer(job: Job, finished: TileStore, stop: StopRequest, *, resume: bool, go_on: str = GO_ON) -> None:
    """Write a job's layer, and what goes beside it, and remove the records if no tile failed.

    ``go_on`` says how to go on after an error.

    Raises
    ------
    Interrupted
        ``stop`` asked for it.
    OutputError
        The output cannot be written. In both cases the records stay.
    """
    plan, summary = job.plan, job.summary
    records = _Watched(finished, stop, go_on)
    features = ((tile_id(plan, record), record.feature) for record in records if record.feature is not None)
    kept = features if job.keeps_features else ()
    with (
        _saying_what_is_kept(finished, go_on),
        job.settle(records, partial(raise_if_stopped, stop, finished, go_on)) as final,
    ):
        clock = time.perf_counter()
        chunks = frames(job.layer, with_rows(plan, job.watch(final)), job.frame)
        summary.rows = write_rows(plan, job.spec, chunks, kept, resume=resume)
        job.finish()
        summary.seconds["layer"] = time.perf_counter() - clock
    summary.output = str(plan.output)
    if summary.failed:
        summary.journal = str(finished.path)
    else:
        finished.delete()


class _Watched:
    """Records of finished tiles, to be read as often as one likes until a signal asks to stop."""

    def __init__(self, finished: TileStore, stop: StopRequest, go_on: str) -> None:
        self._finished, self._stop, self._go_on = finished, stop, go_on

    def __iter__(self) -> Iterator[TileResult]:
        for record in self._finished.results():
            raise_if_stopped(self._stop, self._finished, self._go_on)
            yield record


def raise_if_stopped(stop: StopRequest, finished: TileStore, go_on: str = GO_ON) -> None:
    """Raise Interrupted if a signal asked for it."""
    if stop.signal_number is not None:
        raise Interrupted(
            stop.signal_number,
            f"interrupted; {finished.count():,} finished tiles are in {finished.path.name}",
            f"{go_on} to go on",
        )


@contextmanager
def _saying_what_is_kept(finished: TileStore, go_on: str) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        kept = f"{finished.count():,} finished tiles are in {finished.path.name}: {go_on}"
        first = "" if error.hint is None else f"{error.hint} " if error.hint.endswith("?") else f"{error.hint}; "
        raise OutputError(error.message, first + kept) from error


def write_rows(
    plan: LayerPlan,
    spec: LayerSchema,
    chunks: Iterable[geopandas.GeoDataFrame],
    features: Iterable[tuple[str, bytes]] = (),
    *,
    resume: bool = False,
) -> int:
    """Write the layer of a plan; returns the number of rows."""
    # What stands there now is either to be replaced or was written by an earlier session of this very run.
    if plan.options.append:
        replace = resume and is_of_this_run(plan)
        return append_geopackage(plan.output, chunks, spec, replace=replace, features=features)
    replace = plan.options.overwrite or resume
    return write_file(plan.output, chunks, plan.format, spec, overwrite=replace, features=features)
