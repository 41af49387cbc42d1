"""Refining and voting: the final labels of all tiles of a run together, before the layer is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import OutputError
from bimors_cli.labels import Labels, match_labels
from bimors_cli.output.atomic import scratch
from bimors_cli.pipeline.plan import Plan, all_tiles
from bimors_cli.pipeline.probability_store import ProbabilityStore, write_arrays
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult, rank_labels
from bimors_cli.steps import step

_ROWS_AT_ONCE: Final = 2**16

log = logging.getLogger("bimors")

Check = Callable[[], None]


@contextmanager
def refined(
    plan: Plan, results: Iterable[TileResult], summary: Summary, check: Check
) -> Iterator[Iterator[TileResult]]:
    """Compute the final labels of all tiles of a run together, for ``--refine`` and ``--vote``.

    Parameters
    ----------
    plan : Plan
        The plan of the run.
    results : iterable of TileResult
        All its tiles, in order; may be iterated over more than once.
    summary : Summary
        Gets the number of changes, and the time.
    check : callable
        Called from time to time; raises Interrupted to stop.

    Yields
    ------
    iterator of TileResult
        Tiles or cells of ``plan.output_plan``, in grid order.

    Raises
    ------
    Interrupted
        ``check`` did.
    OutputError
        The disk with the output is full, or memory is not enough.
    JournalError
        A result is not from this run.
    """
    clock, options = time.perf_counter(), plan.options
    with scratch(plan.output.resolve()) as path:
        store = write_arrays(plan, results, path.parent)
        probabilities = store.probabilities if options.refine is None else _refine(plan, store, summary, check)
        summary.seconds["refining" if options.refine else "voting"] = time.perf_counter() - clock
        if options.vote:
            summary.rows_are, summary.voters, summary.failed_tiles = "cells", len(store.probabilities), store.failed
            yield _voted(plan, store, probabilities)
        else:
            yield _refined(plan, results, probabilities)


def _refine(plan: Plan, store: ProbabilityStore, summary: Summary, check: Check) -> npt.NDArray[Any]:
    """Return the refined probabilities, float32 [N, K]."""
    before, count = store.probabilities, len(store.probabilities)
    log.info("refining the labels of %s tiles together", f"{count:,}")
    try:
        with step(f"refining the labels of {count:,} tiles"):
            after = _refined_probabilities(plan, store, check)
    except MemoryError as error:
        raise OutputError(f"out of memory while refining {count:,} tiles", "use a machine with more memory") from error
    parts = [slice(begin, begin + _ROWS_AT_ONCE) for begin in range(0, count, _ROWS_AT_ONCE)]
    changed = sum(int((before[part].argmax(axis=1) != after[part].argmax(axis=1)).sum()) for part in parts)
    summary.refined = (changed, count)
    return after


def _refined_probabilities(plan: Plan, store: ProbabilityStore, check: Check) -> npt.NDArray[Any]:
    before = store.probabilities
    if not len(before):
        return before
    if plan.adapter is not None and plan.adapter.views is not None:
        from bimors_cli.refine.from_examples import from_examples

        return from_examples(
            before,
            store.neighbours if len(store.neighbours) else None,
            learned=_learned_frequency(plan.options.labels, plan.adapter.labels),
            frequencies=not plan.priors,
            check=check,
        )
    if plan.options.refine == "spatial":
        from bimors_cli.refine.spatial import spatial

        return spatial(store.features, before, store.neighbours, check)
    from bimors_cli.refine.transductive import transductive

    return transductive(store.features, before, check)


def _learned_frequency(labels: Labels, trained: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the class frequencies that an adapter of views assumes: the same for each label of its training."""
    found = np.array([len(columns) for columns in match_labels(labels, trained)], np.float64)
    return np.asarray(found / found.sum(), np.float64)


def _refined(plan: Plan, results: Iterable[TileResult], probabilities: npt.NDArray[Any]) -> Iterator[TileResult]:
    row = 0
    for result in results:
        if result.probability_bytes is None:
            yield result
        else:
            yield rank_labels(result, probabilities[row], plan.options)
            row += 1


def _voted(plan: Plan, store: ProbabilityStore, probabilities: npt.NDArray[Any]) -> Iterator[TileResult]:
    cells = plan.output_plan
    for number, (scene, indices) in enumerate(zip(cells.scenes, all_tiles(cells), strict=True)):
        for votes in store.votes[number].count(indices, probabilities):
            for index, row, nearest, reason in zip(
                votes.indices.tolist(), votes.probabilities, votes.nearest.tolist(), votes.reasons, strict=True
            ):
                result = TileResult(number, index, reason if scene.is_inside(index) else "outside_aoi")
                if result.reason is None:
                    caption = store.caption(nearest) if plan.captions.written[number] else None
                    result = rank_labels(replace(result, caption=caption), row, plan.options)
                yield result
