"""Gaussian discriminant analysis with shrinkage: one covariance for all classes, in closed form.

Wang et al., "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation", ICLR 2024, arXiv 2402.04087.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bimors_cli.fewshot.folds import Folds
from bimors_cli.fewshot.probabilities import Array, Labels

# Bias that marks a class without examples; its weights are 0.
_NEVER: Final = -1e4
# Squared deviations below this share of the squared values are rounding errors.
_ROUNDING: Final = 1e-24


@dataclass(frozen=True)
class Gda:
    """Scores f W + b of values f.

    Attributes
    ----------
    weights : float64 array [d, K]
    bias : float64 array [K]
    """

    weights: Array
    bias: Array

    @classmethod
    def fit(cls, values: Array, labels: Labels, weights: Array, classes: int) -> Gda:
        """Fit to examples.

        With C the values less the mean of their class, P = d (C'C + tr(C'C) / (n - 1) I)^-1, and the scores of class k
        are f'P mu_k - mu_k'P mu_k / 2 (all classes are equally probable).

        Parameters
        ----------
        values : float64 array [n, d]
        labels : int array [n]
        weights : float64 array [n]
            Weights of the examples, with mean 1.
        classes : int
            K; a class without examples is never the answer.
        """
        count, width = values.shape
        means = np.zeros((classes, width))
        for label in np.unique(labels):
            rows = labels == label
            means[label] = np.average(values[rows], axis=0, weights=weights[rows])
        centred = (values - means[labels]) * np.sqrt(weights)[:, None]
        shrinkage = float((centred**2).sum()) / max(count - 1, 1)
        if shrinkage <= _ROUNDING * float((values**2).sum()):  # one example a class, or equal ones: nearest mean
            centred, shrinkage = np.zeros_like(centred), 1.0
        if count < width:
            # The Woodbury identity: an n x n system instead of d x d.
            inner = centred @ centred.T + shrinkage * np.eye(count)
            solved = (means.T - centred.T @ np.linalg.solve(inner, centred @ means.T)) / shrinkage
        else:
            solved = np.linalg.solve(centred.T @ centred + shrinkage * np.eye(width), means.T)
        projection = width * solved
        bias = -0.5 * np.einsum("kd,dk->k", means, projection)
        bias[np.bincount(labels, minlength=classes) == 0] = _NEVER
        # As it is read from a file: another order in memory has other rounding errors.
        return cls(np.ascontiguousarray(projection), bias)

    def scores(self, values: Array) -> Array:
        """Return scores [n, K] of values [n, d]; a class without examples has a lower one than all others."""
        found = values @ self.weights + self.bias
        absent = (self.bias == _NEVER) & ~self.weights.any(axis=0)
        if absent.any() and not absent.all():
            lowest = found[:, ~absent].min(axis=1, keepdims=True)
            found[:, absent] = lowest - np.maximum(1.0, 1e-9 * np.abs(lowest))
        return found

    @classmethod
    def scores_left_out(cls, values: Array, labels: Labels, weights: Array, classes: int, folds: Folds) -> Array:
        """Return the scores [n, K] of each example by a classifier that did not learn from its fold."""
        found = np.zeros((len(values), classes))
        for left_out in folds.masks:
            kept = ~left_out
            if kept.any():
                fitted = cls.fit(values[kept], labels[kept], weights[kept], classes)
                found[left_out] = fitted.scores(values[left_out])
        return found
