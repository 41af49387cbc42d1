"""Which answered tiles touch on the map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

NONE: Final = -1
SIDES: Final = tuple((row, col) for row in (0, 1, 2) for col in (0, 1, 2) if (row, col) != (1, 1))
_TILES_AT_ONCE: Final = 2**17  # 8 MiB of neighbours


def map_neighbours(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Find the neighbours of a scene's answered tiles, some rows of the grid at a time.

    Neighbours are the tiles whose row and column differ by at most one, and that were answered: what lies between them
    is no tile without data. Two that touch at a corner only are neighbours, even where the tiles at both other sides of
    that corner hold no data.

    Parameters
    ----------
    rows : int64 array [grid rows, grid columns]
        Where the answer of each tile is kept, `NONE` without one.

    Yields
    ------
    int64 array [n, 8]
        For each answered tile, in the order of the grid, where the answers of its neighbours are kept; `NONE` for none.
    """
    height, width = rows.shape
    framed = np.full((height + 2, width + 2), NONE, np.int64)
    framed[1:-1, 1:-1] = rows
    high = max(1, _TILES_AT_ONCE // width)
    for top in range(0, height, high):
        part = framed[top : top + high + 2]
        size = len(part) - 2
        answered = part[1:-1, 1:-1] != NONE
        yield np.stack([part[y : y + size, x : x + width][answered] for y, x in SIDES], axis=1)
