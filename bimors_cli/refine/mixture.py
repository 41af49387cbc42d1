"""A mixture model of the classes in feature space, fitted to the tiles' assignments in rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import SMALLEST, Check, Features, softmax
from bimors_cli.refine.calibrate import Evidence, sharpen_to_calibration
from bimors_cli.refine.nearest_neighbours import cosine_similarity, nearest_neighbours, pca_project

# The same for every data set; see `bimors_cli.refine.transductive`. The results hardly change for 2 to 4 nearest
# neighbours, a text weight of 0.25 to 0.6, a temper of 0.06 to 0.16, and 10 rounds or more.
TEXT_WEIGHT: Final = 0.4
TEMPER: Final = 0.08
ROUNDS: Final = 15


@dataclass(frozen=True)
class Mixture:
    """Class scores of one round, linear in a tile's features."""

    weights: NDArray[np.float32]  # [D, K]
    bias: NDArray[np.float32]  # [K]
    certainty: NDArray[np.float32]  # [K], 0..1, of the class means


def fit(scatter: NDArray[np.float64], sums: NDArray[np.float64], z: NDArray[np.float32]) -> Mixture:
    """Fit means, covariance and temper of the mixture; terms that are equal for all classes are omitted."""
    tiles, size = len(z), len(scatter)
    mass = z.sum(axis=0, dtype=np.float64)
    squares = np.einsum("nk,nk->k", z, z, dtype=np.float64)
    positive_mass = np.maximum(mass, SMALLEST)
    # The variance of a mean of n tiles is 1/n of the variance within: that much of the variance between is chance. One
    # additional tile, all of it variance within, covers the case of as many classes as tiles.
    total = np.trace(scatter) / tiles
    chance = float((squares / positive_mass).sum()) / tiles
    raw = total - float((sums**2 / positive_mass[:, None]).sum()) / tiles
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
    temper = TEMPER * independent / size
    return Mixture(
        weights=(temper * mean / variance).T.astype(np.float32),
        bias=(-temper / 2 * (mean**2 / variance).sum(axis=1)).astype(np.float32),
        certainty=(mass / (mass + kappa)).astype(np.float32),
    )


class Rounds:
    """The state of all tiles of a run: assignments start at the text probabilities and are updated in rounds.

    Parameters
    ----------
    rows : ndarray
        [N, D], features as given, N at least 1.
    text : ndarray
        [N, K], text probabilities as given.
    map_neighbours : ndarray, optional
        int64 [N, M], rows of tiles, or -1; ``map_cosine`` float32 [N, M] then holds their cosine similarity.
    check : callable, optional
        Called before each block of features is read; it may raise to stop.
    """

    def __init__(
        self,
        rows: NDArray[Any],
        text: NDArray[Any],
        map_neighbours: NDArray[np.integer[Any]] | None = None,
        check: Check | None = None,
    ) -> None:
        self.features, self.text = Features.of(rows, check), text
        self.z = np.empty(text.shape, np.float32)
        self._scatter = np.zeros((rows.shape[1], rows.shape[1]))
        self._sums = np.zeros((text.shape[1], rows.shape[1]))
        cross, gram, total = np.zeros_like(self._sums), np.zeros((text.shape[1],) * 2), np.zeros(text.shape[1])
        for part, block in self.features.blocks():
            self._scatter += block.T @ block
            self.z[part] = text[part]
            self._sums += self.z[part].T @ block
            logs = np.log(self._text_probabilities(part))
            logs -= logs.mean(axis=1, keepdims=True)
            cross += logs.T @ block
            gram += logs.T @ logs
            total += logs.sum(axis=0, dtype=np.float64)
        gram -= np.outer(total, total) / len(rows)
        variances, principal = np.linalg.eigh(self._scatter)
        self._weight = np.float32(neighbour_weight(gram, cross, variances))
        mass = np.maximum(self.z.sum(axis=0, dtype=np.float64), SMALLEST)
        points = pca_project(self.features, principal, (self._sums / mass[:, None]).mean(axis=0))
        self._neighbours, self._cosine = nearest_neighbours(points)
        near = np.empty((len(rows), 0), np.int64) if map_neighbours is None else map_neighbours
        self.map_cosine = cosine_similarity(points, near)

    def run(self) -> NDArray[np.float32]:
        """Run all rounds and return the refined probabilities [N, K]."""
        for _ in range(ROUNDS):
            z, sums = np.empty_like(self.z), np.zeros_like(self._sums)
            for part, block, own, others in self._scores():
                z[part] = softmax(own + others)
                sums += z[part].T @ block
            self.z, self._sums = z, sums
        return sharpen_to_calibration(self.z, self._evidence())

    def _evidence(self) -> Iterator[Evidence]:
        for part, _, _, others in self._scores():
            yield part, self._text_probabilities(part), others

    def _text_probabilities(self, part: slice) -> NDArray[np.float32]:
        text: NDArray[np.float32] = np.maximum(self.text[part], SMALLEST, dtype=np.float32)
        return text

    def _scores(self) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Yield blocks of tiles: slice, features [B, D], scores [B, K] from the text and from the other tiles."""
        mixture = fit(self._scatter, self._sums, self.z)
        for part, block in self.features.blocks():
            text = self._text_probabilities(part)
            exponent = 1 - self._weight * (1 - TEXT_WEIGHT) * (text @ mixture.certainty)
            others = block @ mixture.weights + mixture.bias
            for column in range(self._neighbours.shape[1]):
                others += self._cosine[part, column, None] * self.z[self._neighbours[part, column]]
            yield part, block, exponent[:, None] * np.log(text), self._weight * others


# Fraction of the leading feature variance not explained by the text from which on other tiles have full weight. For a
# CLIP trained on captions of anything it is about 0.16, for one trained on the same classes 0.02 to 0.09.
UNEXPLAINED_VARIANCE: Final = 0.15


def neighbour_weight(gram: NDArray[np.float64], cross: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    r"""Weight 0..1 of the other tiles relative to a tile's own text probabilities.

    Other tiles help where the features contain information that the text probabilities do not use. Text probabilities
    are a function of the same features: where they already use all that separates the tiles, the nearest neighbours
    repeat their errors and still agree with them. So the features are regressed on the logarithms of the text
    probabilities. With :math:`R^2` the fraction of their variance that these explain, and V the largest fraction that K
    - 1 directions can explain (the number of directions of K text scores), the text leaves :math:`u = 1 - R^2 / V`
    unexplained, and the weight is :math:`\min(1, (u / 0.15)^2)`. With more labels than tiles everything is explained,
    and the weight is 0.

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
    explained = np.einsum("kd,kd->", cross, np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ cross)
    return float(min(1.0, (max(0.0, 1 - explained / leading) / UNEXPLAINED_VARIANCE) ** 2))
