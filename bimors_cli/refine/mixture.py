"""The classes as a mixture in feature space, fitted to the tiles' assignments round by round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, Features, softmax
from bimors_cli.refine.calibrate import Opinions, sharpen_to_calibration
from bimors_cli.refine.nearest_neighbours import cosine_similarity, nearest_neighbours, pca_project

# The same for every data set; `bimors_cli.refine.transductive` says what each one does. The answers hardly move for 2
# to 4 look-alikes, a pull of 0.25 to 0.6, an evidence of 0.06 to 0.16, and 10 rounds or more.
PULL: Final = 0.4
EVIDENCE: Final = 0.08
ROUNDS: Final = 15


@dataclass(frozen=True)
class Mixture:
    """What one round of assignments says of the classes, as a score that is linear in a tile's features."""

    weights: NDArray[np.float32]  # [D, K]
    bias: NDArray[np.float32]  # [K]
    trust: NDArray[np.float32]  # [K], 0..1


def fit(scatter: NDArray[np.float64], sums: NDArray[np.float64], z: NDArray[np.float32]) -> Mixture:
    """Means, covariance and temper of the mixture; all terms that are the same for every class are left out."""
    tiles, size = len(z), len(scatter)
    mass = z.sum(axis=0, dtype=np.float64)
    squares = np.einsum("nk,nk->k", z, z, dtype=np.float64)
    held = np.maximum(mass, SMALLEST)
    # A mean of n tiles is off by 1/n of the variance within: that much of what lies between the means is chance. One
    # tile more, of which all is variance within, settles the case of as many classes as tiles.
    total = np.trace(scatter) / tiles
    chance = float((squares / held).sum()) / tiles
    raw = total - float((sums**2 / held[:, None]).sum()) / tiles
    within = (max(raw, 0.0) + total / tiles) / (1 - chance + 1 / tiles)
    between = total - within if total > SMALLEST else 0.0
    kappa = max(within / between, 1.0) if between > 0 else np.inf

    mean = sums / (mass + kappa)[:, None]
    cross = sums.T @ mean
    spread = scatter - cross - cross.T + mean.T @ (mass[:, None] * mean)
    prior = np.diag(scatter) / tiles
    spread[np.diag_indices(size)] += prior + 1e-3 * prior.mean() + SMALLEST
    variance = np.diag(spread) / (tiles + 1)
    deviation = np.sqrt(np.diag(spread))
    independent = size**2 / float(((spread / deviation[:, None] / deviation) ** 2).sum())
    temper = EVIDENCE * independent / size
    return Mixture(
        weights=(temper * mean / variance).T.astype(np.float32),
        bias=(-temper / 2 * (mean**2 / variance).sum(axis=1)).astype(np.float32),
        trust=(mass / (mass + kappa)).astype(np.float32),
    )


class Rounds:
    """All tiles of a run and what is known of them so far: assignments start at the text, and each round moves them.

    Parameters
    ----------
    rows : ndarray
        [N, D], features as given; N is at least 1.
    text : ndarray
        [N, K], text probabilities as given.
    map_neighbours : ndarray, optional
        int64 [N, M], rows of tiles, or -1; ``map_cosine`` float32 [N, M] then says how much each looks like its tile.
    """

    def __init__(
        self, rows: NDArray[Any], text: NDArray[Any], map_neighbours: NDArray[np.integer[Any]] | None = None
    ) -> None:
        self.features, self.text = Features.of(rows), text
        self.z = np.empty(text.shape, np.float32)
        self._scatter = np.zeros((rows.shape[1], rows.shape[1]))
        self._sums = np.zeros((text.shape[1], rows.shape[1]))
        cross, gram, total = np.zeros_like(self._sums), np.zeros((text.shape[1],) * 2), np.zeros(text.shape[1])
        for part, block in self.features.blocks():
            self._scatter += block.T @ block
            self.z[part] = text[part]
            self._sums += self.z[part].T @ block
            logs = np.log(self._said(part))
            logs -= logs.mean(axis=1, keepdims=True)
            cross += logs.T @ block
            gram += logs.T @ logs
            total += logs.sum(axis=0, dtype=np.float64)
        gram -= np.outer(total, total) / len(rows)
        variances, principal = np.linalg.eigh(self._scatter)
        self._weight = np.float32(neighbour_weight(gram, cross, variances))
        mass = np.maximum(self.z.sum(axis=0, dtype=np.float64), SMALLEST)
        points = pca_project(self.features, principal, (self._sums / mass[:, None]).mean(axis=0))
        self._place, self._cosine = nearest_neighbours(points)
        near = np.empty((len(rows), 0), np.int64) if map_neighbours is None else map_neighbours
        self.map_cosine = cosine_similarity(points, near)

    def run(self) -> NDArray[np.float32]:
        """Do all rounds, and return the answers [N, K]."""
        for _ in range(ROUNDS):
            z, sums = np.empty_like(self.z), np.zeros_like(self._sums)
            for part, block, own, others in self._scores():
                z[part] = softmax(own + others)
                sums += z[part].T @ block
            self.z, self._sums = z, sums
        return sharpen_to_calibration(self.z, self._opinions())

    def _opinions(self) -> Iterator[Opinions]:
        for part, _, _, others in self._scores():
            yield part, self._said(part), others

    def _said(self, part: slice) -> NDArray[np.float32]:
        said: NDArray[np.float32] = np.maximum(self.text[part], SMALLEST, dtype=np.float32)
        return said

    def _scores(self) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Blocks of tiles: where, features [B, D], and the scores [B, K] that the text and the other tiles give."""
        mixture = fit(self._scatter, self._sums, self.z)
        for part, block in self.features.blocks():
            said = self._said(part)
            pull = 1 - self._weight * (1 - PULL) * (said @ mixture.trust)
            others = block @ mixture.weights + mixture.bias
            for place in range(self._place.shape[1]):
                others += self._cosine[part, place, None] * self.z[self._place[part, place]]
            yield part, block, pull[:, None] * np.log(said), self._weight * others


# Share of what mainly sets tiles apart that a text leaves unread, from which on the other tiles are heard in full. Of a
# CLIP that learned from captions of anything it is some 0.16, of one that learned these very classes 0.02 to 0.09.
PLENTY: Final = 0.15


def neighbour_weight(gram: NDArray[np.float64], cross: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
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
