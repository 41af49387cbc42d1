"""Spatial refinement: transductive refinement, followed by smoothing with neighbouring tiles on the map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, Check, check_arrays, parts
from bimors_cli.refine.calibrate import sharpen_to_calibration
from bimors_cli.refine.mixture import Rounds

# The same for every data set; see `spatial`. The results hardly change for a maximum weight of 0.8 to 0.97 and 5 rounds
# or more.
MAX_WEIGHT: Final = 0.9
ROUNDS: Final = 10

_WEIGHTS: Final = np.linspace(0, 0.99, 100)
_LIKELIHOOD_MARGIN: Final = 4.0


def spatial(
    image_features: NDArray[Any],
    text_probabilities: NDArray[Any],
    map_neighbours: NDArray[np.integer[Any]],
    check: Check | None = None,
) -> NDArray[np.float32]:
    r"""Refine each tile's probabilities with the features of all tiles and with the neighbouring tiles.

    First, `bimors_cli.refine.transductive.transductive` computes probabilities :math:`q_{ik}` of tile i and class k. In
    the model of the map, a tile has the class of a random one of its M neighbours with probability :math:`\alpha`, and
    otherwise class k with its frequency on the map, :math:`p_k`. This adds to the objective of transductive

    .. math:: -\sum_{ik} z_{ik} \log \frac1M \sum_j \Big(1 - a_{ij} + a_{ij} \frac{z_{jk}}{p_k}\Big)

    with the neighbours j of i. Assignments start at q, followed by ten rounds of

    .. math:: z_{ik} \propto q_{ik} \, \frac1M \sum_j \Big(1 - a_{ij} + a_{ij} \frac{z_{jk}}{p_k}\Big)

    The predictions of the neighbours are averaged, not multiplied [1]_, so that eight neighbours in one patch do not
    count as eight independent observations: two neighbours along a river support its class as well as six on its banks
    support theirs. The division by :math:`p_k` keeps rare classes from being suppressed by frequent ones.

    - :math:`\alpha` is learned from the map: the sum of :math:`\log(1 - \alpha + \alpha\, r_i)`, with
      :math:`r_i = \sum_k q_{ik} \frac1M \sum_j q_{jk} / p_k`, is the log-likelihood of the labels of neighbouring
      tiles. The mean of r is 1 where the tiles are arranged at random, and larger where neighbours share their class.
      Chosen is the smallest :math:`\alpha` whose log-likelihood is within 4 of the maximum, that is two standard errors
      below it, as each pair is counted twice: a few tiles, one class, or a random arrangement give 0, and then the
      result is that of transductive.
    - It is at most 0.9: one tile in ten may have a class that none of its neighbours has, so a tile with a confident
      prediction keeps it.
    - :math:`a_{ij}` is :math:`\alpha` updated with the cosine :math:`c_{ij}` of the two tiles' features by Bayes' rule:
      :math:`a / (1 - a) = \ell(c_{ij})\, \alpha / (1 - \alpha)`, again at most 0.9. The cosines of neighbouring tiles
      that share their class, and of those that do not, are modelled as two normal distributions with equal variance,
      and :math:`\ell` is the ratio of their densities; both are fitted with the weights :math:`\sum_k q_{ik} q_{jk}`
      and one minus that. A neighbour with different features has little weight; uninformative features leave
      :math:`\alpha`.
    - :math:`p_k` is the mean of :math:`q_k` over the tiles that have a neighbour. In the rounds, but not in r, it is at
      least 1 / (1 + n) with n the effective number of classes on the map (the exponential of the entropy of p), so that
      the small probabilities of a class that no tile has are not amplified.
    - Finally all probabilities are raised to one power, as in transductive: its probabilities are one prediction, those
      of the neighbours the other, see `bimors_cli.refine.calibrate`.

    As in transductive, the result is deterministic, does not depend on the order of the tiles, and no parameter is
    tuned to a data set; the additional memory is two values per neighbour and one more array of probabilities. The map
    is read in blocks, about a dozen times.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float, of any length. A memory map is read in blocks, never as a whole.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile probabilities of any head.
    map_neighbours : ndarray
        int64 [N, M], rows of the neighbours of each tile, in any order, -1 without one. It can be a memory map.
    check : callable, optional
        Called before each block is read; it may raise to stop.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        The shapes do not match, a value is not finite, a row does not sum to 1, or a neighbour is not a row index.

    References
    ----------
    .. [1] Genest, Zidek, Combining Probability Distributions, Statistical Science 1, 1986: the linear opinion pool.
    """
    rows, text, near = np.asanyarray(image_features), np.asanyarray(text_probabilities), np.asanyarray(map_neighbours)
    check_arrays(rows, text)
    _check_neighbours(near, len(rows))
    if not len(rows):
        return np.zeros(text.shape, np.float32)
    rounds = Rounds(rows, text, near, check)
    return pooled(rounds.run(), near, rounds.map_cosine, check)


def pooled(
    q: NDArray[np.float32],
    near: NDArray[np.integer[Any]],
    cosine: NDArray[np.float32],
    check: Check | None = None,
) -> NDArray[np.float32]:
    """Smooth probabilities ``q`` [N, K] with the neighbours ``near`` [N, M] and their cosines [N, M]; see `spatial`."""
    frequency = _class_frequency(q, near)
    alpha = _neighbour_probability(q, near, frequency)
    if alpha == 0:
        return q
    weight = _weights(q, near, cosine, min(alpha, MAX_WEIGHT))
    classes = np.exp(-(frequency * np.log(frequency)).sum())  # effective number: equal classes with the same entropy
    floored = np.maximum(frequency, 1 / (1 + classes))

    def factors(z: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for part in parts(len(z)):
            if check is not None:
                check()
            factor = _sum(z, near[part], weight[part]) / floored
            yield part, factor + (1 - weight[part].sum(axis=1, keepdims=True))

    z = q
    for _ in range(ROUNDS):
        before, z = z, np.empty_like(z)
        for part, factor in factors(before):
            z[part] = q[part] * factor
            z[part] /= z[part].sum(axis=1, keepdims=True)
    return sharpen_to_calibration(z, ((part, q[part], np.log(factor)) for part, factor in factors(z)))


def _check_neighbours(near: NDArray[Any], tiles: int) -> None:
    if near.ndim != 2 or len(near) != tiles:
        raise ValueError(f"map neighbours {near.shape} must be [N, M] with N = {tiles}")
    if near.dtype.kind != "i":
        raise ValueError(f"map neighbours must be signed integers, not {near.dtype}")
    for part in parts(tiles):
        if near[part].size and not -1 <= near[part].min() <= near[part].max() < tiles:
            raise ValueError(f"map neighbours must be row indices from -1 to {tiles - 1}")


def _class_frequency(q: NDArray[np.float32], near: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Frequency [K] of each class among the tiles that have a neighbour."""
    total = np.full(q.shape[1], SMALLEST)
    for part in parts(len(q)):
        total += q[part][(near[part] >= 0).any(axis=1)].sum(axis=0, dtype=np.float64)
    total /= total.sum()
    return total.astype(np.float32)


def _neighbour_probability(
    q: NDArray[np.float32], near: NDArray[np.integer[Any]], frequency: NDArray[np.float32]
) -> float:
    """Probability that a tile has the class of a neighbour: the lower end of its confidence interval."""
    likelihood = np.zeros(len(_WEIGHTS))
    for part in parts(len(q)):
        exists = near[part] >= 0
        count = exists.sum(axis=1)
        pool = _sum(q, near[part], exists.astype(np.float32)) / np.maximum(count, 1)[:, None]
        ratio = ((q[part] / frequency) * pool).sum(axis=1)[count > 0]
        likelihood += np.log1p(_WEIGHTS[:, None] * (ratio - 1)).sum(axis=1, dtype=np.float64)
    return float(_WEIGHTS[np.argmax(likelihood >= likelihood.max() - _LIKELIHOOD_MARGIN)])


def _weights(
    q: NDArray[np.float32], near: NDArray[np.integer[Any]], cosine: NDArray[np.float32], alpha: float
) -> NDArray[np.float32]:
    """Weight [N, M] of each neighbour, divided by the number of neighbours; 0 where there is none."""
    moments = np.zeros((2, 3))  # count, sum and sum of squares of cosines: pairs of different class, pairs of one class
    for part in parts(len(q)):
        exists = near[part] >= 0
        for column in range(near.shape[1]):
            same = np.einsum("nk,nk->n", q[part], q[near[part, column]])
            powers = cosine[part, column] ** np.arange(3)[:, None]
            moments += np.stack([1 - same, same])[:, exists[:, column]] @ powers.T[exists[:, column]]
    count = np.maximum(moments[:, 0], SMALLEST)
    different, same_class = moments[:, 1] / count
    variance = (moments[:, 2].sum() - (moments[:, 1] ** 2 / count).sum()) / count.sum()
    slope = max(same_class - different, 0.0) / (variance + SMALLEST)
    weight = np.empty_like(cosine)
    for part in parts(len(q)):
        exists = near[part] >= 0
        odds = np.exp(np.clip(slope * (cosine[part] - (same_class + different) / 2), -20, 20)) * alpha / (1 - alpha)
        posterior = np.where(exists, np.minimum(odds / (1 + odds), MAX_WEIGHT), 0)
        weight[part] = posterior / np.maximum(exists.sum(axis=1), 1)[:, None]
    return weight


def _sum(z: NDArray[np.float32], near: NDArray[np.integer[Any]], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sum [B, K] of the assignments of each row of neighbours [B, M]; a weight of 0 where there is none."""
    total = np.zeros((len(near), z.shape[1]), np.float32)
    for column in range(near.shape[1]):
        total += weight[:, column, None] * z[near[:, column]]
    return total
