"""Neighbouring tiles on the map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

NONE: Final = -1
SIDES: Final = tuple((row, col) for row in (0, 1, 2) for col in (0, 1, 2) if (row, col) != (1, 1))
_TILES_AT_ONCE: Final = 2**17  # 8 MiB of indices


def map_neighbours(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Find the neighbours of a scene's classified tiles, some rows of the grid at a time.

    Neighbours are the classified tiles whose row and column differ by at most one. Tiles that only share a corner are
    neighbours, even if the two other tiles at that corner hold no data.

    Parameters
    ----------
    rows : int64 array [grid rows, grid columns]
        Index of each tile's probabilities, `NONE` for a tile that was not classified.

    Yields
    ------
    int64 array [n, 8]
        For each classified tile, in grid order, the indices of its neighbours' probabilities; `NONE` without one.
    """
    height, width = rows.shape
    padded = np.full((height + 2, width + 2), NONE, np.int64)
    padded[1:-1, 1:-1] = rows
    high = max(1, _TILES_AT_ONCE // width)
    for top in range(0, height, high):
        part = padded[top : top + high + 2]
        size = len(part) - 2
        classified = part[1:-1, 1:-1] != NONE
        yield np.stack([part[y : y + size, x : x + width][classified] for y, x in SIDES], axis=1)
