"""A sample of a scene's pixels: what its stretch and its share of data are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.errors import ReadError
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.gdal import GDAL_ERRORS, display_name, is_remote, open_afresh, reason_of, shell_name
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.pixels import sample_window

_SIDES: Final = (1024, 4096)  # pixels a side of the sample; the second if the first finds too few valid pixels
_ENOUGH: Final = 1000  # valid pixels
_STRIPS: Final = 8  # the sample is read in strips: one damaged block costs one strip, not the scene
_DECIMATE_UP_TO: Final = 64_000_000  # pixels; above, and without overviews, a decimated read decodes the whole file
_SMALL_BLOCK: Final = 4_000_000  # pixels; larger blocks must not be decoded once a patch
_PATCH: Final = 64  # pixels a side of the patches that are read instead


@dataclass(frozen=True, slots=True)
class SceneSample:
    """Valid pixels ``values`` [channels, n], any real dtype, and ``valid_fraction``, their part of those read."""

    values: npt.NDArray[Any]
    valid_fraction: float


def sample_scene(dataset: DatasetReader, bands: Bands, nodata: Nodata) -> SceneSample:
    """Read valid pixels from all over a scene, some million at the most.

    Raises
    ------
    ReadError
        No part of the sample could be read.
    """
    values, share = np.empty((bands.channels, 0)), 0.0
    remote = is_remote(dataset.name)
    # Of its own: a failed read spoils what is open.
    source = open_afresh(dataset)
    try:
        for side in _SIDES:
            parts, read, failure = [], 0, None
            for window, shape in _pieces(dataset, side):
                for _ in range(2 if remote else 1):  # a server is asked twice
                    try:
                        data, valid = sample_window(source, bands, nodata, window, shape)
                    except GDAL_ERRORS as error:
                        failure = error
                        source.close()
                        source = open_afresh(source, forget=remote)
                    else:
                        parts.append(data[:, valid])
                        read += valid.size
                        break
                else:
                    if remote:  # what a network loses differs from run to run, and so would the stretch
                        raise _unreadable(dataset, failure)
            if failure is not None and not parts:
                raise _unreadable(dataset, failure)
            values = np.concatenate(parts, axis=1)
            share = values.shape[1] / read
            if values.shape[1] >= _ENOUGH or side >= max(dataset.shape):
                break
    finally:
        source.close()
    return SceneSample(values, share)


def _unreadable(dataset: DatasetReader, failure: BaseException | None) -> ReadError:
    name = display_name(dataset.name)
    reason = "" if failure is None else f": {reason_of(failure)}"
    hint = f"see how far the file is whole: gdalinfo -checksum {shell_name(dataset.name)}"
    error = ReadError(f"cannot read {name}{reason}", hint)
    error.__cause__ = failure
    return error


def _pieces(dataset: DatasetReader, side: int) -> Iterator[tuple[Window, tuple[int, int]]]:
    """Yield windows and the shapes to read them at: about `side` x `side` pixels in all."""
    height, width = dataset.shape
    block_height, block_width = dataset.block_shapes[0]
    small_blocks = block_height * block_width <= _SMALL_BLOCK
    if height * width > _DECIMATE_UP_TO and small_blocks and not dataset.overviews(1):
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


def _spread(length: int, count: int) -> list[int]:
    """Return the starts of up to `count` patches, each in the middle of an equal share of a length."""
    count = min(count, -(-length // _PATCH))
    return [
        min(max(0, length * (2 * i + 1) // (2 * count) - _PATCH // 2), max(0, length - _PATCH)) for i in range(count)
    ]
