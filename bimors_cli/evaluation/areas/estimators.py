"""Estimators of accuracy and area from a stratified random sample whose strata need not be the classes of the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

# Half the width of a 95 % interval in standard errors, as in Olofsson et al. 2014.
Z: Final = 1.959963984540054

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error; NaN where it is unknown: no tile of that kind, or one tile in a stratum."""

    value: float
    se: float

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % interval."""
        return Z * self.se

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in another unit."""
        return Estimate(self.value * factor, self.se * factor)


def estimate_ratio(y: Array, x: Array, strata: Indices, sizes: Sequence[int]) -> Estimate:
    r"""Estimate the ratio of two population totals from a stratified random sample.

    .. math:: \hat R = \frac{\sum_h N_h \bar y_h}{\sum_h N_h \bar x_h}, \qquad
        \hat V = \hat X^{-2} \sum_h N_h^2 \Big(1 - \frac{n_h}{N_h}\Big)
        \frac{s_{yh}^2 + \hat R^2 s_{xh}^2 - 2 \hat R s_{xyh}}{n_h}

    (Stehman 2014, International Journal of Remote Sensing 35, equations 27 to 29). With x = 1 it is the mean of y.

    Parameters
    ----------
    y, x : float64 array [n]
        The two quantities of each drawn tile.
    strata : int array [n]
        The stratum of each, 0 to H - 1.
    sizes : sequence of int
        N_h, the number of tiles of each of the H strata. Every stratum with tiles needs a drawn one.

    Returns
    -------
    Estimate
        NaN where the denominator is 0. The standard error is NaN where a stratum of several tiles has one drawn.

    Raises
    ------
    ValueError
        A stratum with tiles has no drawn one, or more drawn ones than tiles.
    """
    size = np.asarray(sizes, np.float64)
    drawn = np.bincount(strata, minlength=len(size)).astype(np.float64)
    if len(drawn) > len(size) or ((drawn == 0) & (size > 0)).any() or (drawn > size).any():
        raise ValueError("a stratum has no drawn tile, or more drawn tiles than tiles")
    count = np.maximum(drawn, 1)
    mean_y, mean_x = (np.bincount(strata, values, len(size)) / count for values in (y, x))
    total = float((size * mean_x).sum())
    if total <= 0:
        return Estimate(float("nan"), float("nan"))
    ratio = float((size * mean_y).sum()) / total
    # s_y^2 + R^2 s_x^2 - 2 R s_xy is the variance of y - R x.
    residual = (y - mean_y[strata]) - ratio * (x - mean_x[strata])
    squares = np.bincount(strata, residual**2, len(size))
    open_ = (drawn > 0) & (drawn < size)  # a stratum that was drawn as a whole has no variance
    if (drawn[open_] == 1).any():
        return Estimate(ratio, float("nan"))
    variance = np.zeros(len(size))
    variance[open_] = (
        size[open_] ** 2 * (1 - drawn[open_] / size[open_]) * squares[open_] / (drawn[open_] - 1) / drawn[open_]
    )
    return Estimate(ratio, float(np.sqrt(variance.sum())) / total)


@dataclass(frozen=True)
class AreaEstimates:
    """What a sample says of a map with K classes.

    Attributes
    ----------
    overall : Estimate
        Overall accuracy: fraction of the area whose label is right.
    users, producers : tuple of Estimate
        By class the fraction of its mapped area that is right, and of its true area that is mapped as it.
    proportions : tuple of Estimate
        By class the fraction of the area of the map.
    """

    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    proportions: tuple[Estimate, ...]


def estimate_areas(
    mapped: Indices, reference: Indices, areas: Array, strata: Indices, sizes: Sequence[int], classes: int
) -> AreaEstimates:
    """Estimate accuracies and proportions of area.

    All of them are ratios of areas (`estimate_ratio`): each tile counts with its area. Where all tiles have the same,
    this is Stehman 2014; where the strata are the classes of the map too, Olofsson et al. 2014 but for their factor
    (1 - n_h / N_h), which they take as 1.

    Parameters
    ----------
    mapped, reference : int array [n]
        Class of each drawn tile on the map, -1 for none, and in the reference.
    areas : float64 array [n]
        Its area.
    strata : int array [n]
        Its stratum.
    sizes : sequence of int
        N_h, see `estimate_ratio`.
    classes : int
        K.

    Raises
    ------
    ValueError
        As `estimate_ratio`.
    """

    def ratio(of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_] | None = None) -> Estimate:
        inside = np.ones(len(areas), np.bool_) if among is None else among
        return estimate_ratio(areas * (of & inside), areas * inside, strata, sizes)

    right = mapped == reference
    return AreaEstimates(
        ratio(right),
        tuple(ratio(right, mapped == label) for label in range(classes)),
        tuple(ratio(right, reference == label) for label in range(classes)),
        tuple(ratio(reference == label) for label in range(classes)),
    )
