"""Tiles in, records out: reading, batching, the model, and what its numbers mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.errors import ReadError
from bimors_cli.model.heads import probabilities
from bimors_cli.pipeline.models import Classifier
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.reading import read_ahead
from bimors_cli.pipeline.record import CONFIDENCE_DECIMALS, PROBABILITY_DECIMALS, TileRecord
from bimors_cli.scene.grid import Tile

DEFAULT_BATCH = 32
# Tiles that need no model are handed on in groups of this size at most.
RECORDS_AT_ONCE = 1000

log = logging.getLogger("bimors")


@dataclass
class _Batch:
    """What has been read and waits for the model: ``records`` need none."""

    records: list[TileRecord] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    images: list[npt.NDArray[np.uint8]] = field(default_factory=list)


def classify_tiles(
    plan: Plan, classifier: Classifier, is_done: Callable[[int, int], bool], seconds: dict[str, float]
) -> Iterator[list[TileRecord]]:
    """Classify the tiles of a plan that are not done, batch by batch, in the order of the grid.

    Parameters
    ----------
    plan : Plan
        The run.
    classifier : Classifier
        Its models and head.
    is_done : callable
        Tells of (scene, place) whether a record is there already.
    seconds : dict
        Time by stage is added here.

    Yields
    ------
    list of TileRecord
        Finished tiles.
    """
    for number, scene in enumerate(plan.scenes):
        if plan.options.keep_empty and scene.inside is not None:
            outside = (int(i) for i in np.flatnonzero(~scene.inside) if not is_done(number, int(i)))
            while records := [TileRecord(number, i, "outside_aoi") for i in islice(outside, RECORDS_AT_ONCE)]:
                yield records
        todo = ((i, tile) for i, tile in enumerate(scene.grid) if scene.is_inside(i) and not is_done(number, i))
        yield from _classify_scene(plan, classifier, number, todo, seconds)


def _classify_scene(
    plan: Plan, classifier: Classifier, number: int, todo: Iterator[tuple[int, Tile]], seconds: dict[str, float]
) -> Iterator[list[TileRecord]]:
    size = plan.options.batch_size or DEFAULT_BATCH
    batch = _Batch()
    clock = time.perf_counter()
    for index, pixels in read_ahead(plan.scenes[number], todo, plan.bundle.image_size, ahead=2 * size):
        if isinstance(pixels, ReadError):
            log.info("%s", pixels.message)
            batch.records.append(TileRecord(number, index, "read_error"))
        elif pixels.valid_share < plan.options.min_valid or pixels.valid_share == 0:
            batch.records.append(TileRecord(number, index, "nodata"))
        else:
            batch.indexes.append(index)
            batch.images.append(pixels.image)
        if len(batch.indexes) >= size or len(batch.records) >= RECORDS_AT_ONCE:
            _add(seconds, "waiting for pixels", clock)
            yield _finish(plan, classifier, number, batch, seconds)
            batch = _Batch()
            clock = time.perf_counter()
    _add(seconds, "waiting for pixels", clock)
    if batch.indexes or batch.records:
        yield _finish(plan, classifier, number, batch, seconds)


def _finish(
    plan: Plan, classifier: Classifier, number: int, batch: _Batch, seconds: dict[str, float]
) -> list[TileRecord]:
    records = batch.records
    if batch.indexes:
        records += _answer(plan, classifier, number, batch.indexes, np.stack(batch.images), seconds)
    return sorted(records, key=lambda record: record.index)


def _answer(
    plan: Plan,
    classifier: Classifier,
    number: int,
    indexes: list[int],
    images: npt.NDArray[np.uint8],
    seconds: dict[str, float],
) -> list[TileRecord]:
    """Ask the model about B pictures, uint8 [B, 3, h, w], of the tiles at ``indexes`` of scene ``number``."""
    models = classifier.models
    evidence = models.gather(torch.from_numpy(images))
    clock = time.perf_counter()
    with torch.no_grad():
        share = probabilities(classifier.head.logits(evidence), classifier.temperature).cpu().numpy()
    _add(seconds, "head", clock)
    return [
        _record(plan, number, index, row, caption if plan.options.captions else None)
        for index, row, caption in zip(indexes, share, evidence.captions, strict=True)
    ]


def _record(plan: Plan, number: int, index: int, share: npt.NDArray[np.float32], caption: str | None) -> TileRecord:
    if not np.isfinite(share).all():
        return TileRecord(number, index, "model_error", caption=caption)
    values = share.astype(np.float64)
    # The earlier label wins a tie, on every machine.
    order = np.argsort(-values, kind="stable")[: plan.options.top_k]
    low = values[order[0]] < plan.options.min_confidence
    return TileRecord(
        number,
        index,
        "low_confidence" if low else None,
        () if low else tuple((int(i), round(float(values[i]), CONFIDENCE_DECIMALS)) for i in order),
        caption,
        tuple(np.round(values, PROBABILITY_DECIMALS).tolist()) if plan.options.probabilities else None,
    )


def _add(seconds: dict[str, float], stage: str, since: float) -> None:
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - since
