"""How unlike all examples a tile is, and a rule whose rate of false alarms is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from bimors_cli.fewshot.folds import Folds, Mask
from bimors_cli.fewshot.kernel_ridge import MAX_EXACT, batches, choose_centres, median_distance, similarities
from bimors_cli.fewshot.probabilities import Array, Labels

# Noise of the Gaussian process: a tile as near to an example as two neighbours are is not unlike it.
_NOISE: Final = 0.1


@dataclass(frozen=True)
class Unlikeness:
    """The posterior variance of a Gaussian process at a tile: 0 among examples, 1 far from all of them.

    Attributes
    ----------
    centres : float64 array [m, d]
        Examples, as the view's members take them.
    bandwidth : float
        Median squared distance of two of them.
    scores : float64 array [n]
        What each example has when its fold is left out, ascending.
    shares : float64 array [n], optional
        1 / number of examples in the group, for each of ``scores``; 1 by default: each example is a group.
    """

    centres: Array
    bandwidth: float
    scores: Array
    shares: Array | None = None

    def of(self, values: Array) -> Array:
        """Return the variance of values [n, d]: [n], 0 to 1."""
        parts = [self._variance(values[rows], self.centres, self._inverse_of_all) for rows in batches(len(values))]
        return np.concatenate(parts) if parts else np.zeros(0)

    def p_values(self, variances: Array) -> Array:
        """Return conformal p-values [n]: for a tile like the examples P(p <= a) <= a, whatever its distribution.

        The tile is of a group of its own, and groups are exchangeable, examples are not: (1 + sum over groups of the
        fraction with at least the tile's variance) / (1 + number of groups). Lee, Barber and Willett,
        "Distribution-free inference with hierarchical data", 2023, arXiv 2306.06342.
        """
        total = np.append(np.cumsum(self._shares[::-1])[::-1], 0.0)
        at_least = total[np.searchsorted(self.scores, variances, side="left")]
        return np.asarray((1 + at_least) / (1 + self.groups), np.float64)

    @property
    def least_rate(self) -> float:
        """The lowest rate of false alarms at which any tile can be found unlike the examples."""
        return 1 / (1 + self.groups)

    @property
    def _shares(self) -> Array:
        return np.ones(len(self.scores)) if self.shares is None else self.shares

    @property
    def groups(self) -> int:
        """Number of groups of examples."""
        return round(float(self._shares.sum()))

    @classmethod
    def fit(cls, values: Array, labels: Labels, folds: Folds, seed: int = 0) -> Unlikeness:
        """Fit to the values [n, d] of examples; of more than `MAX_EXACT` a part are centres, all are scored."""
        chosen = np.arange(len(values))
        if len(values) > MAX_EXACT:
            chosen = choose_centres(labels, MAX_EXACT, seed)
        centres = values[chosen]
        found = cls(centres, median_distance("gaussian", centres), np.zeros(0))
        scores = np.zeros(len(values))
        for left_out in folds.masks:
            kept = ~left_out[chosen]
            if not kept.any():
                scores[left_out] = 1.0
                continue
            inverse, own = found._inverse(kept), np.flatnonzero(left_out)
            for rows in batches(len(own)):
                scores[own[rows]] = found._variance(values[own[rows]], centres[kept], inverse)
        order, shares = np.argsort(scores, kind="stable"), np.ones(len(values))
        if folds.group_of is not None:
            shares = 1 / np.bincount(folds.group_of)[folds.group_of]
        return cls(centres, found.bandwidth, scores[order], shares[order])

    @cached_property
    def _inverse_of_all(self) -> Array:
        return self._inverse(np.ones(len(self.centres), np.bool_))

    def _inverse(self, kept: Mask) -> Array:
        some = self.centres[kept]
        gram = similarities("gaussian", some, some, self.bandwidth) + _NOISE * np.eye(len(some))
        return np.asarray(np.linalg.inv(gram), np.float64)

    def _variance(self, values: Array, centres: Array, inverse: Array) -> Array:
        near = similarities("gaussian", values, centres, self.bandwidth)
        return np.asarray(np.clip(1 - np.einsum("nm,nm->n", near @ inverse, near), 0.0, 1.0), np.float64)
