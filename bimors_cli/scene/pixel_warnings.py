"""What makes the pixels of a scene suspect: bands without names, a doubtful alpha band, undeclared fill values.

Each would give a wrong map without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands, colours_are_known, data_indexes
from bimors_cli.scene.gdal import GDAL_ERRORS, reopen
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.pixels import sample_window
from bimors_cli.scene.raster import Scene
from bimors_cli.scene.stretch import Stretch

# Beyond it there is no measurement, only fill values.
_LARGEST_VALUE: Final = 1e30
# Fill values by convention; the limits of an integer dtype are candidates too.
_FILL_VALUES: Final = (0.0, -999.0, -9999.0, -99999.0, -32768.0, -32767.0, 1e20, -1e20)
# Smallest fraction of pixels that is reported, and for values that may be measured (0, 255, 65535) also the smallest
# fraction of the edge of the scene: collars and gaps reach it, dark water and clouds rarely fill it.
_LEAST_SHARE: Final = 0.01
_LEAST_EDGE: Final = 0.1
# An alpha band has few values, and most pixels that it does not mask are opaque.
_ALPHA_VALUES: Final = 16
_LEAST_OPAQUE: Final = 0.05

_SIDE: Final = 512  # pixels a side of what is read
_READ_WHOLE: Final = 4_000_000  # pixels; larger scenes without overviews are read in some rows
_DECODED: Final = 64_000_000  # pixels that reading these rows may decode
_LEAST_ROWS: Final = 6

Kind = Literal["bands", "alpha", "values", "fill"]


@dataclass(frozen=True)
class PixelWarning:
    """One suspicion about the pixels of a scene.

    Attributes
    ----------
    kind : str
        What it is about: scenes with the same kind share a message.
    text : str
        What was found.
    advice : str
        What to do.
    """

    kind: Kind
    text: str
    advice: str


def pixel_warnings(
    scene: Scene, bands: Bands, stretch: Stretch, nodata: Nodata, *, bands_given: bool
) -> tuple[PixelWarning, ...]:
    """Look for what makes a map wrong in silence.

    About `_SIDE` x `_SIDE` pixels are read; parts that cannot be read are reported by the run itself.

    Parameters
    ----------
    scene : Scene
        The open scene.
    bands, stretch, nodata : Bands, Stretch, Nodata
        How its pixels become images.
    bands_given : bool
        Whether the user chose the bands.
    """
    return tuple(_find(scene, bands, stretch, nodata, bands_given))


def _find(scene: Scene, bands: Bands, stretch: Stretch, nodata: Nodata, bands_given: bool) -> Iterator[PixelWarning]:
    info = scene.info
    if not bands_given and stretch.kind != "raw" and len(data_indexes(info)) > 3 and not colours_are_known(info):
        used = ", ".join(map(str, bands.indexes))
        yield PixelWarning(
            "bands",
            f"bands {used} are used as red, green and blue, because neither names nor colours say which these are",
            "choose them with -b, such as -b 4,3,2; bimors info shows the names",
        )
    if any(abs(limit) > _LARGEST_VALUE for limit in (*stretch.low, *stretch.high)):
        limits = (*stretch.low, *stretch.high)
        extreme = max(limits, key=abs)
        yield PixelWarning("values", f"valid pixels have the value {extreme:g}", f"declare it: --nodata {extreme:.9g}")
    overview = _overview(scene, bands, nodata)
    if overview is None:
        return
    values, valid = overview
    if nodata.masks and ColorInterp.alpha.name in info.colorinterp:
        yield from _of_alpha(scene, bands, nodata)
    if bands.palette is None:
        yield from _of_fill(values, valid)


def _of_alpha(scene: Scene, bands: Bands, nodata: Nodata) -> Iterator[PixelWarning]:
    index = scene.info.colorinterp.index(ColorInterp.alpha.name) + 1
    found = None if index in bands.indexes else _overview(scene, Bands((index,)), Nodata("none", masks=False))
    if found is None:
        return
    alpha = found[0][0]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else alpha.max()
    several = len(np.unique(alpha)) > _ALPHA_VALUES
    if several and np.sum(alpha == opaque) < _LEAST_OPAQUE * np.sum(alpha > 0):
        masked = np.mean(alpha == 0)
        yield PixelWarning(
            "alpha",
            f"band {index} is flagged as alpha, but has many values and hardly any {opaque:g}: it may be near infrared;"
            f" {masked:.0%} of the pixels are masked by it",
            "if so, use --ignore-mask, or correct the flag: gdal_edit.py -colorinterp_" + f"{index} undefined FILE",
        )


def _of_fill(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Iterator[PixelWarning]:
    """Find a value that all bands of many valid pixels have, and that is likely no measurement."""
    if not valid.any():
        return
    same = valid & (values == values[:1]).all(axis=0)
    pixels = values[:, valid]
    lowest, highest = pixels.min(), pixels.max()
    edge = np.zeros_like(valid)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    edge &= valid
    limits = () if values.dtype.kind == "f" else (np.iinfo(values.dtype).min, np.iinfo(values.dtype).max)
    for value in dict.fromkeys((*_FILL_VALUES, *limits)):
        if value not in (lowest, highest) or lowest == highest:
            continue
        filled = same & (values[0] == (lowest if value == lowest else highest))
        share = filled.sum() / valid.sum()
        may_be_measured = value in (0, *limits)
        if share >= _LEAST_SHARE and (not may_be_measured or filled[edge].sum() >= _LEAST_EDGE * max(1, edge.sum())):
            text = str(value) if isinstance(value, int) else f"{value:.9g}"
            shown = ", ".join([text] * len(values))
            yield PixelWarning(
                "fill",
                f"about {share:.0%} of the valid pixels are {shown}, which is not declared as nodata",
                f"if it is a fill value, use --nodata {text}",
            )


def _overview(scene: Scene, bands: Bands, nodata: Nodata) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]] | None:
    """Read a small image of a scene, [channels, h, w] and valid bool [h, w]; None if a part cannot be read.

    Its first and last row and column are those of the scene, as near as that is quick to read.
    """
    info = scene.info
    whole = Window(0, 0, info.width, info.height)
    rows, cols = min(_SIDE, info.height), min(_SIDE, info.width)
    source = reopen(scene.dataset)
    try:
        if info.overviews or info.width * info.height <= _READ_WHOLE:
            return sample_window(source, bands, nodata, whole, (rows, cols))
        count = max(_LEAST_ROWS, min(rows, _DECODED // (info.width * info.block_shapes[0][0])))
        tops = np.linspace(0, info.height - 1, count).round().astype(int).tolist()
        lines = [sample_window(source, bands, nodata, Window(0, top, info.width, 1), (1, cols)) for top in tops]
    except GDAL_ERRORS:
        return None
    finally:
        source.close()
    return np.concatenate([line for line, _ in lines], axis=1), np.concatenate([valid for _, valid in lines])
