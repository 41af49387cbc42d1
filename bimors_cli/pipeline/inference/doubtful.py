"""Captions of the doubtful tiles, after their labels: those of several batches together.

The images of a batch are in memory when its labels are known, so no tile is read twice. A captioner takes about as long
for a few images as for many; so finished tiles are held back until enough of them wait for a caption.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch

from bimors_cli.model.batching import CAPTIONER
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.pipeline.tile_result import TileResult, is_doubtful

# Most batches to hold back: so many tiles are lost by a kill.
BATCHES_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Labelled:
    """Labelled tiles of ``batches`` batches, in the order of the grid.

    ``images`` [n, channels, h, w] on the CPU are those of its n doubtful tiles, in order; so are ``cache_keys``, which
    are empty without a cache.
    """

    results: list[TileResult]
    images: torch.Tensor
    cache_keys: list[bytes]
    batches: int = 1

    def followed_by(self, other: Labelled) -> Labelled:
        """Return these tiles and the following ones of the same scene."""
        # A batch without images has no shape.
        images = [part.images for part in (self, other) if len(part.images)]
        joined = torch.cat(images) if images else self.images
        return Labelled(
            [*self.results, *other.results],
            joined,
            [*self.cache_keys, *other.cache_keys],
            self.batches + other.batches,
        )


@dataclass(frozen=True)
class DoubtfulCaptions:
    """Captions tiles with a confidence below ``below``, or without a label."""

    models: FrozenModels
    below: float

    def choose(self, batch: TileBatch, results: list[TileResult]) -> Labelled:
        """Choose from the results of a batch those to caption; only their images are kept."""
        doubtful = {result.index for result in results if is_doubtful(result, self.below)}
        rows = [row for row, index in enumerate(batch.indices) if index in doubtful]
        keys = batch.cache_keys or []
        return Labelled(results, batch.images[rows], [keys[row] for row in rows] if keys else [])

    def groups(self, labelled: Iterator[Labelled]) -> Iterator[Labelled]:
        """Join consecutive batches until their doubtful tiles fill a batch of the captioner."""
        held: Labelled | None = None
        for part in labelled:
            size = self.models.batches.sizes[CAPTIONER]
            if held is not None and (
                len(held.images) + len(part.images) > size or held.batches + part.batches > BATCHES_AT_ONCE
            ):
                yield held
                held = None
            held = part if held is None else held.followed_by(part)
        if held is not None:
            yield held

    def caption(self, group: Labelled) -> list[TileResult]:
        """Return the results of a group, the doubtful ones with captions; None where the captioner failed."""
        if not len(group.images):
            return group.results
        captions = iter(self.models.caption(group.images, group.cache_keys or None))
        return [
            replace(result, caption=next(captions)) if is_doubtful(result, self.below) else result
            for result in group.results
        ]
