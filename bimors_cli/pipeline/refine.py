"""Settling: the tiles of a run, all of them together, get their final answers before the layer is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy.typing as npt

from bimors_cli.errors import OutputError
from bimors_cli.output.atomic import scratch
from bimors_cli.pipeline.plan import Plan, all_tiles
from bimors_cli.pipeline.probability_store import ProbabilityStore, write_arrays
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult, rank_labels

_ROWS_AT_ONCE: Final = 2**16

log = logging.getLogger("bimors")

Check = Callable[[], None]


@contextmanager
def refined(
    plan: Plan, records: Iterable[TileResult], summary: Summary, check: Check
) -> Iterator[Iterator[TileResult]]:
    """Give all tiles of a run together their final answers, as ``--refine`` and ``--vote`` ask for.

    Parameters
    ----------
    plan : Plan
        The run.
    records : iterable of TileRecord
        All its tiles, in order; may be iterated over more than once.
    summary : Summary
        Is told what changed, and how long it took.
    check : callable
        Asked now and then where it takes long; raises Interrupted to end it.

    Yields
    ------
    iterator of TileRecord
        Those of ``plan.layer``, in the order of its grid.

    Raises
    ------
    Interrupted
        ``check`` did.
    OutputError
        There is no room beside the output, or memory does not do.
    JournalError
        A record is not of such a run.
    """
    clock, options = time.perf_counter(), plan.options
    with scratch(plan.output.resolve()) as place:
        answers = write_arrays(plan, records, place.parent)
        shares = answers.shares if options.refine is None else _refine(plan, answers, summary, check)
        summary.seconds["refining" if options.refine else "voting"] = time.perf_counter() - clock
        if options.vote:
            summary.rows_are, summary.voters, summary.failed_tiles = "cells", len(answers.shares), answers.failed
            yield _voted(plan, answers, shares)
        else:
            yield _refined(plan, records, shares)


def _refine(plan: Plan, answers: ProbabilityStore, summary: Summary, check: Check) -> npt.NDArray[Any]:
    """Return the refined probabilities, float32 [N, K]."""
    before, count = answers.shares, len(answers.shares)
    after = before
    log.info("refining the labels of %s tiles together", f"{count:,}")
    try:
        if count and plan.options.refine == "spatial":
            from bimors_cli.refine.spatial import spatial

            after = spatial(answers.features, before, answers.neighbours, check)
        elif count:
            from bimors_cli.refine.transductive import transductive

            after = transductive(answers.features, before, check)
    except MemoryError as error:
        raise OutputError(
            f"refining {count:,} tiles takes more memory than there is", "take a machine with more memory"
        ) from error
    parts = [slice(begin, begin + _ROWS_AT_ONCE) for begin in range(0, count, _ROWS_AT_ONCE)]
    changed = sum(int((before[part].argmax(axis=1) != after[part].argmax(axis=1)).sum()) for part in parts)
    summary.refined = (changed, count)
    return after


def _refined(plan: Plan, records: Iterable[TileResult], shares: npt.NDArray[Any]) -> Iterator[TileResult]:
    row = 0
    for record in records:
        if record.shares is None:
            yield record
        else:
            yield rank_labels(record, shares[row], plan.options)
            row += 1


def _voted(plan: Plan, answers: ProbabilityStore, shares: npt.NDArray[Any]) -> Iterator[TileResult]:
    layer = plan.layer
    for number, (scene, places) in enumerate(zip(layer.scenes, all_tiles(layer), strict=True)):
        for votes in answers.ballots[number].count(places, shares):
            for place, share, nearest, reason in zip(
                votes.places.tolist(), votes.shares, votes.nearest.tolist(), votes.reasons, strict=True
            ):
                record = TileResult(number, place, reason if scene.is_inside(place) else "outside_aoi")
                if record.reason is None:
                    record = rank_labels(replace(record, caption=answers.caption(nearest)), share, plan.options)
                yield record
