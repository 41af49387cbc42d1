"""How many tiles of each stratum a sample has."""

from __future__ import annotations

import math
from collections.abc import Sequence


def tiles_for(target_se: float, expected: float) -> int:
    """Return the size of a sample whose overall accuracy has a given standard error (Olofsson et al. 2014, eq. 13).

    Parameters
    ----------
    target_se : float
        The standard error, above 0.
    expected : float
        Expected user's accuracy, 0 to 1, the same for every stratum: their weights sum to 1, so none is needed.
    """
    # Rounding first: 0.8 * 0.2 / 0.02**2 is 400, and not 400.00000000000006.
    return max(1, math.ceil(round(expected * (1 - expected) / target_se**2, 6)))


def in_proportion(sizes: Sequence[int], total: int, least: int) -> tuple[int, ...]:
    """Allocate a sample to strata in proportion to their sizes.

    Parameters
    ----------
    sizes : sequence of int
        Number of tiles of each stratum.
    total : int
        Number of tiles to draw; all of them if there are fewer.
    least : int
        Smallest number in a stratum; the total grows for it, and no other stratum shrinks.

    Returns
    -------
    tuple of int
        Number of tiles of each stratum, its size at most.
    """
    all_tiles = sum(sizes)
    total = min(total, all_tiles)
    if not all_tiles:
        return (0,) * len(sizes)
    # Whole numbers: a quotient of floats could round a stratum above its size. Largest remainders get the rest.
    found = [total * size // all_tiles for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (-(total * sizes[i] % all_tiles), i))
    for index in by_remainder[: total - sum(found)]:
        found[index] += 1
    return tuple(min(size, max(count, least)) for size, count in zip(sizes, found, strict=True))


def equally(sizes: Sequence[int], each: int) -> tuple[int, ...]:
    """Allocate the same number of tiles to every stratum, its size at most."""
    return tuple(min(size, each) for size in sizes)
