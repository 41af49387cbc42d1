"""A sample of the pixels of a scene, for its stretch and its fraction of valid pixels."""

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
from bimors_cli.scene.gdal import GDAL_ERRORS, display_name, is_remote, reason_of, reopen, shell_name
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.pixels import sample_window

_SIDES: Final = (1024, 4096)  # pixels per side of the sample; the second if the first has too few valid pixels
_MIN_VALID: Final = 1000  # valid pixels
_STRIPS: Final = 8  # the sample is read in strips: a damaged block costs one strip, not the scene
_DECIMATE_UP_TO: Final = 64_000_000  # pixels; above, and without overviews, a decimated read decodes the whole file
_SMALL_BLOCK: Final = 4_000_000  # pixels; larger blocks must not be decoded for each patch
_PATCH: Final = 64  # pixels per side of the patches that are read instead


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
    values, valid_fraction = np.empty((bands.channels, 0)), 0.0
    remote = is_remote(dataset.name)
    # A separate dataset, because a failed read makes an open one unusable.
    source = reopen(dataset)
    try:
        for side in _SIDES:
            parts, read, failure = [], 0, None
            for window, shape in _pieces(dataset, side):
                for _ in range(2 if remote else 1):  # a failed read from a server is repeated once
                    try:
                        data, valid = sample_window(source, bands, nodata, window, shape)
                    except GDAL_ERRORS as error:
                        failure = error
                        source.close()
                        source = reopen(source, clear_cache=remote)
                    else:
                        parts.append(data[:, valid])
                        read += valid.size
                        break
                else:
                    if remote:  # network errors differ from run to run, and so would the stretch
                        raise _unreadable(dataset, failure)
            if failure is not None and not parts:
                raise _unreadable(dataset, failure)
            values = np.concatenate(parts, axis=1)
            valid_fraction = values.shape[1] / read
            if values.shape[1] >= _MIN_VALID or side >= max(dataset.shape):
                break
    finally:
        source.close()
    return SceneSample(values, valid_fraction)


def _unreadable(dataset: DatasetReader, failure: BaseException | None) -> ReadError:
    name = display_name(dataset.name)
    reason = "" if failure is None else f": {reason_of(failure)}"
    hint = f"check the file for damage: gdalinfo -checksum {shell_name(dataset.name)}"
    error = ReadError(f"cannot read {name}{reason}", hint)
    error.__cause__ = failure
    return error


def _pieces(dataset: DatasetReader, side: int) -> Iterator[tuple[Window, tuple[int, int]]]:
    """Yield windows and their output shapes: about `side` x `side` pixels in total."""
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
    """Return the starts of up to `count` patches, each in the middle of an equal part of a length."""
    count = min(count, -(-length // _PATCH))
    return [
        min(max(0, length * (2 * i + 1) // (2 * count) - _PATCH // 2), max(0, length - _PATCH)) for i in range(count)
    ]
