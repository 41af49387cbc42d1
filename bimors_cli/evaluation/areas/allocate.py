"""How many tiles of each stratum a sample has, and how exact it will be."""

from __future__ import annotations

import math
from collections.abc import Sequence


def tiles_for(target_se: float, sizes: Sequence[int], expected: Sequence[float]) -> int:
    r"""Return the size of a sample whose overall accuracy has a given standard error.

    .. math:: n = \Big(\frac{\sum_h W_h \sqrt{U_h (1 - U_h)}}{S(\hat O)}\Big)^2

    (Olofsson et al. 2014, Remote Sensing of Environment 148, equation 13, with W_h = N_h / N.) Their term for small N
    is left out: with it the sample would be smaller.

    Parameters
    ----------
    target_se : float
        The standard error, above 0.
    sizes : sequence of int
        N_h, the number of tiles of each stratum; not all are 0.
    expected : sequence of float
        U_h, the user's accuracy to expect in each, 0 to 1.
    """
    spread = sum(size * math.sqrt(u * (1 - u)) for size, u in zip(sizes, expected, strict=True)) / sum(sizes)
    # Rounding first: 0.8 * 0.2 / 0.02**2 is 400, and not 400.00000000000006.
    return max(1, math.ceil(round((spread / target_se) ** 2, 6)))


def expected_se(sizes: Sequence[int], drawn: Sequence[int], expected: Sequence[float]) -> float:
    r"""Return the standard error of the overall accuracy that a stratified sample will have.

    .. math:: \sqrt{\sum_h W_h^2 \Big(1 - \frac{n_h}{N_h}\Big) \frac{U_h (1 - U_h)}{n_h}}

    (The variance of a stratified mean, as in Stehman 2014, International Journal of Remote Sensing 35, with the
    expected variance in place of that of the sample.)

    Parameters
    ----------
    sizes, expected : sequence
        As for `tiles_for`.
    drawn : sequence of int
        n_h, from 1 where a stratum has tiles.
    """
    every = sum(sizes)
    return math.sqrt(
        sum(
            (size / every) ** 2 * (1 - n / size) * u * (1 - u) / n
            for size, n, u in zip(sizes, drawn, expected, strict=True)
            if size
        )
    )


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
