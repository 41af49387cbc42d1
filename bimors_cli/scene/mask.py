"""Valid pixels: nodata values, masks and alpha bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from bimors_cli.errors import InputError
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.nodata_tags import impossible_nodata, nodata_values

_NO_MASK: Final = ", no mask"
_VALUES: Final = "NODATA_VALUES tag"
_MASK: Final = "mask band"


@dataclass(frozen=True, slots=True)
class Nodata:
    """The nodata value: that of the file ("file"), none ("none"), or `value` ("value").

    ``masks`` tells whether alpha and mask bands are applied; its text ends in "no mask" if not.
    """

    kind: Literal["file", "none", "value"] = "file"
    value: float = math.nan
    masks: bool = True

    def __str__(self) -> str:
        text = f"{self.value:.17g}" if self.kind == "value" else self.kind
        return text if self.masks else f"{text}{_NO_MASK}"


_FLOAT_EPSILON: Final = float(np.finfo(np.float32).eps)
# No measurement has such a value, and the lowest float32 rounded to one digit is beyond it.
_LOWEST_FLOAT: Final = 2e38

FILE_NODATA: Final = Nodata()


def recorded_nodata(text: str) -> Nodata:
    """Parse what `str` made of a rule. Raises InputError."""
    value, masks = text.removesuffix(_NO_MASK), not text.endswith(_NO_MASK)
    return parse_nodata(None if value == "file" else value, masks=masks)


def parse_nodata(text: str | None, *, masks: bool = True) -> Nodata:
    """Parse an override of the file's nodata value: a number, ``nan`` or ``none``; None keeps the value of the file.

    ``masks`` tells whether alpha and mask bands are applied.

    Raises
    ------
    InputError
        The text is not a nodata value.
    """
    if text is None:
        return Nodata("file", masks=masks)
    word = text.strip().lower()
    if word in ("none", "null"):
        return Nodata("none", masks=masks)
    try:
        return Nodata("value", float(word.replace("_", "?")), masks)  # float() accepts 1_000
    except ValueError:
        raise InputError(f"{text!r} is not a nodata value", "give a number, nan or none") from None


def valid_mask(
    dataset: DatasetReader,
    bands: Bands,
    nodata: Nodata,
    data: npt.NDArray[Any],
    window: Window,
) -> npt.NDArray[np.bool_]:
    """Return the valid pixels of a window that was read.

    A pixel is valid if it is not masked by a mask or alpha band (alpha 0), not all of the bands used are nodata (GDAL's
    rule: red alone may be 0 in a colour), and all of them are finite.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    bands : Bands
        The bands that were read.
    nodata : Nodata
        The nodata rule.
    data : array [bands, h, w]
        Values of the bands, any real dtype, at full resolution or decimated.
    window : Window
        The window that was read.

    Returns
    -------
    bool array [h, w]
        True for valid pixels.
    """
    valid, values = _masks(dataset, bands, nodata, data.shape[1:], window)
    if None not in values:
        empty = np.ones_like(valid)
        for band, value in zip(data, values, strict=True):
            empty &= equals_nodata(band, value)  # type: ignore[arg-type]  # None was excluded
        valid &= ~empty
    if data.dtype.kind == "f":
        valid &= np.isfinite(data).all(axis=0)
    return valid


def valid_by_band(
    dataset: DatasetReader, bands: Bands, nodata: Nodata, data: npt.NDArray[Any], window: Window
) -> npt.NDArray[np.bool_]:
    """Return the valid values of each band of a window that was read, bool [bands, h, w]; parameters as `valid_mask`.

    Each band by itself: not masked, not its nodata value, and finite. A pixel without near infrared still has colours.
    """
    valid, values = _masks(dataset, bands, nodata, data.shape[1:], window)
    found = np.repeat(valid[None], len(data), axis=0)
    for own, band, value in zip(found, data, values, strict=True):
        if value is not None:
            own &= ~equals_nodata(band, value)
    if data.dtype.kind == "f":
        found &= np.isfinite(data)
    return found


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Which masks decide about the pixels of some bands.

    Attributes
    ----------
    alpha : int or None
        The alpha band that is applied, numbered from 1.
    mask : int or None
        The band whose mask band is applied: an internal mask, a .msk file, or that of NODATA_VALUES.
    values : tuple of float or None
        Nodata value of each band, None where none is applied. A pixel is nodata if all bands have their value.
    unused : str
        What the file declares but is not applied, and why; empty for nothing.
    source : str
        What the mask band is made of.
    """

    alpha: int | None
    mask: int | None
    values: tuple[float | None, ...]
    unused: str = ""
    source: str = ""

    @property
    def applied(self) -> str:
        """What is applied, in words: ``alpha band 4 and nodata 0``."""
        parts = [] if self.alpha is None else [f"alpha band {self.alpha}"]
        if self.mask is not None:
            parts.append(self.source)
        if any(value is not None for value in self.values):
            same = len(set(map(str, self.values))) == 1
            shown = self.values[:1] if same else self.values
            parts.append("nodata " + ", ".join("none" if value is None else f"{value:.9g}" for value in shown))
            if None in self.values:
                parts[-1] += " (masks nothing, because not all bands used have it)"
        return " and ".join(parts) or "none"


def mask_rule(dataset: DatasetReader, bands: Bands, nodata: Nodata) -> MaskRule:
    """Return which masks decide about the pixels of bands.

    The order is GDAL's (GDALRasterBand::GetMaskBand): a mask band takes precedence over the NODATA_VALUES tag of the
    file, and that over the nodata tags of its bands. Other than in GDAL, an alpha band is applied in addition, with any
    dtype: programs that display a raster do both. A nodata value of the user replaces NODATA_VALUES and tags, and is
    applied in addition to a mask band.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    bands : Bands
        The bands that are read.
    nodata : Nodata
        The nodata rule of the user.
    """
    all_flags = dataset.mask_flag_enums
    flags = [all_flags[index - 1] for index in bands.indexes]
    declared = nodata_values(dataset)
    tags = [declared[index - 1] for index in bands.indexes]
    unused = []
    alpha = _alpha(dataset, bands)
    if alpha is not None and not nodata.masks:
        alpha = None
        unused.append("an alpha band is ignored")
    mask, source = None, ""
    for index, flag in zip(bands.indexes, flags, strict=True):
        if MaskFlags.per_dataset not in flag or MaskFlags.alpha in flag:
            continue
        # GDAL reports a mask made of NODATA_VALUES as per_dataset too: an override replaces that mask.
        of_values = MaskFlags.nodata in flag
        source = _VALUES if of_values else _MASK
        if not (of_values and nodata.kind != "file") and (nodata.masks or of_values):
            mask = index
        else:
            unused.append(f"{source} is not applied")
        break
    values: list[float | None] = [nodata.value if nodata.kind == "value" else None] * len(bands.indexes)
    if nodata.kind == "file" and mask is None:
        values = list(tags)
    elif any(value is not None for value in tags) and mask is not None and nodata.kind == "file":
        unused.append(f"the nodata tag is not applied, because {source} takes precedence")
    return MaskRule(alpha, mask, tuple(values), "; ".join(unused), source)


def mask_text(dataset: DatasetReader, bands: Bands, nodata: Nodata) -> str:
    """Return what decides about the pixels of bands, such as ``alpha band 4 and nodata 0``; ``none`` for nothing."""
    rule = mask_rule(dataset, bands, nodata)
    text, more = rule.applied, [rule.unused] if rule.unused else []
    if any(dataset.dtypes[index - 1].startswith("float") for index in bands.indexes):
        text += " and NaN"
    if bands.palette is not None and (bands.lut()[:, 3] == 0).any():
        text += " and transparent colours of the palette"
    tag = impossible_nodata(dataset) if nodata.kind == "file" else None
    if tag is not None:
        more.append(f"the nodata tag {tag[1]:.9g} masks nothing, because {tag[2]} has no such value")
    of_file = any(name.lower().endswith(".msk") for name in dataset.files)
    return "; ".join((text.removeprefix("none and "), *more)).replace(
        _MASK, ".msk file" if of_file else "internal mask"
    )


def _masks(
    dataset: DatasetReader, bands: Bands, nodata: Nodata, shape: tuple[int, ...], window: Window
) -> tuple[npt.NDArray[np.bool_], tuple[float | None, ...]]:
    """Return the pixels that no mask or alpha band masks, bool [h, w], and the nodata value of each band."""
    rule = mask_rule(dataset, bands, nodata)
    valid = np.ones(shape, np.bool_)
    if rule.alpha is not None:
        valid &= dataset.read(rule.alpha, window=window, out_shape=valid.shape) > 0
    if rule.mask is not None:
        valid &= dataset.read_masks(rule.mask, window=window, out_shape=valid.shape) > 0
    return valid, rule.values


def gdal_masks_all(dataset: DatasetReader, bands: Bands, nodata: Nodata) -> bool:
    """Tell whether GDAL, when averaging, leaves out all pixels that are invalid in `valid_mask` (except NaN)."""
    alpha = _alpha(dataset, bands)
    masked = alpha is None or MaskFlags.alpha in dataset.mask_flag_enums[bands.indexes[0] - 1]
    # GDAL compares float64 exactly enough to leave rounded lowest values in.
    lowest = any(abs(value) >= _LOWEST_FLOAT for value in nodata_values(dataset) if value is not None)
    return masked and nodata.kind == "file" and nodata.masks and not lowest


def _alpha(dataset: DatasetReader, bands: Bands) -> int | None:
    """Return the number of the alpha band; None if there is none or it is one of the image bands.

    Found by colour interpretation: GDAL uses alpha as mask in files of uint8 or uint16 only, and not if nodata is set.
    """
    colours = dataset.colorinterp
    index = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None
    return None if index in bands.indexes else index


def equals_nodata(band: npt.NDArray[Any], value: float) -> npt.NDArray[np.bool_]:
    """Compare with a nodata value, in the dtype of the band: 0.1 in float32 differs from Python's 0.1.

    Floats are equal as in GDAL (ARE_REAL_EQUAL: a few units in the last place of a float32). Beyond `_LOWEST_FLOAT`
    all values of one sign are equal: writers round the lowest float32, -3.4028235e38, to two or six digits.
    """
    if band.dtype.kind == "f":
        if math.isnan(value):
            return np.asarray(np.isnan(band))
        with np.errstate(over="ignore", invalid="ignore"):
            typed = np.float64(value).astype(band.dtype)
            if abs(typed) >= _LOWEST_FLOAT:
                return np.asarray((np.abs(band) >= _LOWEST_FLOAT) & (np.signbit(band) == np.signbit(typed)))
            wide = band.astype(np.float64)
            close = np.abs(wide - float(typed)) < 2 * _FLOAT_EPSILON * np.abs(wide + float(typed))
        return np.asarray((band == typed) | close)
    limits = np.iinfo(band.dtype)
    if math.isnan(value) or math.isinf(value) or value != int(value) or not limits.min <= int(value) <= limits.max:
        return np.zeros(band.shape, np.bool_)
    return np.asarray(band == int(value))
