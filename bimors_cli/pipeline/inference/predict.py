"""From tiles to results: tiles are read into batches, encoded, and classified or captioned."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.errors import ReadError
from bimors_cli.model.device import shared_among_workers
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.output.image_features import DTYPE as FEATURE_DTYPE
from bimors_cli.pipeline.inference.doubtful import DoubtfulCaptions, Labelled
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.pipeline.inference.tile_reader import ReadTile, read_ahead
from bimors_cli.pipeline.inference.work_ahead import in_order, made_ahead
from bimors_cli.pipeline.plan import InferencePlan, Plan, TileIndices
from bimors_cli.pipeline.tile_result import (
    NOVELTY_DECIMALS,
    PROBABILITIES,
    UNLIKE_EXAMPLES,
    TileResult,
    rank_labels,
)
from bimors_cli.pipeline.vote import pack_cells
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import TilePixels, image_shape

# Most tiles of a batch that need no model.
RESULTS_AT_ONCE = 1000
# Memory of images in batches: one batch is being read, two are ready, and each worker has one. Of doubtful tiles, one
# more is being filled, and each worker has one.
WAITING_BYTES = 256 * 1024**2
# Size of a pixel: three colours, or each band in float32.
COLOUR_BYTES, BAND_BYTES = 3, 4


# Runs the models on the images of a batch of tiles in the scene with this number.
TileFn = Callable[[int, TileBatch], list[TileResult]]


class TileClassifier(Protocol):
    """Classifies the tiles of a batch in two steps, as `bimors_cli.pipeline.inference.load.Classifier` does."""

    @property
    def models(self) -> FrozenModels: ...

    def encode_batch(self, batch: TileBatch) -> tuple[list[str | None], Any]:
        """Return B captions, None where the captioner failed, and features for the other methods."""

    def probabilities(self, features: Any) -> npt.NDArray[np.float32]:
        """Return float32 [B, K]; NaN for a tile that no model could process."""

    def unlike(self, features: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return how unlike the examples or training images tiles are, 0 to 1, and p-values, float64 [B] each."""

    def vectors(self, features: Any) -> npt.NDArray[np.float32]:
        """Return vectors by which tiles are compared, float32 [B, d]; image features have length 1."""


def classify_tiles(
    plan: Plan, classifier: TileClassifier, tiles: TileIndices, seconds: dict[str, float]
) -> Iterator[list[TileResult]]:
    """Classify tiles of a plan, batch by batch, in the order of the grid.

    Parameters
    ----------
    plan : Plan
        The run.
    classifier : TileClassifier
        Models and head.
    tiles : TileIndices
        The tiles to classify.
    seconds : dict
        The time of each stage is added here.

    Yields
    ------
    list of TileResult
        Finished tiles.
    """
    models, below = classifier.models, plan.captions.below
    doubtful = None if below is None else DoubtfulCaptions(models, below)
    yield from _predict_tiles(plan, models, partial(_classify, plan, classifier), tiles, seconds, doubtful)


def caption_tiles(
    plan: InferencePlan, models: FrozenModels, tiles: TileIndices, seconds: dict[str, float]
) -> Iterator[list[TileResult]]:
    """Caption tiles of a plan, as `classify_tiles` classifies them. Only the captioner runs."""
    yield from _predict_tiles(plan, models, partial(_caption, models), tiles, seconds)


def _predict_tiles(
    plan: InferencePlan,
    models: FrozenModels,
    process: TileFn,
    tiles: TileIndices,
    seconds: dict[str, float],
    doubtful: DoubtfulCaptions | None = None,
) -> Iterator[list[TileResult]]:
    models.limit_batches(plan.options.batch_size)
    for number, (scene, indices) in enumerate(zip(plan.scenes, tiles, strict=True)):
        if scene.inside is not None:
            outside = iter(indices[~scene.inside[indices]].tolist())
            while results := [TileResult(number, i, "outside_aoi") for i in islice(outside, RESULTS_AT_ONCE)]:
                yield results
            indices = indices[scene.inside[indices]]
        if len(indices):
            indexed = ((int(i), scene.grid[int(i)]) for i in indices)
            yield from _predict_scene(plan, models, process, number, indexed, seconds, doubtful)


def _predict_scene(
    plan: InferencePlan,
    models: FrozenModels,
    process: TileFn,
    number: int,
    tiles: Iterator[tuple[int, Tile]],
    seconds: dict[str, float],
    doubtful: DoubtfulCaptions | None,
) -> Iterator[list[TileResult]]:
    ended = threading.Event()
    with (
        shared_among_workers(models.device) as models.workers,
        ThreadPoolExecutor(1, "batches") as reader,
        ThreadPoolExecutor(models.workers, "model", torch.set_num_threads, (torch.get_num_threads(),)) as workers,
    ):
        read = _read_batches(plan, models, number, tiles, ended, holds=doubtful is not None)
        batches = made_ahead(reader, read, seconds, "waiting for pixels")
        finish = partial(_process_batch, process, number)
        try:
            if doubtful is None:
                yield from in_order(workers, models.workers, finish, batches)
            else:
                labelled = in_order(workers, models.workers, partial(_label_batch, doubtful, finish), batches)
                with closing(labelled):
                    yield from in_order(workers, models.workers, doubtful.caption, doubtful.groups(labelled))
        finally:
            ended.set()
            batches.close()


def _read_batches(
    plan: InferencePlan,
    models: FrozenModels,
    number: int,
    tiles: Iterator[tuple[int, Tile]],
    ended: threading.Event,
    *,
    holds: bool,
) -> Generator[TileBatch, None, None]:
    """Read tiles into batches, in the calling thread, until there are no more or ``ended`` is set.

    ``holds`` says that images of doubtful tiles are held back.
    """
    scene, side = plan.scenes[number], plan.bundle.image_size
    images = 1 if scene.view_inputs is None else 1 + len(scene.view_inputs.images)
    bands = plan.bundle.bands
    size = tile_batch_size(
        models.batches.max_size,
        image_shape(scene.grid, side),
        (2 * models.workers + 1 if holds else models.workers) * images,
        COLOUR_BYTES if bands is None else BAND_BYTES * len(bands),
    )
    cache_key = None if models.caption_cache is None else models.caption_cache.cache_key
    results: list[TileResult] = []
    valid: list[ReadTile] = []
    for tile in read_ahead(scene, tiles, side, size, cache_key, cells=plan.votes):
        if ended.is_set():
            return
        pixels = tile.pixels
        if isinstance(pixels, ReadError):
            advice = f"; {pixels.hint}" if pixels.hint else ""
            warn_of_one("tiles cannot be read", "%s%s", pixels.message, advice)
            results.append(TileResult(number, tile.index, "read_error"))
        elif pixels.valid_fraction < plan.options.min_valid or pixels.valid_fraction == 0:
            results.append(TileResult(number, tile.index, "nodata", valid_cells=_cells(plan, pixels)))
        else:
            valid.append(tile)
        if len(valid) >= size or len(results) >= RESULTS_AT_ONCE:
            yield _make_batch(plan, results, valid, models.device)
            results, valid = [], []
    if results or valid:
        yield _make_batch(plan, results, valid, models.device)


def tile_batch_size(largest: int, shape: tuple[int, int], num_workers: int = 1, pixel_bytes: int = COLOUR_BYTES) -> int:
    """Return how many images of a shape (h, w) go into a `TileBatch`; no stage takes more than ``largest`` at once."""
    return max(1, min(largest, WAITING_BYTES // ((3 + num_workers) * pixel_bytes * math.prod(shape))))


def _cells(plan: InferencePlan, pixels: TilePixels) -> bytes | None:
    return None if pixels.cells is None else pack_cells(pixels.cells, plan.options.min_valid)


def _make_batch(
    plan: InferencePlan, results: list[TileResult], valid: list[ReadTile], device: torch.device
) -> TileBatch:
    pixels = [tile.pixels for tile in valid if isinstance(tile.pixels, TilePixels)]
    cache_keys = [tile.cache_key for tile in valid if tile.cache_key is not None]
    views = [tile.views for tile in valid if tile.views is not None]
    return TileBatch(
        results,
        [tile.index for tile in valid],
        [_cells(plan, each) for each in pixels],
        _stack_images([each.image for each in pixels], device),
        cache_keys or None,
        {
            name: _stack_images([each.images[name] for each in views], device)
            for name in (views[0].images if views else ())
        },
        {name: np.stack([each.numbers[name] for each in views]) for name in (views[0].numbers if views else ())},
    )


def _stack_images(arrays: list[npt.NDArray[Any]], device: torch.device) -> torch.Tensor:
    shape = arrays[0].shape if arrays else (3, 0, 0)
    dtype = torch.float32 if arrays and arrays[0].dtype == np.float32 else torch.uint8
    # CUDA copies from pinned memory asynchronously.
    images = torch.empty((len(arrays), *shape), dtype=dtype, pin_memory=device.type == "cuda")
    if arrays:
        np.stack(arrays, out=images.numpy())
    return images


def _process_batch(process: TileFn, number: int, batch: TileBatch) -> list[TileResult]:
    results = batch.results
    if batch.indices:
        results += process(number, batch)
    return sorted(results, key=lambda result: result.index)


def _label_batch(
    doubtful: DoubtfulCaptions, finish: Callable[[TileBatch], list[TileResult]], batch: TileBatch
) -> Labelled:
    return doubtful.choose(batch, finish(batch))


def _caption(models: FrozenModels, number: int, batch: TileBatch) -> list[TileResult]:
    captions = models.caption(batch.images, batch.cache_keys)
    return [
        TileResult(number, index, "model_error" if caption is None else None, caption=caption)
        for index, caption in zip(batch.indices, captions, strict=True)
    ]


def _classify(plan: Plan, classifier: TileClassifier, number: int, batch: TileBatch) -> list[TileResult]:
    captions, features = classifier.encode_batch(batch)
    probabilities = classifier.probabilities(features)
    saved: list[bytes | None] = [None] * len(captions)
    if plan.options.keep_features or plan.options.refine:
        saved = [row.tobytes() for row in classifier.vectors(features).astype(FEATURE_DTYPE)]
    unlike: list[tuple[float, float] | None] = [None] * len(captions)
    if plan.options.novelty or plan.unlike_rate is not None:
        novelty, p_values = classifier.unlike(features)
        unlike = list(zip(novelty.tolist(), p_values.tolist(), strict=True))
    members = [None] * len(captions) if plan.label_sets is None else plan.label_sets.of(probabilities)
    return [
        _with_labels(plan, TileResult(number, index, caption=caption, feature=feature, valid_cells=cells), *scores)
        for index, caption, feature, cells, *scores in zip(
            batch.indices,
            captions if plan.captions.first and plan.captions.written[number] else [None] * len(captions),
            saved,
            batch.cells,
            probabilities,
            unlike,
            members,
            strict=True,
        )
    ]


def _with_labels(
    plan: Plan,
    result: TileResult,
    probabilities: npt.NDArray[np.float32],
    unlike: tuple[float, float] | None,
    members: npt.NDArray[np.bool_] | None,
) -> TileResult:
    """Return a result with labels, or the reason why it has none.

    ``unlike`` are its novelty and p-value, ``members`` says which labels are in its set.
    """
    options = plan.options
    if not np.isfinite(probabilities).all():
        return replace(result, reason="model_error", feature=None)
    if members is not None:
        best_first = np.argsort(-probabilities, kind="stable")
        result = replace(result, label_set=tuple(best_first[members[best_first]].tolist()))
    if unlike is not None:
        novelty, p_value = unlike
        if options.novelty:
            result = replace(result, novelty=round(novelty, NOVELTY_DECIMALS))
        if plan.unlike_rate is not None and p_value <= plan.unlike_rate:
            if members is not None:
                result = replace(result, label_set=())
            # Without probabilities to refine: it does not take part.
            return replace(rank_labels(result, probabilities, options), reason=UNLIKE_EXAMPLES, ranking=())
    if options.refine or options.vote:
        result = replace(result, probability_bytes=probabilities.astype(PROBABILITIES).tobytes())
    return rank_labels(result, probabilities, options)
