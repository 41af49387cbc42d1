"""Label all tiles of a run together: those that look alike, and those that touch on the map, help each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, check, parts
from bimors_cli.refine.calibrate import sharpen_to_calibration
from bimors_cli.refine.mixture import Rounds

# The same for every data set; `spatial` says what each one does. The answers hardly move for a greatest share of 0.8 to
# 0.97 and 5 rounds or more.
GREATEST: Final = 0.9
ROUNDS: Final = 10

_SHARES: Final = np.linspace(0, 0.99, 100)
_DOUBT: Final = 4.0


def spatial(
    image_features: NDArray[Any], text_probabilities: NDArray[Any], map_neighbours: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    r"""Refine each tile's probabilities by the features of all tiles and by the tiles that touch it.

    First `bimors_cli.refine.transductive.transductive` gives an answer :math:`q_{ik}` for tile i and class k. Then the
    map counts: a tile is taken to have the class of one of its M neighbours, any of them, with a share
    :math:`\alpha`, and otherwise any class as often as the map has it, :math:`p_k`. To the objective of transductive
    this adds

    .. math:: -\sum_{ik} z_{ik} \log \frac1M \sum_j \Big(1 - a_{ij} + a_{ij} \frac{z_{jk}}{p_k}\Big)

    over the neighbours j of i. Assignments start at q, and ten rounds follow of

    .. math:: z_{ik} \propto q_{ik} \, \frac1M \sum_j \Big(1 - a_{ij} + a_{ij} \frac{z_{jk}}{p_k}\Big)

    The neighbours' opinions are pooled and not multiplied [1]_, so that eight of them, all of one patch, do not count
    as eight witnesses: two neighbours along a river carry its class as well as six beside it carry theirs. That each
    is divided by :math:`p_k` keeps what is rare from being talked over by what is everywhere.

    - :math:`\alpha` is learned from this map: the sum of :math:`\log(1 - \alpha + \alpha\, r_i)`, with
      :math:`r_i = \sum_k q_{ik} \frac1M \sum_j q_{jk} / p_k`, is the likelihood of the answers of touching tiles. r is
      1 on average where the tiles are arranged at random, and more where like touches like. Taken is the least share
      whose log-likelihood is within 4 of the greatest, that is two standard errors below, as each pair is counted
      twice: a few tiles, one class, or a random arrangement give 0, and then the answer is that of transductive.
    - It is at most 0.9: one tile in ten may be what none of its neighbours is, so that a tile which is sure of its
      answer keeps it.
    - :math:`a_{ij}` is :math:`\alpha` after a look at the cosine :math:`c_{ij}` of the two tiles' features, by Bayes'
      rule: :math:`a / (1 - a) = \ell(c_{ij})\, \alpha / (1 - \alpha)`, again at most 0.9. The cosines of touching tiles
      that share their class, and of those that do not, are taken as two normal distributions of one variance, and
      :math:`\ell` is the ratio of their densities; both are fitted with the weights :math:`\sum_k q_{ik} q_{jk}` and
      one less that. A neighbour that looks different hardly pulls; features that say nothing leave :math:`\alpha`.
    - :math:`p_k` is the mean of :math:`q_k` over the tiles that have a neighbour. In the rounds, but not in r, it is at
      least 1 / (1 + n) with n the effective number of classes on the map (the exponential of the entropy of p): what
      little is left for a class that no tile shows does not lift it.
    - At last all answers are raised to one power, as those of transductive are: those are one opinion, what the
      neighbours say the other, see `bimors_cli.refine.calibrate`.

    As in transductive, nothing is drawn at random, the order of the tiles does not matter, and nothing is tuned to a
    data set; memory beyond transductive's own is two numbers for each neighbour and one more answer. The map is read in
    blocks, about a dozen times over.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float; of any length. A memory map is read in blocks and never as a whole.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile answer of any head.
    map_neighbours : ndarray
        int64 [N, M], rows of the tiles that touch each tile, in any order, -1 where there is none. It may be a memory
        map.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, a row is not one of probabilities, or a neighbour is
        no row.

    References
    ----------
    .. [1] Genest, Zidek, Combining Probability Distributions, Statistical Science 1, 1986: the linear opinion pool.
    """
    rows, text, near = np.asanyarray(image_features), np.asanyarray(text_probabilities), np.asanyarray(map_neighbours)
    check(rows, text)
    _check(near, len(rows))
    if not len(rows):
        return np.zeros(text.shape, np.float32)
    rounds = Rounds(rows, text, near)
    answer = rounds.run()
    return pooled(answer, near, rounds.map_cosine)


def pooled(
    answer: NDArray[np.float32], near: NDArray[np.integer[Any]], cosine: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Let neighbours pull: ``answer`` [N, K], ``near`` [N, M] and their cosines [N, M], both float32; see `spatial`."""
    often = _often(answer, near)
    share = _share(answer, near, often)
    if share == 0:
        return answer
    weight = _weights(answer, near, cosine, min(share, GREATEST))
    classes = np.exp(-(often * np.log(often)).sum())  # as many of one size would have the same entropy
    floored = np.maximum(often, 1 / (1 + classes))

    def pulls(z: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for part in parts(len(z)):
            pull = _sum(z, near[part], weight[part]) / floored
            yield part, pull + (1 - weight[part].sum(axis=1, keepdims=True))

    z = answer
    for _ in range(ROUNDS):
        before, z = z, np.empty_like(z)
        for part, pull in pulls(before):
            z[part] = answer[part] * pull
            z[part] /= z[part].sum(axis=1, keepdims=True)
    return sharpen_to_calibration(z, ((part, answer[part], np.log(pull)) for part, pull in pulls(z)))


def _check(near: NDArray[Any], tiles: int) -> None:
    if near.ndim != 2 or len(near) != tiles:
        raise ValueError(f"map neighbours {near.shape} do not fit {tiles} tiles: [N, M]")
    if near.dtype.kind != "i":
        raise ValueError(f"map neighbours are {near.dtype}, not signed integers")
    for part in parts(tiles):
        if near[part].size and not -1 <= near[part].min() <= near[part].max() < tiles:
            raise ValueError(f"a map neighbour is no row: it is below -1, or not below {tiles}")


def _often(answer: NDArray[np.float32], near: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """[K], how often the map has each class, of the tiles that have a neighbour."""
    total = np.full(answer.shape[1], SMALLEST)
    for part in parts(len(answer)):
        total += answer[part][(near[part] >= 0).any(axis=1)].sum(axis=0, dtype=np.float64)
    total /= total.sum()
    return total.astype(np.float32)


def _share(answer: NDArray[np.float32], near: NDArray[np.integer[Any]], often: NDArray[np.float32]) -> float:
    """Share of tiles that follow a neighbour, at the low end of what the answers of touching tiles can mean."""
    likelihood = np.zeros(len(_SHARES))
    for part in parts(len(answer)):
        there = near[part] >= 0
        count = there.sum(axis=1)
        pool = _sum(answer, near[part], there.astype(np.float32)) / np.maximum(count, 1)[:, None]
        ratio = ((answer[part] / often) * pool).sum(axis=1)[count > 0]
        likelihood += np.log1p(_SHARES[:, None] * (ratio - 1)).sum(axis=1, dtype=np.float64)
    return float(_SHARES[np.argmax(likelihood >= likelihood.max() - _DOUBT)])


def _weights(
    answer: NDArray[np.float32], near: NDArray[np.integer[Any]], cosine: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """[N, M], how far each neighbour is followed, over the number of neighbours; 0 where there is none."""
    moments = np.zeros((2, 3))  # of pairs that differ, and that share their class: how many, cosines, squares
    for part in parts(len(answer)):
        there = near[part] >= 0
        for column in range(near.shape[1]):
            same = np.einsum("nk,nk->n", answer[part], answer[near[part, column]])
            powers = cosine[part, column] ** np.arange(3)[:, None]
            moments += np.stack([1 - same, same])[:, there[:, column]] @ powers.T[there[:, column]]
    held = np.maximum(moments[:, 0], SMALLEST)
    other, alike = moments[:, 1] / held
    variance = (moments[:, 2].sum() - (moments[:, 1] ** 2 / held).sum()) / held.sum()
    slope = max(alike - other, 0.0) / (variance + SMALLEST)
    weight = np.empty_like(cosine)
    for part in parts(len(answer)):
        there = near[part] >= 0
        odds = np.exp(np.clip(slope * (cosine[part] - (alike + other) / 2), -20, 20)) * share / (1 - share)
        followed = np.where(there, np.minimum(odds / (1 + odds), GREATEST), 0)
        weight[part] = followed / np.maximum(there.sum(axis=1), 1)[:, None]
    return weight


def _sum(z: NDArray[np.float32], near: NDArray[np.integer[Any]], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sum [B, K] of the assignments of each row of neighbours [B, M]; a weight of 0 where there is none."""
    total = np.zeros((len(near), z.shape[1]), np.float32)
    for column in range(near.shape[1]):
        total += weight[:, column, None] * z[near[:, column]]
    return total
