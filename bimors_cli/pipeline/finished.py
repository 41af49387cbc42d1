"""Finished tiles, wherever they are kept, become the layer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from bimors_cli.errors import Interrupted, OutputError
from bimors_cli.pipeline.destination import write_rows
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.layer import frames, tile_id, with_rows
from bimors_cli.pipeline.record import TileRecord
from bimors_cli.pipeline.watching import Stop


class Finished(Protocol):
    """Records of finished tiles on disk, such as a `Journal`: what is in ``path`` outlives a kill."""

    path: Path

    def count(self) -> int:
        """Count the tiles that have a record."""

    def records(self) -> Iterator[TileRecord]:
        """Yield all records, scene by scene, in the order of the grid."""

    def delete(self) -> None:
        """Remove them: the output holds everything."""


GO_ON = "run the same command with --resume"


def write_layer(job: Job, finished: Finished, stop: Stop, *, resume: bool, go_on: str = GO_ON) -> None:
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
    with _saying_what_is_kept(finished, go_on), job.settle(records, partial(stop_here, stop, finished, go_on)) as final:
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

    def __init__(self, finished: Finished, stop: Stop, go_on: str) -> None:
        self._finished, self._stop, self._go_on = finished, stop, go_on

    def __iter__(self) -> Iterator[TileRecord]:
        for record in self._finished.records():
            stop_here(self._stop, self._finished, self._go_on)
            yield record


def stop_here(stop: Stop, finished: Finished, go_on: str = GO_ON) -> None:
    """Raise Interrupted if a signal asked for it."""
    if stop.signal_number is not None:
        raise Interrupted(
            stop.signal_number,
            f"interrupted; {finished.count():,} finished tiles are in {finished.path.name}",
            f"{go_on} to go on",
        )


@contextmanager
def _saying_what_is_kept(finished: Finished, go_on: str) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        kept = f"{finished.count():,} finished tiles are in {finished.path.name}: {go_on}"
        first = "" if error.hint is None else f"{error.hint} " if error.hint.endswith("?") else f"{error.hint}; "
        raise OutputError(error.message, first + kept) from error
