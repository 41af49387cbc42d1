"""How much the features of a run's tiles tell that the text answers do not tell already."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Share of what mainly sets tiles apart that a text leaves unread, from which on the other tiles are heard in full. Of a
# CLIP that learned from captions of anything it is some 0.16, of one that learned these very classes 0.02 to 0.09.
PLENTY: Final = 0.15


def weight_of_others(gram: NDArray[np.float64], cross: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    r"""Weight 0..1 of what other tiles say of a tile, beside what its own text answer says.

    That tiles which look alike share their class helps where their features tell more than the text reads of them. A
    text answer is a function of the same features: where it reads all that sets the tiles apart, look-alikes repeat its
    mistakes, and agree with it all the same. So the features are regressed on the logarithms of the text probabilities.
    With :math:`R^2` the share of their variance that follows from these, and V the share that K - 1 directions could
    hold at most (those of K text scores, the principal ones at best), the text leaves :math:`u = 1 - R^2 / V` unread,
    and the weight is :math:`\min(1, (u / 0.15)^2)`. With more labels than tiles everything seems read, and the weight
    is 0.

    Parameters
    ----------
    gram : ndarray
        [K, K], scatter of the logarithms of the text probabilities over all tiles.
    cross : ndarray
        [K, D], their scatter with the features.
    variances : ndarray
        [D], ascending: the scatter of the features in their principal directions.
    """
    leading = variances[::-1][: len(gram) - 1].sum()
    if leading <= 0:
        return 0.0
    read = np.einsum("kd,kd->", cross, np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ cross)
    return float(min(1.0, (max(0.0, 1 - read / leading) / PLENTY) ** 2))
