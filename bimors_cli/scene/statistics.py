"""Statistics of the bands of a tile: what an analyst's own classifier looks at."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import Nodata, valid_by_band

# Of a larger window so many pixels a side are read, evenly spread: enough for its deciles.
MOST_PIXELS: Final = 128
# Windows of up to so many pixels are read in full: GDAL reduces from overviews, which are averages: the deviation of
# white noise would be 2.5 instead of 10.
FULL_READ: Final = 1024**2
_DECILES: Final = tuple(range(10, 100, 10))
OF_BAND: Final = ("mean", "deviation", *(f"{decile} %" for decile in _DECILES))
OF_PAIR: Final = ("mean", "deviation")
# Pairs whose normalised difference (a - b) / (a + b) has a name: vegetation, water, moisture or buildings.
PAIRS: Final = (("nir", "red"), ("green", "nir"), ("nir", "swir1"), ("nir", "swir2"))


@dataclass(frozen=True)
class StatisticsSpec:
    """The bands whose statistics are computed.

    Attributes
    ----------
    indexes : tuple of int
        B bands, numbered from 1.
    names : tuple of str or None
        What each band is, see `bimors_cli.scene.band_names.band_names`.
    scales, offsets : tuple of float
        Applied to the stored values of each band: value * scale + offset.
    """

    indexes: tuple[int, ...]
    names: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Positions in ``indexes`` of the two bands of each normalised difference."""
        at = {name: position for position, name in enumerate(self.names) if name is not None}
        if "nir" not in at and "nir narrow" in at:
            at["nir"] = at["nir narrow"]
        return tuple((at[a], at[b]) for a, b in PAIRS if a in at and b in at)

    def band_titles(self) -> tuple[str, ...]:
        """Return the name of each band, or its number."""
        return tuple(name or f"band {index}" for index, name in zip(self.indexes, self.names, strict=True))

    def band_of_number(self) -> tuple[str, ...]:
        """Return for each number of `tile_statistics` the band, or the pair of bands, that it describes."""
        titles = self.band_titles()
        return (
            *(title for title in titles for _ in OF_BAND),
            *(f"{titles[a]}/{titles[b]}" for a, b in self.pairs for _ in OF_PAIR),
        )

    def __len__(self) -> int:
        return len(OF_BAND) * len(self.indexes) + len(OF_PAIR) * len(self.pairs)


@dataclass(frozen=True)
class BandValues:
    """Values of the bands of a window, float64 [B, h, w], and which of them are valid, bool [B, h, w]."""

    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]

    def part(self, x: int, y: int, width: int, height: int) -> BandValues:
        """Return the pixels of a part of the window."""
        where = np.s_[:, y : y + height, x : x + width]
        return BandValues(self.values[where], self.valid[where])

    def statistics(self, spec: StatisticsSpec) -> npt.NDArray[np.float32]:
        """Return float32 [len(spec)], see `tile_statistics`."""
        return tile_statistics(self.values, self.valid, spec.pairs)


def read_values(dataset: DatasetReader, spec: StatisticsSpec, nodata: Nodata, window: Window) -> BandValues:
    """Read the values of a window, of a large one at most `MOST_PIXELS` a side.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read the window.
    """
    height, width = int(window.height), int(window.width)
    shape = (height, width) if height * width <= FULL_READ else (min(height, MOST_PIXELS), min(width, MOST_PIXELS))
    dtypes = dataset.dtypes
    dtype = np.result_type(*(dtypes[index - 1] for index in spec.indexes))
    data = dataset.read(list(spec.indexes), window=window, out_shape=(len(spec.indexes), *shape), out_dtype=dtype)
    valid = valid_by_band(dataset, Bands(spec.indexes), nodata, data, window)
    if max(shape) > MOST_PIXELS:
        rows, cols = (np.linspace(0, side - 1, min(side, MOST_PIXELS)).round().astype(int) for side in shape)
        data, valid = data[:, rows[:, None], cols], valid[:, rows[:, None], cols]
    scale, offset = (np.asarray(numbers, np.float64)[:, None, None] for numbers in (spec.scales, spec.offsets))
    return BandValues(data * scale + offset, valid)


def read_statistics(
    dataset: DatasetReader, spec: StatisticsSpec, nodata: Nodata, window: Window
) -> npt.NDArray[np.float32]:
    """Read the statistics of a window: float32 [len(spec)]; raises as `read_values`."""
    return read_values(dataset, spec, nodata, window).statistics(spec)


def tile_statistics(
    values: npt.NDArray[np.floating[Any]], valid: npt.NDArray[np.bool_], pairs: Sequence[tuple[int, int]] = ()
) -> npt.NDArray[np.float32]:
    """Describe the bands of a tile by numbers.

    Parameters
    ----------
    values : float array [B, h, w]
        Values of the bands in their units, before any stretch.
    valid : bool array [B, h, w]
        Pixels to use; not finite values are left out too.
    pairs : sequence of (int, int)
        Bands a and b, from 0, of the normalised differences (a - b) / (abs(a) + abs(b)).

    Returns
    -------
    float32 array
        `OF_BAND` for each band, then `OF_PAIR` for each pair; NaN for a band without valid pixels.
    """
    usable = valid & np.isfinite(values)
    chosen = values if usable.all() else np.where(usable, values, np.nan)
    pixels = chosen.astype(np.float64, copy=False).reshape(len(values), -1)
    derived = np.empty((len(pairs), pixels.shape[1]))
    for row, (a, b) in zip(derived, pairs, strict=True):
        total = np.abs(pixels[a]) + np.abs(pixels[b])
        row[:] = np.divide(pixels[a] - pixels[b], total, out=np.zeros_like(total), where=total != 0)
    if usable.all():
        of_bands = np.column_stack((pixels.mean(axis=1), _deviation(pixels), _deciles(pixels)))
        of_pairs = np.column_stack((derived.mean(axis=1), _deviation(derived)))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a band without valid pixels: NaN
            deciles = np.nanpercentile(pixels, _DECILES, axis=1).T
            of_bands = np.column_stack((np.nanmean(pixels, axis=1), _deviation(pixels), deciles))
            of_pairs = np.column_stack((np.nanmean(derived, axis=1), _deviation(derived)))
    with np.errstate(over="ignore"):
        return np.concatenate((of_bands.ravel(), of_pairs.ravel())).astype(np.float32)


def _deviation(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviations [B] of pixels [B, n]: of equal ones 0, not a rounding error that scaling would enlarge."""
    equal = np.nanmin(pixels, axis=1, initial=np.inf) == np.nanmax(pixels, axis=1, initial=-np.inf)
    return np.where(equal, 0.0, np.nanstd(pixels, axis=1))


def _deciles(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Deciles [B, 9] of pixels [B, n] without NaN, by linear interpolation; much faster than numpy's percentile."""
    ordered = np.sort(pixels, axis=1)
    position = np.array(_DECILES) / 100 * (pixels.shape[1] - 1)
    low = np.floor(position).astype(np.intp)
    high = np.minimum(low + 1, pixels.shape[1] - 1)
    share = position - low
    found: npt.NDArray[np.float64] = ordered[:, low] * (1 - share) + ordered[:, high] * share
    return found
