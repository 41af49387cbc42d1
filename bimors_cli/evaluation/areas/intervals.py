"""95 % intervals of ratios of areas that a stratified random sample estimates.

A stratum's proportion has the mid-P interval of a binomial one; those of all strata are combined by the method of
variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27), for a ratio as in Donner and Zou 2012
(Statistical Methods in Medical Research 21). Such an interval stays within 0 and 1, need not be symmetric, and has a
width also where every tile of a stratum is right, which a multiple of the standard error has not. Chosen by simulation
among it, z, t with Satterthwaite's degrees of freedom, logit, and Korn and Graubard's effective sample size: only it
held 93 % where a rare class is left out by chance in a large stratum.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc

LEVEL: Final = 0.95
METHOD: Final = "mid-P limits of each stratum, combined by the method of variance estimates recovery"
_TAIL: Final = (1 - LEVEL) / 2
# Below this a proportion is 0 but for rounding.
_NONE: Final = 1e-12

Array = npt.NDArray[np.float64]


@lru_cache(maxsize=100_000)
def lower_limit(right: float, number: float) -> float:
    """Return the lower limit of the 95 % mid-P interval of a binomial proportion.

    It is the p at which (P(X > x) + P(X >= x)) / 2 is 2.5 % (Lancaster 1961), by the incomplete beta function also
    where x is not a whole number. The upper limit is 1 minus the lower one of ``number - right``.

    Parameters
    ----------
    right : float
        x, 0 to ``number``.
    number : float
        Number of examples, above 0.
    """
    if right <= _NONE:
        return 0.0
    wrong = number - right

    def tail(p: float) -> float:
        above = betainc(right + 1, wrong, p) if wrong > _NONE else 0.0
        return float(above + betainc(right, wrong + 1, p)) / 2 - _TAIL

    return float(brentq(tail, 0.0, 1.0))


def lower_limits(proportions: Array, numbers: Array) -> Array:
    """Return the lower limits of proportions, float64 [n]; those of infinitely many examples are known themselves."""
    limits = [
        p if math.isinf(n) else min(p, lower_limit(p * n, n))
        for p, n in zip(proportions.tolist(), numbers.tolist(), strict=True)
    ]
    return np.array(limits, np.float64)


def ratio_interval(inside: Array, outside: Array, weights: Array, numbers: Array) -> tuple[float, float]:
    r"""Return the 95 % interval of R = A / (A + B), A and B weighted sums of proportions of H strata.

    With the limits of the proportions of a stratum, the lower limit solves

    .. math:: (1 - R) A - R B = \Big(\sum_h w_h^2 \big[(1 - R)^2 d_{ah}^2 + R^2 d_{bh}^2
        + 2 R (1 - R) \rho_h d_{ah} d_{bh}\big]\Big)^{1/2}

    with d_a the distance from a proportion to its lower limit, d_b that to its upper one, and -rho their correlation
    in a multinomial distribution. The upper limit is 1 minus the lower one of B / (A + B).

    Parameters
    ----------
    inside, outside : float64 array [H]
        The two proportions in each stratum, 0..1, 1 at most together.
    weights : float64 array [H]
        Areas of the strata.
    numbers : float64 array [H]
        Effective numbers of tiles; infinity where the proportions are known.
    """
    return _lower(inside, outside, weights, numbers), 1 - _lower(outside, inside, weights, numbers)


def _lower(inside: Array, outside: Array, weights: Array, numbers: Array) -> float:
    below = weights * (inside - lower_limits(inside, numbers))
    above = weights * (1 - lower_limits(1 - outside, numbers) - outside)
    rest = np.maximum(1 - inside - outside, 0)
    # Without a third kind of tile one proportion is 1 minus the other.
    product = (1 - inside) * (1 - outside)
    related = np.sqrt(np.divide(inside * outside, product, out=np.ones_like(rest), where=rest > _NONE))
    a, b = float(weights @ inside), float(weights @ outside)
    a_squared, b_squared = a**2 - float(below @ below), b**2 - float(above @ above)
    middle = a * b + float((related * below) @ above)
    # The smaller root of b_squared t^2 - 2 middle t + a_squared, with the odds t = R / (1 - R).
    divisor = middle + np.sqrt(max(middle**2 - a_squared * b_squared, 0.0))
    if a_squared <= 0:
        return 0.0
    return float(a_squared / (a_squared + divisor))
