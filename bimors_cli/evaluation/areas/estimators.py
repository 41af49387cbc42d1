"""Estimators of accuracy and area from a stratified random sample whose strata need not be the classes of the map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bimors_cli.evaluation.areas.intervals import ratio_interval

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """An estimate, its standard error and its 95 % interval.

    All are NaN where there is no tile of that kind; the last three also where a stratum of several tiles has one.
    """

    value: float
    se: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in another unit."""
        return Estimate(*(factor * one for one in (self.value, self.se, self.low, self.high)))


@dataclass(frozen=True)
class StratifiedSample:
    """n tiles that were drawn from H strata.

    Attributes
    ----------
    areas : float64 array [n]
        Area of each tile, above 0.
    strata : int array [n]
        Its stratum, 0 to H - 1.
    tiles, totals : float64 array [H]
        N_h and A_h, the number and the area of the tiles of each stratum. Every stratum with tiles needs a drawn one.

    Raises
    ------
    ValueError
        A stratum with tiles has no drawn one, or more drawn ones than tiles.
    """

    areas: Array
    strata: Indices
    tiles: Array
    totals: Array

    def __post_init__(self) -> None:
        if len(self.strata) and self.strata.max() >= len(self.tiles):
            raise ValueError("a tile is in no stratum")
        if ((self.drawn == 0) & (self.tiles > 0)).any() or (self.drawn > self.tiles).any():
            raise ValueError("a stratum has no drawn tile, or more drawn tiles than tiles")

    @cached_property
    def drawn(self) -> Array:
        """n_h, the number of drawn tiles of each stratum."""
        return self.sums(np.ones(len(self.strata)))

    @cached_property
    def effective(self) -> Array:
        """Number of tiles of equal area whose proportion has the same variance (Kish 1965); infinity if all are drawn.

        Sampling without replacement counts as 1 / (1 - n_h / N_h) times as many tiles.
        """
        kish = np.divide(self.sums(self.areas) ** 2, self.sums(self.areas**2), where=self.drawn > 0, out=self.drawn * 0)
        rest = np.divide(self.tiles - self.drawn, self.tiles, where=self.tiles > 0, out=self.drawn * 0)
        found: Array = np.divide(kish, rest, where=rest > 0, out=np.full(len(rest), np.inf))
        return found

    def sums(self, values: Array) -> Array:
        """Return the sum of the values [n] of the drawn tiles of each stratum."""
        return np.bincount(self.strata, values, len(self.tiles)).astype(np.float64)

    def fractions(self, kind: Mask) -> Array:
        """Return the fraction of the drawn area of each stratum that is of a kind, bool [n]; 0 without a drawn tile."""
        return np.divide(
            self.sums(self.areas * kind), self.sums(self.areas), where=self.drawn > 0, out=np.zeros(len(self.tiles))
        )


def estimate_ratio(sample: StratifiedSample, of: Mask, among: Mask, known_none: Mask | None = None) -> Estimate:
    r"""Estimate the fraction of the area of one kind of tiles that is of another kind, too.

    .. math:: \hat R = \frac{\sum_h A_h \bar y_h}{\sum_h A_h \bar x_h}, \qquad
        \hat V = \hat X^{-2} \sum_h N_h^2 \Big(1 - \frac{n_h}{N_h}\Big) \frac{s_{eh}^2}{n_h}, \qquad
        e_i = \frac{A_h / N_h}{\bar a_h} a_i \big[y_i - \bar y_h - \hat R (x_i - \bar x_h)\big]

    x and y are 1 for tiles ``among`` and ``of``, means are weighted by the tiles' areas a. Where the tiles of a stratum
    have equal areas, these are equations 27 to 29 of Stehman 2014 (International Journal of Remote Sensing 35), and the
    variance is that of s_y^2 + R^2 s_x^2 - 2 R s_xy; otherwise each mean is a ratio estimator (Cochran 1977, section
    6.10), so that the areas of all classes sum to the known area of the map. The interval is `ratio_interval`.

    Parameters
    ----------
    sample : StratifiedSample
        The drawn tiles.
    of, among : bool array [n]
        The kinds; a tile counts as ``of`` only if it is ``among``.
    known_none : bool array [H], optional
        Strata that are known to have no tile ``among``: they add nothing to the error and to the width of the interval.
    """
    x, y = among.astype(np.float64), (of & among).astype(np.float64)
    mean_x, mean_y = sample.fractions(among), sample.fractions(of & among)
    total = float(sample.totals @ mean_x)
    if total <= 0:
        return Estimate(*[float("nan")] * 4)
    ratio = float(sample.totals @ mean_y) / total
    drawn = sample.drawn
    certain = drawn == sample.tiles if known_none is None else (drawn == sample.tiles) | known_none
    partly = ~certain  # a stratum that was drawn as a whole has no variance
    if (drawn[partly] == 1).any():
        return Estimate(ratio, *[float("nan")] * 3)
    at = sample.strata
    residual = sample.areas * (y - mean_y[at] - ratio * (x - mean_x[at]))
    n, size = drawn[partly], sample.tiles[partly]
    expansion = sample.totals[partly] / sample.sums(sample.areas)[partly]
    variance = (expansion * n) ** 2 * (1 - n / size) * sample.sums(residual**2)[partly] / (n - 1) / n
    numbers = np.where(certain, np.inf, sample.effective)
    low, high = ratio_interval(mean_y, mean_x - mean_y, sample.totals, numbers)
    return Estimate(ratio, float(np.sqrt(variance.sum())) / total, min(low, ratio), max(high, ratio))


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
    confusion : float64 array [K + 1, K]
        Estimated fractions of the area: rows are classes of the map, the last one without a label; columns are classes
        of the reference. They sum to 1.
    """

    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    proportions: tuple[Estimate, ...]
    confusion: Array


def estimate_areas(
    mapped: Indices, reference: Indices, sample: StratifiedSample, classes: int, known_none: Mask | None = None
) -> AreaEstimates:
    """Estimate accuracies and proportions of area.

    All of them are ratios of areas (`estimate_ratio`). Where the strata are the classes of the map and tiles have equal
    areas, this is Olofsson et al. 2014 but for their factor (1 - n_h / N_h), which they take as 1.

    Parameters
    ----------
    mapped, reference : int array [n]
        Class of each drawn tile on the map, -1 for none, and in the reference.
    sample : StratifiedSample
        The drawn tiles.
    classes : int
        K.
    known_none : bool array [H, K], optional
        Strata that are known to have no tile of a class of the map, as all but one if they are its classes.
    """
    everywhere = np.ones(len(mapped), np.bool_)
    right = mapped == reference
    labels = range(classes)
    none = [None] * classes if known_none is None else list(known_none.T)
    weights = sample.totals / sample.totals.sum()
    rows = [*labels, -1]
    return AreaEstimates(
        estimate_ratio(sample, right, everywhere),
        tuple(estimate_ratio(sample, right, mapped == label, none[label]) for label in labels),
        tuple(estimate_ratio(sample, right, reference == label) for label in labels),
        tuple(estimate_ratio(sample, reference == label, everywhere) for label in labels),
        np.array(
            [[weights @ sample.fractions((mapped == row) & (reference == col)) for col in labels] for row in rows],
            np.float64,
        ).reshape(classes + 1, classes),
    )
