"""Reading a window of the chosen bands with its valid pixels, at full resolution or decimated."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import Nodata, gdal_masks_all, valid_mask

# A decimated read samples each output pixel this often along an axis: enough for a smooth image and for the fraction of
# valid pixels, and never more than 16 times the size of the image in memory, however large the window.
_OVERSAMPLING: Final = 4


def sample_window(
    dataset: DatasetReader,
    bands: Bands,
    nodata: Nodata,
    window: Window,
    shape: tuple[int, int],
    resampling: Resampling = Resampling.nearest,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Read a window at a shape, from overviews where they are suitable.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    bands, nodata : Bands, Nodata
        The bands to read, and the nodata rule.
    window : Window
        Window of whole pixels inside the scene.
    shape : (h, w)
        Shape of the result, in pixels.
    resampling : Resampling
        Resampling of the values; the mask is always resampled by nearest.

    Returns
    -------
    data : array [channels, h, w]
        Values in the scene's dtype; uint8 for a palette.
    valid : bool array [h, w]
        True for valid pixels.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read the window.
    """
    dtype = np.result_type(*(dataset.dtypes[index - 1] for index in bands.indexes))
    indexes, out_shape = list(bands.indexes), (len(bands.indexes), *shape)
    data = dataset.read(indexes, window=window, out_shape=out_shape, resampling=resampling, out_dtype=dtype)
    valid = valid_mask(dataset, bands, nodata, data, window)
    return (data if bands.palette is None else _colours(bands, data)), valid


def _colours(bands: Bands, data: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the colours uint8 [3, h, w] of indices [1, h, w]; any for an index that the palette does not have."""
    lut = bands.lut()[:, :3]
    return np.ascontiguousarray(lut[np.minimum(data[0], len(lut) - 1)].transpose(2, 0, 1))


def average_window(
    dataset: DatasetReader, bands: Bands, nodata: Nodata, window: Window, shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.floating[Any]]]:
    """Read a window at a smaller shape; each pixel is the mean of the valid pixels that it covers.

    Two steps, so that neither nodata nor NaN spreads to neighbours and a palette is averaged as colours: GDAL reads at
    a few times the resolution (averaging, from overviews), and the valid samples are averaged here.

    Parameters
    ----------
    dataset, bands, nodata, window, shape
        As in `sample_window`.

    Returns
    -------
    data : array [channels, h, w]
        The scene's dtype if nothing is decimated, floats otherwise; undefined where `valid_fraction` is 0.
    valid_fraction : float array [h, w]
        Valid fraction of each pixel, 0..1.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read the window.
    """
    (rows, cols), (height, width) = shape, (int(window.height), int(window.width))
    if (rows, cols) == (height, width):
        data, valid = sample_window(dataset, bands, nodata, window, shape)
        return data, valid.astype(np.float32)
    ky, kx = (min(_OVERSAMPLING, -(-full // target)) for full, target in ((height, rows), (width, cols)))
    # The mean of two palette indices is a third colour; and GDAL must leave invalid pixels out of a mean.
    average = bands.palette is None and gdal_masks_all(dataset, bands, nodata)
    resampling = Resampling.average if average else Resampling.nearest
    data, valid = sample_window(dataset, bands, nodata, window, (rows * ky, cols * kx), resampling)
    count = _sum_blocks(valid.astype(np.float32), ky, kx)
    mean = np.empty((len(data), *shape), np.result_type(data.dtype, np.float32))
    for band, values in zip(mean, data, strict=True):  # each by itself: its copies stay in the processor's cache
        np.divide(_sum_blocks(np.where(valid, values, 0).astype(mean.dtype), ky, kx), np.maximum(count, 1), out=band)
    return mean, count / (ky * kx)


def _sum_blocks(values: npt.NDArray[Any], ky: int, kx: int) -> npt.NDArray[Any]:
    """Sum blocks of ky rows and kx columns over the last two axes."""
    # Adding slices is four times faster than numpy's sum over two axes of a reshaped array.
    total = values[..., ::ky, ::kx].copy()
    for y in range(ky):
        for x in range(kx):
            if (y, x) != (0, 0):
                total += values[..., y::ky, x::kx]
    return total
