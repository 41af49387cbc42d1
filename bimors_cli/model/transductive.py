"""Label all tiles of a run together: tiles that look alike help to label each other, without one labelled example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The same for every data set; `transductive` says what each one does. The answers hardly move for 2 to 4 neighbours, a
# pull of 0.25 to 0.6, an evidence of 0.06 to 0.16, and 10 rounds or more.
NEIGHBOURS: Final = 3
PULL: Final = 0.4
EVIDENCE: Final = 0.08
ROUNDS: Final = 15

# Neighbours are sought in so many principal directions: as pure as in all of them, and faster.
DIRECTIONS: Final = 128
# Beyond so many tiles the exact search, which grows with N squared, gives way to one that looks into a few cells.
EXACT: Final = 40_000
_CELLS: Final = 1024
_PROBED: Final = 4
_TRAINED_ON: Final = 64  # tiles for each cell
_VISITED: Final = 30_000  # so that a million tiles of the same open water, all in one cell, take no N x N either

_BLOCK: Final = 8192  # tiles at a time: 16 MiB of float32 features with D = 512
_SMALLEST: Final = 1e-12  # a text probability that was rounded to 0 is doubt, not proof
_SUM: Final = 1e-3  # how far a row of float16 probabilities can be from 1 by rounding


@dataclass(frozen=True)
class _Features:
    """The tiles' features, read block by block: each scaled to unit length, the mean of all taken off."""

    rows: NDArray[Any]
    length: NDArray[np.float64]
    mean: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[Any]) -> _Features:
        length, total = np.empty(len(rows)), np.zeros(rows.shape[1])
        for part in _parts(len(rows)):
            block = np.array(rows[part], np.float64)  # a copy: the next lines write into it
            if not np.isfinite(block).all():
                raise ValueError("image features hold a number that is not finite")
            largest = np.abs(block).max(axis=1, keepdims=True)
            block /= np.where(largest > 0, largest, 1)  # squares of very large or small features would leave float64
            norm = np.linalg.norm(block, axis=1)
            length[part] = np.where(norm > 0, norm * largest[:, 0], 1)
            total += (block / np.where(norm > 0, norm, 1)[:, None]).sum(axis=0)
        return cls(rows, length, total / len(rows))

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for part in _parts(len(self.rows)):
            yield part, (self.rows[part] / self.length[part, None] - self.mean).astype(np.float32)


@dataclass(frozen=True)
class _Mixture:
    """What one round of assignments says of the classes, as a score that is linear in a tile's features."""

    weights: NDArray[np.float32]  # [D, K]
    bias: NDArray[np.float32]  # [K]
    trust: NDArray[np.float32]  # [K], 0..1


def transductive(image_features: NDArray[Any], text_probabilities: NDArray[Any]) -> NDArray[np.float32]:
    r"""Refine each tile's probabilities by the features of all tiles.

    Written from the equations of TransCLIP [1]_ and RS-TransCLIP [2]_. For tile i and class k, :math:`f_i` is the
    tile's feature of unit length with the mean of all tiles taken off, :math:`\hat y_{ik}` its text probability,
    :math:`z_{ik}` the assignment sought, :math:`w_{ij}` the cosine of two features, 0 where it is negative or where j
    is not one of the three nearest neighbours of i. The objective is

    .. math:: -\tau\sum_i z_i^\top \log p_i - \tfrac12\sum_{ij} w_{ij}\, z_i^\top z_j
              + \sum_i z_i^\top (\log z_i - \lambda_i \log \hat y_i)

    with :math:`p_{ik}` the density of a Gaussian with mean :math:`\mu_k` and a diagonal covariance :math:`\Sigma` that
    all classes share. Assignments start at :math:`\hat y`; fifteen rounds of block majorise-minimise follow, each of

    .. math:: \mu_k = \frac{\sum_i z_{ik} f_i}{\sum_i z_{ik} + \kappa}, \qquad
              \Sigma = \frac{1}{N + 1}\,\mathrm{diag}\Big(\sum_{ik} z_{ik}(f_i - \mu_k)(f_i - \mu_k)^\top
              + \tfrac1N \sum_i f_i f_i^\top\Big)

    .. math:: z_{ik} \propto \hat y_{ik}^{\lambda_i}
              \exp\Big(\tau \log p_{ik} + \sum_j w_{ij} z_{jk}\Big)

    Five things differ from the papers, so that a scene without structure gets the per-tile answer and not an invented
    one. None looks at which case is at hand.

    - Features are centred, so that two unrelated tiles have a cosine near 0 and not near 0.8. For the cosines the
      centre is the mean over classes of their text-weighted means: a scene that is nearly all forest would otherwise
      make neighbours of all that is not.
    - Means are shrunk to the mean of all tiles by empirical Bayes [3]_: :math:`\kappa` is the variance within classes
      over the variance between them, the latter less what chance alone makes of so few tiles. With one class, or few
      tiles, little is left between the classes, :math:`\kappa` is large and all means are one. It is at least 1, so
      that a class nobody belongs to has a mean as well.
    - :math:`\tau = 0.08\, d / D`. A diagonal covariance counts correlated features as independent, so d is the number
      of independent ones, :math:`D^2 / \sum_{ab} r_{ab}^2` with the correlations r of the features within classes;
      it is small for few tiles by itself. The 0.08 tempers the likelihood, as one does where classes are not
      Gaussian [4]_: without it every assignment is hard within a round, right or wrong.
    - :math:`\lambda_i = 1 - 0.6 \sum_k \hat y_{ik}\, m_k / (m_k + \kappa)` with :math:`m_k = \sum_i z_{ik}`. Text and
      mixture read the same features and would be counted twice, so the text counts for less where it names a class
      whose mean is known, and for itself where it is not: one tile alone keeps its text probabilities, and a rare class
      is not talked over.
    - There are no class weights, as in the papers: a rare class is not at a disadvantage.

    Nothing is drawn at random, and the order of the tiles does not matter, up to rounding and ties between neighbours.
    Features are read in blocks, about twenty times over; beyond them and the answer, memory is a few numbers a tile
    (neighbours, and 128 principal directions to find them by). Beyond 40,000 tiles the search for neighbours is
    approximate.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float; of any length. A memory map is read in blocks and never as a whole.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile answer of any head.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, or a row is not one of probabilities.

    References
    ----------
    .. [1] Zanella, Gérin, Ben Ayed, Boosting Vision-Language Models with Transduction, NeurIPS 2024, arXiv:2406.01837.
    .. [2] El Khoury et al., Enhancing Remote Sensing Vision-Language Models for Zero-Shot Scene Classification,
       ICASSP 2025, arXiv:2409.00698.
    .. [3] Efron, Morris, Stein's estimation rule and its competitors, JASA 68, 1973.
    .. [4] Miller, Dunson, Robust Bayesian inference via coarsening, JASA 114, 2019.
    """
    rows, text = np.asanyarray(image_features), np.asanyarray(text_probabilities)
    _check(rows, text)
    if not len(rows):
        return np.zeros(text.shape, np.float32)
    features = _Features.of(rows)
    scatter = np.zeros((rows.shape[1], rows.shape[1]))
    z = np.empty(text.shape, np.float32)
    sums = np.zeros((text.shape[1], rows.shape[1]))
    for part, block in features.blocks():
        scatter += block.T @ block
        z[part] = text[part]
        sums += z[part].T @ block
    centre = (sums / np.maximum(z.sum(axis=0, dtype=np.float64), _SMALLEST)[:, None]).mean(axis=0)
    neighbour, affinity = _neighbours(features, scatter, centre)

    for _ in range(ROUNDS):
        mixture = _fit(scatter, sums, z)
        before, z = z, np.empty_like(z)
        sums = np.zeros_like(sums)
        for part, block in features.blocks():
            said = np.maximum(text[part], _SMALLEST, dtype=np.float32)
            pull = 1 - (1 - PULL) * (said @ mixture.trust)
            score = pull[:, None] * np.log(said)
            score += block @ mixture.weights + mixture.bias
            for place in range(neighbour.shape[1]):
                score += affinity[part, place, None] * before[neighbour[part, place]]
            z[part] = _softmax(score)
            sums += z[part].T @ block
    return z


def _check(rows: NDArray[Any], text: NDArray[Any]) -> None:
    if rows.ndim != 2 or text.ndim != 2 or len(rows) != len(text) or not rows.shape[1] or not text.shape[1]:
        raise ValueError(f"image features {rows.shape} do not fit text probabilities {text.shape}: [N, D] and [N, K]")
    for name, values in (("image features", rows), ("text probabilities", text)):
        if values.dtype.kind != "f":
            raise ValueError(f"{name} are {values.dtype}, not floating-point numbers")
    for part in _parts(len(text)):
        block = np.asarray(text[part], np.float64)
        if not np.isfinite(block).all():
            raise ValueError("text probabilities hold a number that is not finite")
        if (block < 0).any() or (np.abs(block.sum(axis=1) - 1) > _SUM).any():
            raise ValueError("text probabilities are none: a number is negative, or a row does not sum to 1")


def _fit(scatter: NDArray[np.float64], sums: NDArray[np.float64], z: NDArray[np.float32]) -> _Mixture:
    """Means, covariance and temper of the mixture; all terms that are the same for every class are left out."""
    tiles, size = len(z), len(scatter)
    mass = z.sum(axis=0, dtype=np.float64)
    squares = np.einsum("nk,nk->k", z, z, dtype=np.float64)
    held = np.maximum(mass, _SMALLEST)
    # A mean of n tiles is off by 1/n of the variance within: that much of what lies between the means is chance. One
    # tile more, of which all is variance within, settles the case of as many classes as tiles.
    total = np.trace(scatter) / tiles
    chance = float((squares / held).sum()) / tiles
    raw = total - float((sums**2 / held[:, None]).sum()) / tiles
    within = (max(raw, 0.0) + total / tiles) / (1 - chance + 1 / tiles)
    between = total - within if total > _SMALLEST else 0.0
    kappa = max(within / between, 1.0) if between > 0 else np.inf

    mean = sums / (mass + kappa)[:, None]
    cross = sums.T @ mean
    spread = scatter - cross - cross.T + mean.T @ (mass[:, None] * mean)
    prior = np.diag(scatter) / tiles
    spread[np.diag_indices(size)] += prior + 1e-3 * prior.mean() + _SMALLEST
    variance = np.diag(spread) / (tiles + 1)
    deviation = np.sqrt(np.diag(spread))
    independent = size**2 / float(((spread / deviation[:, None] / deviation) ** 2).sum())
    temper = EVIDENCE * independent / size
    return _Mixture(
        weights=(temper * mean / variance).T.astype(np.float32),
        bias=(-temper / 2 * (mean**2 / variance).sum(axis=1)).astype(np.float32),
        trust=(mass / (mass + kappa)).astype(np.float32),
    )


def _neighbours(
    features: _Features, scatter: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """[N, k] places of the tiles with the greatest cosine, and the cosines, 0 where negative."""
    import faiss

    tiles, size = features.rows.shape
    wanted = min(NEIGHBOURS, tiles - 1)
    principal = np.linalg.eigh(scatter)[1][:, -min(DIRECTIONS, size) :].astype(np.float32)
    offset = centre.astype(np.float32) @ principal
    points = np.empty((tiles, principal.shape[1]), np.float32)
    for part, block in features.blocks():
        points[part] = block @ principal - offset
    # Tiles that all look the same differ from their mean by rounding alone, and that is no direction.
    length = np.linalg.norm(points, axis=1, keepdims=True)
    points /= np.where(length > 1e-5, length, np.inf)

    index: Any
    if tiles <= EXACT:
        index = faiss.IndexFlatIP(points.shape[1])
    else:
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(points.shape[1]), points.shape[1], _CELLS, faiss.METRIC_INNER_PRODUCT
        )
        index.nprobe, index.max_codes = _PROBED, _VISITED
        index.train(_sample(points))
    index.add(points)
    place = np.zeros((tiles, wanted), np.int64)
    cosine = np.zeros((tiles, wanted), np.float32)
    for part in _parts(tiles) if wanted else ():
        near, found = index.search(points[part], wanted + 1)
        itself = found == np.arange(part.start, part.stop)[:, None]
        itself[~itself.any(axis=1), -1] = True  # behind others that are its equals
        place[part], cosine[part] = found[~itself].reshape(-1, wanted), near[~itself].reshape(-1, wanted)
    return np.where(place < 0, 0, place), np.where(place < 0, 0, np.clip(cosine, 0, 1))


def _sample(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take points for the cells evenly from those sorted by value: the same ones whatever the order of the tiles."""
    order = np.lexsort(points[:, -4:].T)
    return points[order[:: max(1, len(order) // (_CELLS * _TRAINED_ON))]]


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _softmax(score: NDArray[np.float32]) -> NDArray[np.float32]:
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return score
