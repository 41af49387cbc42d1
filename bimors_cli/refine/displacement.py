"""Whether the answers for two dates fit each other better at neighbouring tiles: then an image is displaced."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Agreements with the neighbours of two opposite sides differ by chance by less than so many standard errors. Tiles near
# each other are alike, so they are fewer than they seem.
_STANDARD_ERRORS: Final = 6.0
_FEWEST: Final = 50


def displacement(
    before: NDArray[Any], after: NDArray[Any], row: NDArray[np.integer[Any]], col: NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Estimate how far the image after is displaced against the image before, from the answers alone.

    The agreement of two tiles is the probability that their classes are equal. Along each axis a parabola is laid
    through the mean agreements with the tile before, with the same tile and with the next one; its vertex is the
    displacement. Axes where the two sides do not differ beyond chance have none.

    Parameters
    ----------
    before, after : ndarray
        [N, K], any float, 0..1: the probabilities of the classes of N tiles.
    row, col : ndarray
        int [N], their places in one grid.

    Returns
    -------
    tuple of float
        Right and down, in tiles, within -1..1: what tile (row, col) shows before is at (row + down, col + right) after.
    """
    grid = np.full((int(row.max()) + 3, int(col.max()) + 3), -1, np.int64) if len(row) else np.full((3, 3), -1)
    grid[row + 1, col + 1] = np.arange(len(row))
    return (
        _along(before, after, grid[row + 1, col], grid[row + 1, col + 2]),
        _along(before, after, grid[row, col + 1], grid[row + 2, col + 1]),
    )


def _along(
    before: NDArray[Any], after: NDArray[Any], previous: NDArray[np.int64], following: NDArray[np.int64]
) -> float:
    """Return the displacement along an axis, from the rows [N] of the neighbours on its two sides; -1 for none."""
    inner = np.flatnonzero((previous >= 0) & (following >= 0))
    if len(inner) < _FEWEST:
        return 0.0
    own = np.asarray(before[inner], np.float64)
    back, here, forth = (
        (own * np.asarray(after[rows], np.float64)).sum(axis=1) for rows in (previous[inner], inner, following[inner])
    )
    difference = forth - back
    error = difference.std() / np.sqrt(len(inner))
    if abs(difference.mean()) <= _STANDARD_ERRORS * error:
        return 0.0
    curvature = 2 * here.mean() - forth.mean() - back.mean()
    if curvature <= 0:  # the best place is beyond the neighbour
        return float(np.sign(difference.mean()))
    return float(np.clip(difference.mean() / (2 * curvature), -1, 1))
