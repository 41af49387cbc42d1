"""Gists of pictures in the user's cache: with other labels, no model but the text tower computes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bimors_cli.model.heads.base import HeadFeatures
from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile


@dataclass(frozen=True)
class FeatureSpec:
    """One of the tensors of a gist: ``source`` tells what it follows from beside the picture and its caption, ``shape``
    is that of a tile.
    """

    source: bytes
    shape: tuple[int, ...]

    def key(self, picture: bytes) -> bytes:
        return hashlib.sha256(self.source + picture).digest()

    def read(self, values: Sequence[bytes]) -> torch.Tensor:
        """Return float32 [n, *shape]."""
        numbers = np.frombuffer(b"".join(values), np.float32).reshape(len(values), *self.shape)
        return torch.from_numpy(numbers.copy())

    def fits(self, value: bytes) -> bool:
        return len(value) == 4 * math.prod(self.shape)


@dataclass(frozen=True)
class FeatureCache:
    """What a head keeps of pictures, by the keys of their captions. All heads of a CLIP share its image features."""

    cache: CaptionCacheFile
    feature: FeatureSpec
    context: FeatureSpec | None

    def find(self, pictures: Sequence[bytes], device: torch.device) -> tuple[list[int], list[str], HeadFeatures | None]:
        """Look pictures up.

        Returns
        -------
        tuple
            The places among ``pictures`` of those that are known, their captions, and their gist; None for none.
        """
        captions = self.cache.find(set(pictures))
        found = self.cache.get_features({part.key(picture) for part in self._parts for picture in captions})
        known: list[int] = []
        values: list[list[bytes]] = []
        for place, picture in enumerate(pictures):
            row = [value for part in self._parts if part.fits(value := found.get(part.key(picture), b""))]
            if picture in captions and len(row) == len(self._parts):
                known.append(place)
                values.append(row)
        if not known:
            return [], [], None
        self.cache.tally(len(known))
        columns = zip(*values, strict=True)
        tensors = [part.read(column).to(device) for part, column in zip(self._parts, columns, strict=True)]
        return known, [captions[pictures[place]] for place in known], HeadFeatures(*tensors)

    def keep(self, pictures: Sequence[bytes], gist: HeadFeatures) -> None:
        """Keep the gist of as many pictures as there are keys; numbers that are not finite are left out."""
        kept: dict[bytes, bytes] = {}
        for part, tensor in zip(self._parts, (gist.image_feature, gist.context), strict=False):
            assert tensor is not None  # a head always keeps the same parts
            rows = tensor.float().cpu().numpy()
            kept |= {
                part.key(picture): row.tobytes()
                for picture, row in zip(pictures, rows, strict=True)
                if np.isfinite(row).all()
            }
        self.cache.put_features(kept)

    @property
    def _parts(self) -> list[FeatureSpec]:
        return [self.feature] if self.context is None else [self.feature, self.context]
