"""Tiles in, records out: reading, groups, the model, and what its numbers mean."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.errors import ReadError
from bimors_cli.model.device import shared_among_workers
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.image_features import DTYPE as FEATURE_DTYPE
from bimors_cli.pipeline.inference.load import Classifier
from bimors_cli.pipeline.inference.tile_reader import ReadTile, read_ahead
from bimors_cli.pipeline.plan import InferencePlan, Plan, TileIndices
from bimors_cli.pipeline.tile_result import PROBABILITIES, TileResult, rank_labels
from bimors_cli.pipeline.vote import pack_cells
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import TilePixels, image_shape

# Tiles that need no model are handed on in groups of this size at most.
RECORDS_AT_ONCE = 1000
# Bounds the pictures that wait: one group is read, two are ready, and each worker has one.
WAITING_BYTES = 256 * 1024**2

log = logging.getLogger("bimors")

# Makes records of the pictures of a group, in a scene of this number.
Look = Callable[[int, "_Group"], list[TileResult]]


@dataclass
class _Group:
    """Tiles that were read and wait for the model, as many as its stages can use at once: ``records`` need none.

    ``pictures`` uint8 [B, 3, h, w], ``cells`` of a record and ``keys`` are in the order of ``indexes``.
    """

    records: list[TileResult]
    indexes: list[int]
    cells: list[bytes | None]
    pictures: torch.Tensor
    keys: list[bytes] | None


def classify_tiles(
    plan: Plan, classifier: Classifier, todo: TileIndices, seconds: dict[str, float]
) -> Iterator[list[TileResult]]:
    """Classify tiles of a plan, group by group, in the order of the grid.

    Parameters
    ----------
    plan : Plan
        The run.
    classifier : Classifier
        Its models and head.
    todo : Todo
        Which tiles.
    seconds : dict
        Time by stage is added here.

    Yields
    ------
    list of TileRecord
        Finished tiles.
    """
    yield from _predict_tiles(plan, classifier.models, partial(_classify, plan, classifier), todo, seconds)


def caption_tiles(
    plan: InferencePlan, models: FrozenModels, todo: TileIndices, seconds: dict[str, float]
) -> Iterator[list[TileResult]]:
    """Describe tiles of a plan; else as `classify_tiles`. Only the captioner looks at them."""
    yield from _predict_tiles(plan, models, partial(_caption, models), todo, seconds)


def _predict_tiles(
    plan: InferencePlan,
    models: FrozenModels,
    look: Look,
    todo: TileIndices,
    seconds: dict[str, float],
) -> Iterator[list[TileResult]]:
    models.limit_batches(plan.options.batch_size)
    for number, (scene, places) in enumerate(zip(plan.scenes, todo, strict=True)):
        if scene.inside is not None:
            outside = iter(places[~scene.inside[places]].tolist())
            while records := [TileResult(number, i, "outside_aoi") for i in islice(outside, RECORDS_AT_ONCE)]:
                yield records
            places = places[scene.inside[places]]
        if len(places):
            tiles = ((int(i), scene.grid[int(i)]) for i in places)
            yield from _look_at_scene(plan, models, look, number, tiles, seconds)


def _look_at_scene(
    plan: InferencePlan,
    models: FrozenModels,
    look: Look,
    number: int,
    todo: Iterator[tuple[int, Tile]],
    seconds: dict[str, float],
) -> Iterator[list[TileResult]]:
    ended = threading.Event()
    with (
        shared_among_workers(models.device) as models.workers,
        ThreadPoolExecutor(1, "groups") as reader,
        ThreadPoolExecutor(models.workers, "model", torch.set_num_threads, (torch.get_num_threads(),)) as workers,
    ):
        groups = _groups(plan, models, number, todo, ended)
        coming = reader.submit(next, groups, None)
        asked: deque[Future[list[TileResult]]] = deque()
        try:
            while (group := _wait(coming, seconds)) is not None:
                coming = reader.submit(next, groups, None)
                asked.append(workers.submit(_finish, look, number, group))
                if len(asked) > models.workers:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            ended.set()
            for unwanted in asked:
                unwanted.cancel()
            coming.exception()
            groups.close()


def _wait(coming: Future[_Group | None], seconds: dict[str, float]) -> _Group | None:
    clock = time.perf_counter()
    group = coming.result()
    _add(seconds, "waiting for pixels", clock)
    return group


def _groups(
    plan: InferencePlan, models: FrozenModels, number: int, todo: Iterator[tuple[int, Tile]], ended: threading.Event
) -> Generator[_Group, None, None]:
    """Read tiles into groups until there are no more, or ``ended``; in the thread that calls."""
    scene, side = plan.scenes[number], plan.bundle.image_size
    size = group_size(models.batches.max_size, image_shape(scene.grid, side), models.workers)
    fingerprint = None if models.caption_cache is None else models.caption_cache.cache_key
    records: list[TileResult] = []
    shown: list[ReadTile] = []
    for tile in read_ahead(scene, todo, side, size, fingerprint, cells=plan.votes):
        if ended.is_set():
            return
        pixels = tile.pixels
        if isinstance(pixels, ReadError):
            log.info("%s", pixels.message)
            records.append(TileResult(number, tile.index, "read_error"))
        elif pixels.valid_fraction < plan.options.min_valid or pixels.valid_fraction == 0:
            records.append(TileResult(number, tile.index, "nodata", cells=_cells(plan, pixels)))
        else:
            shown.append(tile)
        if len(shown) >= size or len(records) >= RECORDS_AT_ONCE:
            yield _group(plan, records, shown, models.device)
            records, shown = [], []
    if records or shown:
        yield _group(plan, records, shown, models.device)


def group_size(most: int, shape: tuple[int, int], workers: int = 1) -> int:
    """How many pictures of a shape (h, w) wait together for stages of which none takes more than ``most`` at a time."""
    return max(1, min(most, WAITING_BYTES // ((3 + workers) * 3 * math.prod(shape))))


def _cells(plan: InferencePlan, pixels: TilePixels) -> bytes | None:
    return None if pixels.cells is None else pack_cells(pixels.cells, plan.options.min_valid)


def _group(plan: InferencePlan, records: list[TileResult], shown: list[ReadTile], device: torch.device) -> _Group:
    read = [tile.pixels for tile in shown if isinstance(tile.pixels, TilePixels)]
    images = [pixels.image for pixels in read]
    shape = images[0].shape if images else (3, 0, 0)
    # From pinned memory CUDA copies while the program goes on.
    pictures = torch.empty((len(images), *shape), dtype=torch.uint8, pin_memory=device.type == "cuda")
    if images:
        np.stack(images, out=pictures.numpy())
    keys = [tile.key for tile in shown if tile.key is not None]
    cells = [_cells(plan, pixels) for pixels in read]
    return _Group(records, [tile.index for tile in shown], cells, pictures, keys or None)


def _finish(look: Look, number: int, group: _Group) -> list[TileResult]:
    records = group.records
    if group.indexes:
        records += look(number, group)
    return sorted(records, key=lambda record: record.index)


def _caption(models: FrozenModels, number: int, group: _Group) -> list[TileResult]:
    captions = models.caption(group.pictures, group.keys)
    return [
        TileResult(number, index, "model_error" if caption is None else None, caption=caption)
        for index, caption in zip(group.indexes, captions, strict=True)
    ]


def _classify(plan: Plan, classifier: Classifier, number: int, group: _Group) -> list[TileResult]:
    captions, gist = classifier.look(group.pictures, group.keys)
    shares = classifier.answer(gist)
    kept: list[bytes | None] = [None] * len(captions)
    if plan.options.keep_features or plan.options.refine:
        kept = [row.tobytes() for row in gist.image_feature.cpu().numpy().astype(FEATURE_DTYPE)]
    return [
        _record(plan.options, TileResult(number, index, caption=caption, feature=feature, cells=cells), share)
        for index, caption, feature, cells, share in zip(
            group.indexes,
            captions if plan.options.captions else [None] * len(captions),
            kept,
            group.cells,
            shares,
            strict=True,
        )
    ]


def _record(options: ClassifyOptions, record: TileResult, share: npt.NDArray[np.float32]) -> TileResult:
    if not np.isfinite(share).all():
        return replace(record, reason="model_error", feature=None)
    if options.refine or options.vote:
        record = replace(record, shares=share.astype(PROBABILITIES).tobytes())
    return rank_labels(record, share, options)


def _add(seconds: dict[str, float], stage: str, since: float) -> None:
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - since
