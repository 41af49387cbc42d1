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

from bimors_cli.scene.band_doubts import band_doubt
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.block_cache import block_cache, row_bytes
from bimors_cli.scene.fill_values import LARGEST_VALUE, find_fill
from bimors_cli.scene.gdal import GDAL_ERRORS, reopen
from bimors_cli.scene.mask import Nodata, mask_rule
from bimors_cli.scene.nodata_tags import impossible_nodata
from bimors_cli.scene.pixels import sample_window
from bimors_cli.scene.raster import Scene
from bimors_cli.scene.stretch import Stretch

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
    if not bands_given and stretch.kind != "raw":
        found = band_doubt(info, bands)
        if found is not None:
            yield PixelWarning("bands", *found)
    overview = _overview(scene, bands, nodata)
    extreme = _extreme(stretch, overview)
    if abs(extreme) > LARGEST_VALUE:
        yield PixelWarning("values", f"valid pixels have the value {extreme:g}", f"declare it: --nodata {extreme:.9g}")
    if overview is None:
        return
    values, valid = overview
    if nodata.masks and ColorInterp.alpha.name in info.colorinterp:
        yield from _of_alpha(scene, bands, nodata)
    if bands.palette is None and abs(extreme) <= LARGEST_VALUE:
        yield from _of_fill(scene, bands, nodata, values, valid)


def _extreme(stretch: Stretch, overview: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]] | None) -> float:
    """Return the valid value that is farthest from 0, of floats in a small image or the limits of a stretch."""
    found = [0.0, *stretch.low, *stretch.high]
    if overview is not None and overview[0].dtype.kind == "f" and overview[1].any():
        pixels = overview[0][:, overview[1]]
        found += [float(pixels.min()), float(pixels.max())]
    return max(found, key=abs)


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


def _of_fill(
    scene: Scene, bands: Bands, nodata: Nodata, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
) -> Iterator[PixelWarning]:
    masks = mask_rule(scene.dataset, bands, nodata)
    masked = masks.alpha is not None or masks.mask is not None
    # A nodata tag that masks nothing matters only where pixels look as if it should.
    tag = impossible_nodata(scene.dataset, bands.indexes) if nodata.kind == "file" and not masked else None
    for fill in find_fill(values, valid, masks.values, anywhere=tag is not None):
        if fill.channel is not None:
            where, shown = (
                f"about {fill.share:.0%} of the valid pixels of band {bands.indexes[fill.channel]}",
                str(fill),
            )
        else:
            where, shown = f"about {fill.share:.0%} of the valid pixels", ", ".join([str(fill)] * len(values))
        reason = "which is not declared as nodata"
        if tag is not None:
            reason = f"and the declared nodata value {tag[1]:.9g} masks nothing, because {tag[2]} has no such value"
        yield PixelWarning("fill", f"{where} are {shown}, {reason}", f"if it is a fill value, use --nodata {fill}")


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
            with block_cache(info.block_shapes[0][0] * row_bytes(info.width, info.dtypes)):  # rows share blocks
                return sample_window(source, bands, nodata, whole, (rows, cols))
        count = max(_LEAST_ROWS, min(rows, _DECODED // (info.width * info.block_shapes[0][0])))
        tops = np.linspace(0, info.height - 1, count).round().astype(int).tolist()
        with block_cache(0):  # each row lies in blocks of its own
            lines = [sample_window(source, bands, nodata, Window(0, top, info.width, 1), (1, cols)) for top in tops]
    except GDAL_ERRORS:
        return None
    finally:
        source.close()
    return np.concatenate([line for line, _ in lines], axis=1), np.concatenate([valid for _, valid in lines])
