"""Class frequencies of the map: a classifier that learned all classes alike is corrected by how common they are."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import Check, check_probabilities, parts

# No class is favoured over another by more than this factor. Where confidence is too low, as after few examples, the
# likelihood of the map is highest without the rare classes at all; so a tile keeps a class that is more than five times
# as probable as any other. Of the classes of zion the rarest is disfavoured by 5.3 without this limit.
MOST: Final = 5.0
_ROUNDS: Final = 200
_CONVERGED: Final = 1e-5


def fit_class_frequency(
    probabilities: NDArray[Any], learned: NDArray[Any] | None = None, check: Check | None = None
) -> NDArray[np.float64]:
    r"""Estimate the frequency of each class among tiles from a classifier that learned other frequencies.

    With :math:`q_{ik}` the probability of class k for tile i under the learned frequencies :math:`l_k`, the likelihood
    of the map is highest at the fixed point of

    .. math:: p_k \leftarrow \frac1N \sum_i \frac{q_{ik}\, p_k / l_k}{\sum_j q_{ij}\, p_j / l_j}

    (the EM algorithm of [1]_), here with :math:`p_k / l_k \ge \frac15 \max_j p_j / l_j`, see `MOST`. It needs
    calibrated probabilities.

    Parameters
    ----------
    probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1. A memory map is read in blocks, at most 200 times.
    learned : ndarray, optional
        [K], the learned frequencies, with sum 1; 0 for a class that is never the answer. By default all equal.
    check : callable, optional
        Called before each block is read; it may raise to stop.

    Returns
    -------
    ndarray
        float64 [K], sums to 1.

    Raises
    ------
    ValueError
        The shapes do not match, a value is not finite, or a row does not sum to 1.

    References
    ----------
    .. [1] Saerens, Latinne, Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities: a simple
       procedure, Neural Computation 14, 2002.
    """
    check_probabilities(probabilities)
    count = probabilities.shape[1]
    known = np.full(count, 1 / count) if learned is None else np.asarray(learned, np.float64)
    if known.shape != (count,):
        raise ValueError(f"learned frequencies {known.shape} must be [{count}]")
    found = known
    for _ in range(_ROUNDS if len(probabilities) else 0):
        total = np.zeros(count)
        for part in parts(len(probabilities)):
            if check is not None:
                check()
            total += _adjusted(probabilities[part], _factors(found, known)).sum(axis=0)
        factors = _factors(total, known)
        before, found = found, np.maximum(factors, factors.max() / MOST) * known
        found /= found.sum()
        if np.abs(found - before).max() < _CONVERGED:
            break
    return found


def adjust_to_frequency(
    probabilities: NDArray[Any], frequency: NDArray[Any], learned: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Return the probabilities float32 [N, K] under other class frequencies [K]; see `fit_class_frequency`."""
    count = len(frequency)
    factors = _factors(frequency, np.full(count, 1 / count) if learned is None else np.asarray(learned, np.float64))
    found = np.empty(probabilities.shape, np.float32)
    for part in parts(len(found)):
        found[part] = _adjusted(probabilities[part], factors)
    return found


def _factors(frequency: NDArray[Any], learned: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(frequency, learned, out=np.zeros(len(learned)), where=learned > 0)
    return found


def _adjusted(rows: NDArray[Any], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = rows * factors
    # A tile whose classes were all ruled out keeps what it has.
    total = scaled.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.where(total > 0, scaled / np.where(total > 0, total, 1), rows)
    return found
