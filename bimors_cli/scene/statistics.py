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
from bimors_cli.scene.mask import Nodata, valid_mask

# Of a larger window so many pixels a side are read, evenly spread: enough for its deciles.
MOST_PIXELS: Final = 128
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


def read_statistics(dataset: DatasetReader, spec: StatisticsSpec, nodata: Nodata, window: Window) -> npt.NDArray[Any]:
    """Read the statistics of a window: float32 [len(spec)], see `tile_statistics`.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read the window.
    """
    shape = min(int(window.height), MOST_PIXELS), min(int(window.width), MOST_PIXELS)
    dtype = np.result_type(*(dataset.dtypes[index - 1] for index in spec.indexes))
    data = dataset.read(list(spec.indexes), window=window, out_shape=(len(spec.indexes), *shape), out_dtype=dtype)
    values, valid = np.empty(data.shape, np.float64), np.empty(data.shape, np.bool_)
    for position, index in enumerate(spec.indexes):
        # Band by band: a pixel without near infrared still has its colours.
        band = data[position : position + 1]
        valid[position] = valid_mask(dataset, Bands((index,)), nodata, band, window)
        values[position] = band[0] * np.float64(spec.scales[position]) + spec.offsets[position]
    return tile_statistics(values, valid, spec.pairs)


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
    pixels = np.where(valid & np.isfinite(values), values, np.nan).reshape(len(values), -1)
    differences = [pixels[:0]]
    for a, b in pairs:
        total = np.abs(pixels[a]) + np.abs(pixels[b])
        difference = np.divide(pixels[a] - pixels[b], total, out=np.zeros_like(total), where=total > 0)
        differences.append(np.where(np.isnan(total), np.nan, difference)[None])
    derived = np.concatenate(differences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a band without valid pixels: NaN
        of_bands = np.column_stack((pixels.mean(axis=1), _deviation(pixels), _deciles(pixels)))
        if np.isnan(of_bands).any():
            of_bands = np.column_stack(
                (np.nanmean(pixels, axis=1), _deviation(pixels), np.nanpercentile(pixels, _DECILES, axis=1).T)
            )
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
