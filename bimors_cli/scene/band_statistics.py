"""Statistics of all bands of a scene, and the fraction of its pixels that each mask leaves, of one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import MaskRule, Nodata, mask_rule, valid_by_band, valid_by_rule
from bimors_cli.scene.sample import MIN_VALID, SIDES, read_parts

# Values of all bands that are read: 400 MB as float64. A scene of many bands has a smaller sample.
_MOST_VALUES: Final = 50_000_000
PERCENTILES: Final = (2, 98)


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of the valid values of a band, as they are stored; NaN without a valid value.

    Attributes
    ----------
    minimum, mean, maximum, deviation : float
        Smallest value, mean, largest value, standard deviation of the population.
    low, high : float
        Percentiles 2 and 98, by linear interpolation.
    valid_fraction : float
        Fraction of the pixels where the band is valid, 0..1.
    """

    minimum: float
    mean: float
    maximum: float
    deviation: float
    low: float
    high: float
    valid_fraction: float


@dataclass(frozen=True)
class SampledBands:
    """Statistics of a sample of the pixels of a scene.

    Attributes
    ----------
    bands : tuple of BandStatistics
        Of each band.
    fractions : tuple of float
        Fraction of the pixels that each rule leaves, 0..1: all masks, then each other rule.
    pixels : int
        Number of pixels that were read.
    exact : bool
        Whether these are all pixels of the scene.
    """

    bands: tuple[BandStatistics, ...]
    fractions: tuple[float, ...]
    pixels: int
    exact: bool


@dataclass(frozen=True)
class _Part:
    """Valid values of each band in a window, the numbers of pixels that the rules leave, and that of all pixels."""

    values: tuple[npt.NDArray[Any], ...]
    valid: tuple[int, ...]
    pixels: int


def sample_bands(dataset: DatasetReader, bands: Bands, nodata: Nodata, others: Sequence[MaskRule] = ()) -> SampledBands:
    """Read a sample of all bands, evenly spread over a scene.

    The values of a band are those that are valid in the band itself; an alpha band is read as it
    is stored. A scene of at most 1024 x 1024 pixels is read whole; of a larger one about as many pixels are read.

    Parameters
    ----------
    dataset : DatasetReader
        The open scene.
    bands : Bands
        The bands of the image: a pixel is valid by a rule as in `bimors_cli.scene.mask.valid_mask`.
    nodata : Nodata
        The nodata rule.
    others : sequence of MaskRule
        Other rules, whose fractions of the pixels are wanted.

    Raises
    ------
    ReadError
        No part of the sample can be read.
    """
    colours = dataset.colorinterp
    masks = [
        index for index in dataset.indexes if colours[index - 1] == ColorInterp.alpha and index not in bands.indexes
    ]
    measured = [index for index in dataset.indexes if index not in masks]
    rules = (mask_rule(dataset, bands, nodata), *others)

    def read(source: DatasetReader, window: Window, shape: tuple[int, int]) -> _Part:
        values = _read(source, measured, window, shape)
        by_band = valid_by_band(source, Bands(tuple(measured)), nodata, values, window)
        image = values[[measured.index(index) for index in bands.indexes]]
        valid = [valid_by_rule(source, bands, rule, image, window) for rule in rules]
        found = {index: values[row][by_band[row]] for row, index in enumerate(measured)}
        found |= dict(zip(masks, (band.ravel() for band in _read(source, masks, window, shape)), strict=True))
        return _Part(
            tuple(found[index] for index in dataset.indexes), tuple(int(each.sum()) for each in valid), valid[0].size
        )

    most = math.isqrt(_MOST_VALUES // dataset.count)
    for side in dict.fromkeys(min(side, most) for side in SIDES):
        parts = read_parts(dataset, side, read, dataset.count)
        if sum(part.valid[0] for part in parts) >= MIN_VALID or side >= max(dataset.shape):
            break
    pixels = sum(part.pixels for part in parts)
    return SampledBands(
        tuple(
            _statistics(np.concatenate(values), pixels) for values in zip(*(part.values for part in parts), strict=True)
        ),
        tuple(sum(counts) / pixels for counts in zip(*(part.valid for part in parts), strict=True)),
        pixels,
        pixels == dataset.width * dataset.height,
    )


def _read(source: DatasetReader, indexes: Sequence[int], window: Window, shape: tuple[int, int]) -> npt.NDArray[Any]:
    if not indexes:
        return np.empty((0, *shape), np.uint8)
    dtype = np.result_type(*(source.dtypes[index - 1] for index in indexes))
    found: npt.NDArray[Any] = source.read(
        list(indexes), window=window, out_shape=(len(indexes), *shape), out_dtype=dtype
    )
    return found


def _statistics(values: npt.NDArray[Any], pixels: int) -> BandStatistics:
    """Describe the valid values of a band, of so many pixels."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]  # an alpha band is not masked
    if not values.size:
        nan = math.nan
        return BandStatistics(nan, nan, nan, nan, nan, nan, 0.0)
    values = values.astype(np.float64)
    minimum, maximum = float(values.min()), float(values.max())
    low, high = np.percentile(values, PERCENTILES)
    with np.errstate(over="ignore", invalid="ignore"):  # values near the limits of float64
        mean, deviation = float(values.mean()), float(values.std())
    if minimum == maximum:  # not a rounding error
        mean, deviation = minimum, 0.0
    return BandStatistics(minimum, mean, maximum, deviation, float(low), float(high), values.size / pixels)
