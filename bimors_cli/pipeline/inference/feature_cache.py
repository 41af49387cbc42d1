"""Features of images in the user's cache: with other labels, no model but the text encoder runs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bimors_cli.bundle.manifest import CLIP
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import HeadFeatures, feature_width
from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile


@dataclass(frozen=True)
class FeatureSpec:
    """One of the tensors of `HeadFeatures`.

    ``source`` identifies the models that it is computed by, ``shape`` is its shape for one tile, float32.
    """

    source: bytes
    shape: tuple[int, ...]

    def cache_key(self, image_key: bytes) -> bytes:
        """Return the key of this tensor; ``image_key`` is the key of the image's caption."""
        return hashlib.sha256(self.source + image_key).digest()

    def decode(self, values: Sequence[bytes]) -> torch.Tensor:
        """Return float32 [n, *shape]."""
        numbers = np.frombuffer(b"".join(values), np.float32).reshape(len(values), *self.shape)
        return torch.from_numpy(numbers.copy())

    def has_size_of(self, value: bytes) -> bool:
        """Tell whether a value has as many bytes as the shape needs."""
        return len(value) == 4 * math.prod(self.shape)


def image_feature_spec(models: FrozenModels) -> FeatureSpec:
    """Return the spec of CLIP's image features: they depend on its files and its precision."""
    return FeatureSpec(
        hash_of("image feature", models.bundle.part_sha256(CLIP), models.dtype),
        (feature_width(models),),
    )


def hash_of(*parts: object) -> bytes:
    """Hash the texts of some values."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()


@dataclass(frozen=True)
class FeatureCache:
    """Features of a head, by the cache keys of the images' captions. All heads of a CLIP share its image features.

    Without ``captions`` the keys are those of the images, and every caption is empty.
    """

    cache: CaptionCacheFile
    feature: FeatureSpec
    context: FeatureSpec | None
    captions: bool = True

    def get(
        self, image_keys: Sequence[bytes], device: torch.device
    ) -> tuple[list[int], list[str], HeadFeatures | None]:
        """Look images up.

        Returns
        -------
        tuple
            Indices in ``image_keys`` of the images found, their captions, and their features; None if none was found.
        """
        captions = self.cache.get(set(image_keys)) if self.captions else dict.fromkeys(image_keys, "")
        values = self.cache.get_features({spec.cache_key(key) for spec in self._specs for key in captions})
        found: list[int] = []
        rows: list[list[bytes]] = []
        for index, key in enumerate(image_keys):
            row = [value for spec in self._specs if spec.has_size_of(value := values.get(spec.cache_key(key), b""))]
            if key in captions and len(row) == len(self._specs):
                found.append(index)
                rows.append(row)
        if not found:
            return [], [], None
        if self.captions:
            self.cache.count_hits(len(found))
        columns = zip(*rows, strict=True)
        tensors = [spec.decode(column).to(device) for spec, column in zip(self._specs, columns, strict=True)]
        return found, [captions[image_keys[index]] for index in found], HeadFeatures(*tensors)

    def put(self, image_keys: Sequence[bytes], features: HeadFeatures) -> None:
        """Add the features of images, one per key. Features that are not finite are omitted."""
        added: dict[bytes, bytes] = {}
        for spec, tensor in zip(self._specs, (features.image_feature, features.context), strict=False):
            assert tensor is not None  # a head always has the same tensors
            rows = tensor.float().cpu().numpy()
            added |= {
                spec.cache_key(key): row.tobytes()
                for key, row in zip(image_keys, rows, strict=True)
                if np.isfinite(row).all()
            }
        self.cache.put_features(added)

    @property
    def _specs(self) -> list[FeatureSpec]:
        return [self.feature] if self.context is None else [self.feature, self.context]
