"""The image features of a bundle's training images: how unlike them a tile is."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Of `directions`: half precision moves no distance by more than a thousandth of it. The byte order is that of the file.
DIRECTIONS: Final = np.dtype("<f2")
# Directions that hold so much of the variance are the main ones: those with less are noise of the training images, and
# whatever else an image has.
_VARIANCE: Final = 0.98
_DIGITS: Final = 4


@dataclass(frozen=True)
class TrainingFeatures:
    """Where the image features of the training images are.

    The distance of a feature is its length outside of the main directions of the training images, starting from their
    mean: what no training image has.

    Attributes
    ----------
    mean : tuple of float
        E numbers, the mean.
    directions : bytes
        k orthonormal vectors of E numbers, as `DIRECTIONS`.
    distances : tuple of float
        Quantiles of the distances of the training images, at equal steps from the least to the largest.
    """

    mean: tuple[float, ...]
    directions: bytes
    distances: tuple[float, ...]

    @property
    def width(self) -> int:
        """E, the number of numbers of a feature."""
        return len(self.mean)

    def novelty(self, features: npt.NDArray[np.floating]) -> Array:
        """Return the fraction of training images with a smaller distance, for features [B, E]: [B], NaN for NaN."""
        return np.interp(self._distances(features), self.distances, np.linspace(0, 1, len(self.distances)))

    def as_json(self) -> dict[str, Any]:
        """Return the object as it is written to a manifest; `parse_training_features` is its inverse."""
        text = base64.b64encode(self.directions).decode()
        return {"mean": list(self.mean), "directions": text, "distances": list(self.distances)}

    def _distances(self, features: npt.NDArray[np.floating]) -> Array:
        basis = np.frombuffer(self.directions, DIRECTIONS).reshape(-1, self.width).astype(np.float64)
        away = features.astype(np.float64) - np.array(self.mean)
        return np.asarray(np.linalg.norm(away - away @ basis.T @ basis, axis=1), np.float64)


def measure_features(features: npt.NDArray[np.floating], quantiles: int = 101) -> TrainingFeatures:
    """Measure the features [n, E] of training images; numbers are rounded to 4 significant digits."""
    values = features.astype(np.float64)
    mean = _rounded(values.mean(axis=0))
    variances, vectors = np.linalg.eigh(np.cov(values.T))
    share = np.cumsum(variances[::-1]) / variances.sum()
    count = int(np.searchsorted(share, _VARIANCE)) + 1
    main = vectors[:, ::-1][:, :count].T
    # The sign of an eigenvector is arbitrary: the same on every machine.
    main = main * np.sign(main[np.arange(count), np.abs(main).argmax(axis=1)])[:, None]
    unranked = TrainingFeatures(mean, main.astype(DIRECTIONS).tobytes(), ())
    distances = np.quantile(unranked._distances(values), np.linspace(0, 1, quantiles))
    return TrainingFeatures(mean, unranked.directions, _rounded(distances))


def parse_training_features(content: Mapping[str, Any]) -> TrainingFeatures:
    """Parse the object of a manifest.

    Raises
    ------
    KeyError, TypeError, ValueError
        A value is missing, or invalid.
    """
    mean, distances = _numbers(content["mean"], "mean"), _numbers(content["distances"], "distances")
    try:
        directions = base64.b64decode(content["directions"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"image_feature: directions is not base64: {error}") from error
    if not directions or len(directions) % (len(mean) * DIRECTIONS.itemsize):
        raise ValueError("image_feature: directions does not have the width of mean")
    if not np.isfinite(np.frombuffer(directions, DIRECTIONS)).all():
        raise ValueError("image_feature: directions has numbers that are not finite")
    if len(distances) < 2 or list(distances) != sorted(distances):
        raise ValueError("image_feature: distances is not a list of ascending numbers")
    return TrainingFeatures(mean, directions, distances)


def _numbers(given: Any, name: str) -> tuple[float, ...]:
    numbers = isinstance(given, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in given
    )
    if not numbers or not given:
        raise TypeError(f"image_feature: {name} is not a list of numbers")
    return tuple(map(float, given))


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
