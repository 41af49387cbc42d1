"""The size of GDAL's cache of decoded blocks while part of a scene is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import rasterio

# Least and largest size in bytes, for all threads together.
LEAST: Final = 16 * 1024**2
MOST: Final = 512 * 1024**2


def block_cache(needed: int, least: int = LEAST) -> rasterio.Env:
    """Return a `rasterio.Env` with a block cache of ``needed`` bytes, from ``least`` to `MOST`.

    Blocks that are not used again only cost memory, which the process keeps after the cache is emptied. A size in the
    environment wins (`GDAL_CACHEMAX`).
    """
    size = min(max(needed, least), MOST)
    return rasterio.Env(**({} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": size}))


def row_bytes(width: int, dtypes: Sequence[str]) -> int:
    """Return the bytes of a row of pixels of all bands: GDAL decodes those that a file interleaves together."""
    return width * sum(np.dtype(kind).itemsize for kind in dtypes)
