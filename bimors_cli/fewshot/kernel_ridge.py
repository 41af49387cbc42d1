"""Kernel ridge regression onto one-hot labels, with leave-out answers in closed form.

After ProKeR (Bendou et al., "ProKeR: A Kernel Perspective on Few-Shot Adaptation of Large Vision-Language Models",
CVPR 2025). Up to `MAX_EXACT` examples each is a centre of the kernel; of more, a part of each class is, and all are
regressed on (the Nystroem method).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from bimors_cli.fewshot.folds import Folds, Mask
from bimors_cli.fewshot.probabilities import Array, Labels

# Gaussian: exp(-d2 / median of d2), d2 the squared Euclidean distance. Laplace: exp(-d1 / median of d1), d1 the sum of
# absolute differences: nearly a random forest (Balog et al., "The Mondrian Kernel", UAI 2016).
Kernel = Literal["gaussian", "laplace"]
_METRICS: Final[dict[Kernel, Literal["sqeuclidean", "cityblock"]]] = {"gaussian": "sqeuclidean", "laplace": "cityblock"}

RIDGE: Final = 0.1
MAX_EXACT: Final = 1500
CENTRES: Final = 1000
_ROWS_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class KernelRidge:
    """Scores k(f, centres) A of values f.

    Attributes
    ----------
    kernel : {"gaussian", "laplace"}
    centres : float64 array [m, d]
    coefficients : float64 array [m, K]
    bandwidth : float
        Median distance of two centres.
    """

    kernel: Kernel
    centres: Array
    coefficients: Array
    bandwidth: float

    def scores(self, values: Array) -> Array:
        """Return scores [n, K] of values [n, d]."""
        parts = [
            similarities(self.kernel, values[rows], self.centres, self.bandwidth) @ self.coefficients
            for rows in batches(len(values))
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.coefficients.shape[1]))


def fit_kernel_ridge(
    kernel: Kernel, values: Array, labels: Labels, weights: Array, classes: int, folds: Folds, seed: int = 0
) -> tuple[KernelRidge, Array]:
    """Fit to examples: A = (k(S, S) + ridge / weight)^-1 (Y - 1/K).

    Without fold B the residual of B is G_BB^-1 A_B, with G the inverse above.

    Parameters
    ----------
    kernel : {"gaussian", "laplace"}
    values : float64 array [n, d]
    labels : int array [n]
    weights : float64 array [n]
        Weights of the examples, with mean 1.
    classes : int
        K, the number of classes.
    folds : Folds
        What is left out together.
    seed : int
        Draws the centres, where there are more than `MAX_EXACT` examples.

    Returns
    -------
    tuple of KernelRidge and float64 array [n, K]
        The ridge, and the scores of each example by one that did not learn from its fold.
    """
    target = np.eye(classes)[labels] - 1 / classes
    if len(values) > MAX_EXACT:
        return _fit_nystroem(kernel, values, labels, weights, target, folds, seed)
    bandwidth = median_distance(kernel, values)
    gram = similarities(kernel, values, values, bandwidth)
    precision = np.linalg.inv(gram + np.diag(RIDGE / weights))
    coefficients = precision @ target
    scores = np.zeros_like(target)
    for left_out in folds.masks:
        own = precision[np.ix_(left_out, left_out)]
        scores[left_out] = target[left_out] - np.linalg.solve(own, coefficients[left_out])
    return KernelRidge(kernel, values, coefficients, bandwidth), scores


def _fit_nystroem(
    kernel: Kernel, values: Array, labels: Labels, weights: Array, target: Array, folds: Folds, seed: int
) -> tuple[KernelRidge, Array]:
    centres = values[choose_centres(labels, CENTRES, seed)]
    bandwidth = median_distance(kernel, centres)
    own = similarities(kernel, centres, centres, bandwidth)
    # The second term keeps it definite where centres are equal.
    penalty = RIDGE * own + 1e-8 * len(values) * np.eye(len(centres))
    grams = np.zeros((len(folds.masks), *own.shape))
    moments = np.zeros((len(folds.masks), len(centres), target.shape[1]))
    for number, left_out in enumerate(folds.masks):
        for rows in _rows(left_out):
            near = similarities(kernel, values[rows], centres, bandwidth)
            grams[number] += near.T @ (near * weights[rows, None])
            moments[number] += near.T @ (target[rows] * weights[rows, None])
    gram, moment = grams.sum(axis=0), moments.sum(axis=0)
    scores = np.zeros_like(target)
    for number, left_out in enumerate(folds.masks):
        coefficients = np.linalg.solve(gram - grams[number] + penalty, moment - moments[number])
        for rows in _rows(left_out):
            scores[rows] = similarities(kernel, values[rows], centres, bandwidth) @ coefficients
    return KernelRidge(kernel, centres, np.linalg.solve(gram + penalty, moment), bandwidth), scores


def _rows(mask: Mask) -> Iterator[Labels]:
    chosen = np.flatnonzero(mask)
    return (chosen[part] for part in batches(len(chosen)))


def choose_centres(labels: Labels, count: int, seed: int) -> Labels:
    """Draw ``count`` examples, as equally from the classes as these allow; indices, ascending."""
    random = np.random.default_rng(seed)
    present = np.unique(labels)
    chosen: list[Labels] = []
    left = count
    sizes = sorted((int((labels == label).sum()), int(label)) for label in present)
    for number, (size, label) in enumerate(sizes):
        take = min(size, max(1, left // (len(sizes) - number)))
        chosen.append(random.permutation(np.flatnonzero(labels == label))[:take])
        left -= take
    return np.sort(np.concatenate(chosen))


def similarities(kernel: Kernel, values: Array, centres: Array, bandwidth: float) -> Array:
    """Return the kernel of values [n, d] and centres [m, d]: [n, m], 1 for equal ones."""
    from scipy.spatial.distance import cdist

    distances = cdist(values, centres, _METRICS[kernel])
    return np.exp(distances / -bandwidth)


def median_distance(kernel: Kernel, values: Array) -> float:
    """Return the median distance of two different ones of values [n, d], of a part of them if there are many."""
    from scipy.spatial.distance import cdist

    some = values[:: max(1, len(values) // MAX_EXACT)]
    distances = cdist(some, some, _METRICS[kernel])
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def batches(count: int) -> Iterator[slice]:
    """Divide so many rows into slices whose kernel fits into memory."""
    return (slice(first, first + _ROWS_AT_ONCE) for first in range(0, count, _ROWS_AT_ONCE))
