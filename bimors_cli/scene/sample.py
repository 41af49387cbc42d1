"""A sample of the pixels of a scene, for its stretch and its fraction of valid pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.errors import ReadError
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.block_cache import block_cache, row_bytes
from bimors_cli.scene.gdal import GDAL_ERRORS, display_name, is_remote, reason_of, reopen, shell_name
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.pixels import sample_window

SIDES: Final = (1024, 4096)  # pixels per side of the sample; the second if the first has too few valid pixels
MIN_VALID: Final = 1000  # valid pixels
_STRIPS: Final = 8  # the sample is read in strips: a damaged block costs one strip, not the scene
DECIMATE_UP_TO: Final = 64_000_000  # pixels; above, and without overviews, a decimated read decodes the whole file
_SMALL_BLOCK: Final = 4_000_000  # pixels; larger blocks must not be decoded for each patch
_FEW_BANDS: Final = 3
_PATCH: Final = 64  # pixels per side of the patches that are read instead


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SceneSample:
    """Valid pixels ``values`` [channels, n], any real dtype; ``valid_fraction`` is their fraction of those read."""

    values: npt.NDArray[Any]
    valid_fraction: float


def sample_scene(dataset: DatasetReader, bands: Bands, nodata: Nodata) -> SceneSample:
    """Read valid pixels evenly spread over a scene, a few million at most.

    Raises
    ------
    ReadError
        No part of the sample can be read.
    """

    def read(source: DatasetReader, window: Window, shape: tuple[int, int]) -> tuple[npt.NDArray[Any], int]:
        data, valid = sample_window(source, bands, nodata, window, shape)
        return data[:, valid], valid.size

    values, valid_fraction = np.empty((bands.channels, 0)), 0.0
    for side in SIDES:
        parts = read_parts(dataset, side, read)
        if parts:
            values = np.concatenate([part for part, _ in parts], axis=1)
            valid_fraction = values.shape[1] / sum(size for _, size in parts)
        if values.shape[1] >= MIN_VALID or side >= max(dataset.shape):
            break
    return SceneSample(values, valid_fraction)


def read_parts(
    dataset: DatasetReader,
    side: int,
    read: Callable[[DatasetReader, Window, tuple[int, int]], T],
    bands: int = _FEW_BANDS,
) -> list[T]:
    """Read the windows of a sample of a scene, without the local ones that are damaged.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    side, bands : int
        As in `sample_windows`.
    read : callable
        Reads a window of a dataset at a shape (rows, columns).

    Raises
    ------
    ReadError
        No window can be read, or one of a scene on a server.
    """
    with sample_cache(dataset, bands):
        return _read_windows(dataset, sample_windows(dataset, side, bands), read)


def _read_windows(
    dataset: DatasetReader,
    windows: Iterable[tuple[Window, tuple[int, int]]],
    read: Callable[[DatasetReader, Window, tuple[int, int]], T],
) -> list[T]:
    parts, failure = [], None
    remote = is_remote(dataset.name)
    # A separate dataset, because a failed read makes an open one unusable.
    source = reopen(dataset)
    try:
        for window, shape in windows:
            for _ in range(2 if remote else 1):  # a failed read from a server is repeated once
                try:
                    parts.append(read(source, window, shape))
                except GDAL_ERRORS as error:
                    failure = error
                    source.close()
                    source = reopen(source, clear_cache=remote)
                else:
                    break
            else:
                if remote:  # network errors differ from run to run, and so would the stretch
                    raise _unreadable(dataset, failure)
        if failure is not None and not parts:
            raise _unreadable(dataset, failure)
    finally:
        source.close()
    return parts


def _unreadable(dataset: DatasetReader, failure: BaseException | None) -> ReadError:
    name = display_name(dataset.name)
    reason = "" if failure is None else f": {reason_of(failure)}"
    hint = f"check the file for damage: gdalinfo -checksum {shell_name(dataset.name)}"
    error = ReadError(f"cannot read {name}{reason}", hint)
    error.__cause__ = failure
    return error


def sample_windows(
    dataset: DatasetReader, side: int, bands: int = _FEW_BANDS
) -> Iterator[tuple[Window, tuple[int, int]]]:
    """Yield windows and their output shapes: about `side` x `side` pixels in total.

    ``bands`` is the number of bands that are read. Of a scene that would take long to decode, patches are read.
    """
    height, width = dataset.shape
    if _reads_patches(dataset, bands):
        tops, lefts = (_spread(length, side // _PATCH) for length in (height, width))
        for top in tops:
            for left in lefts:
                patch = Window(left, top, min(_PATCH, width), min(_PATCH, height))
                yield patch, (int(patch.height), int(patch.width))
        return
    rows, cols = min(side, height), min(side, width)
    for strip in range(strips := min(_STRIPS, rows)):
        top, bottom = height * strip // strips, height * (strip + 1) // strips
        yield Window(0, top, width, bottom - top), (max(1, round((bottom - top) * rows / height)), cols)


def sample_cache(dataset: DatasetReader, bands: int = _FEW_BANDS) -> rasterio.Env:
    """Return a `rasterio.Env` whose block cache holds the blocks that the windows of `sample_windows` share.

    Patches share the strips of a scene, and no tiles. The rows of a decimated read share a row of blocks.
    """
    rows, columns = dataset.block_shapes[0]
    if _reads_patches(dataset, bands):
        rows = _PATCH + 2 * rows if columns == dataset.width else 0
    return block_cache(rows * row_bytes(dataset.width, dataset.dtypes))


def _reads_patches(dataset: DatasetReader, bands: int) -> bool:
    height, width = dataset.shape
    block_height, block_width = dataset.block_shapes[0]
    decoded = height * width * max(bands, _FEW_BANDS) / _FEW_BANDS
    return decoded > DECIMATE_UP_TO and block_height * block_width <= _SMALL_BLOCK and not dataset.overviews(1)


def _spread(length: int, count: int) -> list[int]:
    """Return the starts of up to `count` patches, each in the middle of an equal part of a length."""
    count = min(count, -(-length // _PATCH))
    return [
        min(max(0, length * (2 * i + 1) // (2 * count) - _PATCH // 2), max(0, length - _PATCH)) for i in range(count)
    ]
