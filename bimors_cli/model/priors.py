"""Probabilities under other priors of the classes than equal ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def apply_priors(probabilities: npt.NDArray[np.float32], priors: Sequence[float]) -> npt.NDArray[np.float32]:
    """Adjust probabilities, which assume equal priors, to these priors by Bayes' rule.

    Parameters
    ----------
    probabilities : float32 array [n, K]
        Rows that sum to 1; a row of NaN stays one.
    priors : sequence of float
        K numbers above 0; empty for equal priors.

    Returns
    -------
    float32 array [n, K]
        Each row multiplied by the priors and normalised; the same array without priors.
    """
    if not len(priors):
        return probabilities
    # In double precision: a product of two small numbers would be 0.
    weighted = probabilities.astype(np.float64) * np.asarray(priors)
    adjusted: npt.NDArray[np.float32] = (weighted / weighted.sum(axis=1, keepdims=True)).astype(np.float32)
    return adjusted
