"""Keys of images in the caches: hashes of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile


def image_hash(image: npt.NDArray[Any], source: bytes = b"") -> bytes:
    """Hash an image [channels, h, w], with what else decides the cached value as ``source``."""
    # 8-bit images have the keys of earlier versions, which had no others.
    dtype = "" if image.dtype == np.uint8 else image.dtype.str
    content = hashlib.sha256(source + f"{dtype}{image.shape!r}".encode())
    content.update(np.ascontiguousarray(image).data)
    return content.digest()


@dataclass(frozen=True)
class ImageKeys:
    """Takes the place of the cache of captions for a bundle without captioner: only features are cached."""

    cache: CaptionCacheFile

    def cache_key(self, image: npt.NDArray[Any]) -> bytes:
        """Return the key of an image [channels, h, w]. May be called from any thread."""
        return image_hash(image)

    def caption(
        self,
        images: torch.Tensor,
        captioner: Callable[[torch.Tensor], list[str | None]],
        cache_keys: Sequence[bytes] | None = None,
    ) -> list[str | None]:
        """Return the captions of B images, which are empty."""
        return captioner(images)
