"""Refinement of the answers of a classifier that learned from examples of the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import Check
from bimors_cli.refine.calibrate import set_confidence
from bimors_cli.refine.class_frequency import adjust_to_frequency, fit_class_frequency
from bimors_cli.refine.spatial import pooled


def from_examples(
    probabilities: NDArray[Any],
    map_neighbours: NDArray[np.integer[Any]] | None = None,
    *,
    learned: NDArray[Any] | None = None,
    frequencies: bool = True,
    check: Check | None = None,
) -> NDArray[np.float32]:
    """Refine calibrated probabilities by the class frequencies of the map, and by neighbouring tiles.

    The clusters of the features, with which `bimors_cli.refine.transductive` corrects a zero-shot answer, are less
    reliable than examples: on zion they reduce the accuracy by 4 points. But the number of examples of a class is the
    choice of the user and does not tell how common the class is. This is estimated from the map.

    Neighbours are weighted as in `bimors_cli.refine.spatial.spatial`, without the cosines of features. The mean
    confidence is kept: errors of neighbouring tiles have common causes, so their agreement is weak evidence.

    Parameters
    ----------
    probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1.
    map_neighbours : ndarray, optional
        As for `spatial`. None where the classifier sees the ground around a tile: it knows the neighbours.
    learned : ndarray, optional
        [K], the class frequencies that the probabilities assume, see `fit_class_frequency`.
    frequencies : bool
        False where the assumed frequencies are known to be those of the map.
    check : callable, optional
        Called before each block is read; it may raise to stop.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        As `fit_class_frequency`.
    """
    refined = np.asarray(probabilities, np.float32)
    if frequencies:
        frequency = fit_class_frequency(probabilities, learned, check)
        refined = adjust_to_frequency(probabilities, frequency, learned)
    if map_neighbours is None or not len(refined):
        return refined
    confidence = float(refined.max(axis=1).mean(dtype=np.float64))
    smoothed = pooled(refined, map_neighbours, np.zeros(map_neighbours.shape, np.float32), check)
    return set_confidence(smoothed, confidence)
