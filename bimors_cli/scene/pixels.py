"""Reading a window of the chosen bands with its validity, in full or decimated."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import Nodata, known_to_gdal, valid_mask

# A decimated read samples each output pixel this often along an axis: enough for a smooth picture and for the share of
# valid pixels, and never more than 16 times the picture in memory, however large the window.
_OVERSAMPLING: Final = 4


def sample_window(
    dataset: DatasetReader,
    bands: Bands,
    nodata: Nodata,
    window: Window,
    shape: tuple[int, int],
    resampling: Resampling = Resampling.nearest,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Read a window at a shape, through its overviews where they help.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    bands, nodata : Bands, Nodata
        What to read, what is empty.
    window : Window
        Whole pixels inside the scene.
    shape : (h, w)
        Pixels to return.
    resampling : Resampling
        Of the values; the mask is nearest always.

    Returns
    -------
    data : array [channels, h, w]
        The scene's dtype; uint8 for a palette.
    valid : bool array [h, w]
        True where there is data.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read.
    """
    dtype = np.result_type(*(dataset.dtypes[index - 1] for index in bands.indexes))
    indexes, out_shape = list(bands.indexes), (len(bands.indexes), *shape)
    data = dataset.read(indexes, window=window, out_shape=out_shape, resampling=resampling, out_dtype=dtype)
    valid = valid_mask(dataset, bands, nodata, data, window)
    if bands.palette is not None:
        lut = bands.lut()
        rgba = lut[np.minimum(data[0], len(lut) - 1)]
        valid &= (rgba[..., 3] > 0) & (data[0] < len(lut))
        data = np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1))
    return data, valid


def average_window(
    dataset: DatasetReader, bands: Bands, nodata: Nodata, window: Window, shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.floating[Any]]]:
    """Read a window at a smaller shape; each pixel is the mean of the valid ones it stands for.

    Two steps, so that neither nodata nor NaN bleeds into its neighbours and a palette is averaged as colours: GDAL
    reads a few times finer than asked (averaging, through overviews), and the valid samples are averaged here.

    Parameters
    ----------
    dataset, bands, nodata, window, shape
        As in `sample_window`.

    Returns
    -------
    data : array [channels, h, w]
        The scene's dtype where nothing is decimated, floats otherwise; undefined where `share` is 0.
    share : float array [h, w]
        The share of each pixel that holds data, 0..1.

    Raises
    ------
    rasterio.errors.RasterioError
        GDAL could not read.
    """
    (rows, cols), (height, width) = shape, (int(window.height), int(window.width))
    if (rows, cols) == (height, width):
        data, valid = sample_window(dataset, bands, nodata, window, shape)
        return data, valid.astype(np.float32)
    ky, kx = (min(_OVERSAMPLING, -(-full // part)) for full, part in ((height, rows), (width, cols)))
    # The mean of two palette indexes is a third colour; and GDAL must know what to leave out of a mean.
    average = bands.palette is None and known_to_gdal(dataset, bands, nodata)
    resampling = Resampling.average if average else Resampling.nearest
    data, valid = sample_window(dataset, bands, nodata, window, (rows * ky, cols * kx), resampling)
    values = np.where(valid, data, 0).astype(np.result_type(data.dtype, np.float32))
    count = _sum_cells(valid.astype(np.float32), ky, kx)
    total = _sum_cells(values, ky, kx)
    return total / np.maximum(count, 1), count / (ky * kx)


def _sum_cells(values: npt.NDArray[Any], ky: int, kx: int) -> npt.NDArray[Any]:
    """Sum the cells of ky rows and kx columns of the last two axes."""
    # Adding slices is four times quicker than numpy's sum over two axes of a reshaped array.
    total = values[..., ::ky, ::kx].copy()
    for y in range(ky):
        for x in range(kx):
            if (y, x) != (0, 0):
                total += values[..., y::ky, x::kx]
    return total
