"""Log probabilities, the loss that everything here is fitted by, and the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

# Where all examples are answered correctly the best temperature is 0, which a few examples do not justify. The loss
# counts this many further examples whose label is unknown: with n examples all correct the confidence stays below
# about 1 - PSEUDO_EXAMPLES / n. Chosen on Landsat 8 tiles (zion); on 5 examples a class of Rondonia, all correct, a
# whole example gives 93 % confidence and half of one 95 %.
PSEUDO_EXAMPLES: Final = 0.5

# Logarithms of the temperatures tried first.
_GRID: Final = np.linspace(-8.0, 14.0, 89)


def log_probabilities(scores: Array, temperature: float) -> Array:
    """Return the logarithm of softmax(scores / temperature), float64 [n, K]."""
    from scipy.special import log_softmax

    found: Array = log_softmax(scores / temperature, axis=1)
    return found


def merged(log_p: npt.NDArray[np.floating], columns: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
    """Return the probabilities, float32 [n, k], of labels that each stand for some of the K of ``log_p`` [n, K].

    ``columns`` are the indices of these for each label. A label without any has probability 0; the others sum to 1.
    """
    from scipy.special import logsumexp

    values = log_p.astype(np.float64)
    never = np.full(len(values), -np.inf)
    mine = np.column_stack([logsumexp(values[:, list(some)], axis=1) if some else never for some in columns])
    mine -= logsumexp(mine, axis=1, keepdims=True)
    return np.asarray(np.exp(mine), np.float32)


def class_weights(labels: Labels, weights: Array, classes: int) -> Array:
    """Scale the weights of examples [n] so that every class has the same sum, and their mean is 1.

    How many examples a class has says how many the user drew, not how common it is.
    """
    sums = np.bincount(labels, weights, minlength=classes)
    balanced = weights / sums[labels]
    return np.asarray(balanced * len(labels) / balanced.sum(), np.float64)


def loss_per_example(log_p: Array, labels: Labels) -> Array:
    """Return the log loss of each example, [n], counting `PSEUDO_EXAMPLES` more of unknown label."""
    unknown = PSEUDO_EXAMPLES / (len(labels) + PSEUDO_EXAMPLES)
    own = log_p[np.arange(len(labels)), labels]
    return np.asarray(-(1 - unknown) * own - unknown * log_p.mean(axis=1), np.float64)


def fit_temperature(scores: Array, labels: Labels, weights: Array) -> float:
    """Find the temperature with the lowest weighted log loss, see `loss_per_example`.

    Parameters
    ----------
    scores : float64 array [n, K]
        Scores of examples by a classifier that did not learn from them.
    labels : int array [n]
        Their labels.
    weights : float64 array [n]
        Their weights.

    Returns
    -------
    float
        The divisor of the scores.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        log_p = log_probabilities(scores, float(np.exp(log_temperature)))
        return float(np.average(loss_per_example(log_p, labels), weights=weights))

    best = int(np.argmin([loss(value) for value in _GRID]))
    around = (_GRID[max(best - 1, 0)], _GRID[min(best + 1, len(_GRID) - 1)])
    return float(np.exp(minimize_scalar(loss, bounds=around, method="bounded").x))
