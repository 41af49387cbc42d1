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
from bimors_cli.scene.nodata_tags import nodata_values

_NO_MASK: Final = ", no mask"


@dataclass(frozen=True, slots=True)
class Nodata:
    """The nodata value: that of the file ("file"), none ("none"), or `value` ("value").

    ``value`` is 0 for the other kinds: NaN differs from itself, and from Python 3.13 on so would two equal rules.
    ``masks`` tells whether alpha and mask bands are applied; its text ends in "no mask" if not.
    """

    kind: Literal["file", "none", "value"] = "file"
    value: float = 0.0
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
    rule: red alone may be 0 in a colour), all of them are finite, and its colour in a palette is not transparent.

    Parameters
    ----------
    dataset : DatasetReader
        The scene.
    bands : Bands
        The bands that were read.
    nodata : Nodata
        The nodata rule.
    data : array [bands, h, w]
        Values of the bands, any real dtype, at full resolution or decimated; with a palette those that it has colours
        for.
    window : Window
        The window that was read.

    Returns
    -------
    bool array [h, w]
        True for valid pixels.
    """
    return valid_by_rule(dataset, bands, mask_rule(dataset, bands, nodata), data, window)


def valid_by_rule(
    dataset: DatasetReader, bands: Bands, rule: MaskRule, data: npt.NDArray[Any], window: Window
) -> npt.NDArray[np.bool_]:
    """Return the pixels of a window that are valid by a rule, bool [h, w]; parameters else as `valid_mask`."""
    valid = _unmasked(dataset, rule, data.shape[1:], window)
    if None not in rule.values:
        empty = np.ones_like(valid)
        for band, value in zip(data, rule.values, strict=True):
            empty &= equals_nodata(band, value)  # type: ignore[arg-type]  # None was excluded
        valid &= ~empty
    if rule.finite:
        valid &= np.isfinite(data).all(axis=0)
    if rule.palette:
        opaque = bands.lut()[:, 3] > 0
        valid &= opaque[np.minimum(data[0], len(opaque) - 1)] & (data[0] < len(opaque))
    return valid


def valid_by_band(
    dataset: DatasetReader, bands: Bands, nodata: Nodata, data: npt.NDArray[Any], window: Window
) -> npt.NDArray[np.bool_]:
    """Return the valid values of each band of a window that was read, bool [bands, h, w]; parameters as `valid_mask`.

    Each band by itself: not masked, not its nodata value, and finite. A pixel without near infrared still has colours.
    """
    rule = mask_rule(dataset, bands, nodata)
    found = np.repeat(_unmasked(dataset, rule, data.shape[1:], window)[None], len(data), axis=0)
    for own, band, value in zip(found, data, rule.values, strict=True):
        if value is not None:
            own &= ~equals_nodata(band, value)
    if rule.finite:
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
    finite : bool
        Whether NaN and infinite values are invalid: those of floats are.
    palette : bool
        Whether values whose colour is transparent, or that have no colour, are invalid: those with a palette are.
    """

    alpha: int | None
    mask: int | None
    values: tuple[float | None, ...]
    finite: bool
    palette: bool


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
    found = mask_band(dataset, bands)
    # An override of the nodata value replaces a mask that is made of NODATA_VALUES.
    applied = found is not None and (nodata.kind == "file" if found.of_values else nodata.masks)
    mask = found.index if found is not None and applied else None
    values: tuple[float | None, ...] = (nodata.value if nodata.kind == "value" else None,) * len(bands.indexes)
    if nodata.kind == "file" and mask is None:
        tags = nodata_values(dataset)
        values = tuple(tags[index - 1] for index in bands.indexes)
    return MaskRule(
        alpha=_alpha(dataset, bands) if nodata.masks else None,
        mask=mask,
        values=values,
        finite=any(np.dtype(dataset.dtypes[index - 1]).kind == "f" for index in bands.indexes),
        palette=bands.palette is not None,
    )


@dataclass(frozen=True, slots=True)
class MaskBand:
    """The mask band that a file has for some bands.

    Attributes
    ----------
    index : int
        The first of these bands that has it, numbered from 1.
    of_values : bool
        Whether GDAL makes it of the NODATA_VALUES tag; else it is an internal mask or a .msk file.
    """

    index: int
    of_values: bool


def mask_band(dataset: DatasetReader, bands: Bands) -> MaskBand | None:
    """Return the mask band that a file has for bands, whether it is applied or not; None if it has none."""
    flags = dataset.mask_flag_enums
    for index in bands.indexes:
        own = flags[index - 1]
        if MaskFlags.per_dataset in own and MaskFlags.alpha not in own:
            return MaskBand(index, MaskFlags.nodata in own)  # GDAL reports NODATA_VALUES with both flags
    return None


def _unmasked(dataset: DatasetReader, rule: MaskRule, shape: tuple[int, ...], window: Window) -> npt.NDArray[np.bool_]:
    """Return the pixels that no mask or alpha band masks, bool [h, w]."""
    valid = np.ones(shape, np.bool_)
    if rule.alpha is not None:
        valid &= dataset.read(rule.alpha, window=window, out_shape=valid.shape) > 0
    if rule.mask is not None:
        valid &= dataset.read_masks(rule.mask, window=window, out_shape=valid.shape) > 0
    return valid


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
