"""Calibration of refined probabilities without labels, from the agreement of a tile with the other tiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, parts, softmax

# A block of tiles: its slice, the tiles' own probabilities [B, K], and the scores [B, K] given by other tiles
Evidence = tuple[slice, NDArray[np.float32], NDArray[np.float32]]

_OWN_POWERS: Final = 2.0 ** np.arange(-1, 2.1, 0.25)  # grid of exponents of a tile's own probabilities
_OTHER_FACTORS: Final = 2.0 ** np.arange(-1, 3.1, 0.5)  # grid of factors of the scores given by other tiles
_MAX_CONFIDENCE: Final = 0.999
_MAX_POWER: Final = 64.0
_MIN_PROBABILITY: Final = 1e-37  # its logarithm is finite in float32
_HALVINGS: Final = 14


def sharpen_to_calibration(refined: NDArray[np.float32], evidence: Iterable[Evidence]) -> NDArray[np.float32]:
    r"""Raise refined probabilities to one power, at least 1, so that their mean confidence matches their accuracy.

    The probabilities s of a tile itself and the probabilities q given by other tiles are two predictions of one class.
    If their errors were independent given the class, both calibrated and all classes equally frequent, the two would
    agree more often than by chance by the factor :math:`K \sum_k s_k q_k`; so the powers of s and q that maximise
    :math:`\sum_i \log \sum_k s_{ik} q_{ik}` calibrate both, as temperatures do with labels [1]_. With them, the mean
    confidence in the refined labels by s times q, minus that by s alone, estimates the gain in accuracy. This gain is
    added to the mean confidence of the given s, and if the refined probabilities are less confident than that, they are
    raised to the power that reaches it. No label changes, and no confidence decreases.

    Errors that s makes for all tiles of one kind cannot be detected in this way: a text that is confident and wrong
    about a whole kind of tile leads to refined probabilities that are even more confident.

    Parameters
    ----------
    refined : ndarray
        float32 [N, K], 0..1, each row sums to 1.
    evidence : iterable of (slice, ndarray, ndarray)
        Block by block of all tiles: s, float32 [B, K], 0..1, and the logarithm of q up to a constant, float32 [B, K].

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    References
    ----------
    .. [1] Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599.
    """
    target = _target_confidence(refined, evidence)
    return refined if _confidence(refined, 1.0) >= target else _with_confidence(refined, target, 1.0, _MAX_POWER)


def set_confidence(refined: NDArray[np.float32], target: float) -> NDArray[np.float32]:
    """Raise probabilities [N, K] to the power, from 1/64 to 64, that gives a mean confidence; no label changes."""
    return _with_confidence(refined, target, 1 / _MAX_POWER, _MAX_POWER)


def _with_confidence(refined: NDArray[np.float32], target: float, low: float, high: float) -> NDArray[np.float32]:
    """Return the probabilities raised to the power between two that gives a mean confidence."""
    for _ in range(_HALVINGS):
        power = (low * high) ** 0.5
        low, high = (power, high) if _confidence(refined, power) < target else (low, power)
    sharp = np.empty_like(refined)
    for part in parts(len(sharp)):
        sharp[part] = _raised(refined[part], low)
    return sharp


def _target_confidence(refined: NDArray[np.float32], evidence: Iterable[Evidence]) -> float:
    """Mean confidence that the refined probabilities should have."""
    tiles = len(refined)
    likelihood = np.zeros((len(_OWN_POWERS), len(_OTHER_FACTORS)))
    alone, together, given = np.zeros(len(_OWN_POWERS)), np.zeros_like(likelihood), 0.0
    for part, text, score in evidence:
        label = refined[part].argmax(axis=1)[:, None]
        given += float(text.max(axis=1).sum(dtype=np.float64))
        others = [softmax(factor * score) for factor in _OTHER_FACTORS.astype(np.float32)]
        for row, power in enumerate(_OWN_POWERS):
            own = _raised(text, power)
            alone[row] += own.max(axis=1).sum(dtype=np.float64)
            for column, other in enumerate(others):
                agree = np.maximum(np.einsum("nk,nk->n", own, other), SMALLEST)
                likelihood[row, column] += np.log(agree).sum(dtype=np.float64)
                here = np.take_along_axis(own, label, 1) * np.take_along_axis(other, label, 1)
                together[row, column] += (here[:, 0] / agree).sum(dtype=np.float64)
    # A prior worth about one tile for leaving both unchanged; it decides where the tiles do not.
    likelihood -= (np.log2(_OWN_POWERS)[:, None] ** 2 + np.log2(_OTHER_FACTORS) ** 2) / 2
    own_best, others_best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    calibrated = float(alone[own_best])
    gained = max(0.0, float(together[own_best, others_best]) - calibrated)
    return min((min(given, calibrated) + gained) / tiles, _MAX_CONFIDENCE)


def _confidence(z: NDArray[np.float32], power: float) -> float:
    return sum(float(_raised(z[part], power).max(axis=1).sum(dtype=np.float64)) for part in parts(len(z))) / len(z)


def _raised(rows: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    return softmax(np.float32(power) * np.log(np.maximum(rows, np.float32(_MIN_PROBABILITY))))
