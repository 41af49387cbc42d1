"""How sure refined answers may be: learned without a label, from how far a tile and the other tiles agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, parts, softmax

# A block of tiles: where, what they say themselves (probabilities [B, K]), what others say of them (scores [B, K])
Opinions = tuple[slice, NDArray[np.float32], NDArray[np.float32]]

_OWN: Final = 2.0 ** np.arange(-1, 2.1, 0.25)  # powers tried of the probabilities a tile has by itself
_OTHERS: Final = 2.0 ** np.arange(-1, 3.1, 0.5)  # factors tried of the scores that others give it
_SUREST: Final = 0.999
_GREATEST: Final = 64.0
_LEAST: Final = 1e-37  # of which float32 still knows the logarithm
_HALVINGS: Final = 14


def sharpen_to_calibration(refined: NDArray[np.float32], opinions: Iterable[Opinions]) -> NDArray[np.float32]:
    r"""Raise refined answers to the one power, at least 1, that makes them as sure as they seem to be right.

    The answer s that a tile has by itself and the answer q that other tiles give it are two opinions on one class. Were
    their errors independent given the class, both calibrated and no class ahead of another, the two would meet as often
    as chance by the factor :math:`K \sum_k s_k q_k`; so the powers of s and q that make
    :math:`\sum_i \log \sum_k s_{ik} q_{ik}` greatest calibrate both, as temperatures do with labels [1]_. With them,
    the mean confidence in the refined answers by s times q, less that by s alone, says how many more answers are right.
    That much is added to the mean confidence of s as it was given, and where the refined answers are less sure, they
    are raised to the power that gets them there. No answer changes, and none gets less sure.

    Errors that s makes for all tiles of a kind alike cannot be seen in this way: a text that is sure and wrong about a
    whole kind of tile makes refined answers that are surer still.

    Parameters
    ----------
    refined : ndarray
        float32 [N, K], 0..1, each row sums to 1.
    opinions : iterable of (slice, ndarray, ndarray)
        Block by block of all tiles: s, float32 [B, K], 0..1, and the logarithm of q up to a constant, float32 [B, K].

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    References
    ----------
    .. [1] Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599.
    """
    wanted = _deserved(refined, opinions)
    if _sure(refined, 1.0) >= wanted:
        return refined
    low, high = 1.0, _GREATEST
    for _ in range(_HALVINGS):
        power = (low * high) ** 0.5
        low, high = (power, high) if _sure(refined, power) < wanted else (low, power)
    sharp = np.empty_like(refined)
    for part in parts(len(sharp)):
        sharp[part] = _raised(refined[part], low)
    return sharp


def _deserved(refined: NDArray[np.float32], opinions: Iterable[Opinions]) -> float:
    """Mean confidence that the refined answers should have."""
    tiles = len(refined)
    likelihood = np.zeros((len(_OWN), len(_OTHERS)))
    alone, together, given = np.zeros(len(_OWN)), np.zeros_like(likelihood), 0.0
    for part, said, score in opinions:
        answer = refined[part].argmax(axis=1)[:, None]
        given += float(said.max(axis=1).sum(dtype=np.float64))
        others = [softmax(factor * score) for factor in _OTHERS.astype(np.float32)]
        for row, power in enumerate(_OWN):
            own = _raised(said, power)
            alone[row] += own.max(axis=1).sum(dtype=np.float64)
            for column, other in enumerate(others):
                meet = np.maximum(np.einsum("nk,nk->n", own, other), SMALLEST)
                likelihood[row, column] += np.log(meet).sum(dtype=np.float64)
                here = np.take_along_axis(own, answer, 1) * np.take_along_axis(other, answer, 1)
                together[row, column] += (here[:, 0] / meet).sum(dtype=np.float64)
    # As much as one tile could say for leaving both as they are; it settles what the tiles leave open.
    likelihood -= (np.log2(_OWN)[:, None] ** 2 + np.log2(_OTHERS) ** 2) / 2
    own_best, others_best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    calibrated = float(alone[own_best])
    gained = max(0.0, float(together[own_best, others_best]) - calibrated)
    return min((min(given, calibrated) + gained) / tiles, _SUREST)


def _sure(z: NDArray[np.float32], power: float) -> float:
    return sum(float(_raised(z[part], power).max(axis=1).sum(dtype=np.float64)) for part in parts(len(z))) / len(z)


def _raised(rows: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    return softmax(np.float32(power) * np.log(np.maximum(rows, np.float32(_LEAST))))
