"""Drawing tiles by chance. Tiles are rows of arrays, in an order that does not depend on that of the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def draw_strata(
    strata: Indices,
    counts: Sequence[int],
    random: np.random.Generator,
    places: npt.NDArray[np.float64] | None = None,
    min_distance: float = 0.0,
) -> Indices:
    """Draw tiles of each stratum by simple random sampling, in one random order of all tiles.

    Parameters
    ----------
    strata : int array [n]
        The stratum of each tile.
    counts : sequence of int
        How many tiles to draw of each stratum.
    random : Generator
        Source of the order.
    places : float64 array [n, d], optional
        Coordinates of the tiles, in the unit of ``min_distance``.
    min_distance : float
        A tile closer than this to one that was drawn before is passed over, so fewer may be drawn than asked for.

    Returns
    -------
    int array
        Rows of the drawn tiles, in the random order.
    """
    left = list(counts)
    wanted = sum(left)
    drawn: list[int] = []
    kept = np.empty((wanted, 0 if places is None else places.shape[1]))
    for row in random.permutation(len(strata)).tolist():
        if len(drawn) == wanted:
            break
        stratum = int(strata[row])
        if not left[stratum]:
            continue
        if places is not None:
            apart = ((kept[: len(drawn)] - places[row]) ** 2).sum(axis=1)
            if (apart < min_distance**2).any():
                continue
            kept[len(drawn)] = places[row]
        left[stratum] -= 1
        drawn.append(row)
    return np.array(drawn, np.intp)


def draw_grid(rows: Indices, cols: Indices, count: int, random: np.random.Generator) -> Indices:
    """Draw the tiles that hold the points of a square lattice with a random start: about ``count`` of n tiles.

    The distance of the points is s = sqrt(n / count) tiles, which need not be a whole number. Where the start is
    uniform in 0..s, a row of tiles holds a row of points with the probability 1 / s, and a column likewise: each tile
    is drawn with the probability count / n. The number of drawn tiles varies with the start unless s divides the
    numbers of rows and columns.

    Parameters
    ----------
    rows, cols : int array [n]
        Places of the tiles in their grids.
    count : int
        How many tiles to draw, about; n at most.
    random : Generator
        Source of the start, and of the order of the result.

    Returns
    -------
    int array
        Rows of the drawn tiles, in a random order; none where the points have no tile.
    """
    step = (len(rows) / count) ** 0.5
    start_row, start_col = random.uniform(0, step, size=2)
    return random.permutation(np.flatnonzero(_has_point(rows, start_row, step) & _has_point(cols, start_col, step)))


def _has_point(places: Indices, start: float, step: float) -> npt.NDArray[np.bool_]:
    """Tell which whole numbers are the floor of start + i * step, i from 0."""
    number = np.ceil((places - start) / step)
    return np.asarray(np.floor(start + number * step) == places)
