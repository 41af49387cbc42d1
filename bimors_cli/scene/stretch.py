"""Stretching values to 8 bits: one linear stretch per scene, so that all of its tiles are comparable."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader

from bimors_cli.errors import InputError
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import FILE_NODATA, Nodata, equals_nodata, mask_rule
from bimors_cli.scene.sample import sample_scene

_HINT: Final = "write it as auto, none, MIN,MAX or p2,p98"


@dataclass(frozen=True, slots=True)
class StretchSpec:
    """A stretch as the user requests it; `low` and `high` are values ("range") or percentiles ("percentile")."""

    kind: Literal["auto", "none", "range", "percentile"]
    low: float = 0
    high: float = 0

    def __str__(self) -> str:
        if self.kind in ("auto", "none"):
            return self.kind
        mark = "p" if self.kind == "percentile" else ""
        return f"{mark}{self.low:.12g},{mark}{self.high:.12g}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch with its limits, ready to apply.

    Attributes
    ----------
    kind : {"none", "range", "percentile", "raw"}
        "none" leaves 8-bit values unchanged; "raw" leaves any values unchanged, as float32, for a model of bands.
    low, high : tuple of float
        Values mapped to 0 and 255, one per channel; empty for "none" and "raw".
    """

    kind: Literal["none", "range", "percentile", "raw"]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __str__(self) -> str:
        pairs = (f"{low:.6g}..{high:.6g}" for low, high in zip(self.low, self.high, strict=True))
        return " ".join((self.kind, *pairs))

    def apply(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stretch values to 8 bits.

        Parameters
        ----------
        data : array [1 or 3, h, w]; [N, h, w] for "raw"
            Any real dtype. NaN and values below `low` become 0, values above `high` 255; if `low` equals `high`, that
            value becomes 127.

        Returns
        -------
        uint8 array [3, h, w]; float32 array [N, h, w] for "raw"
            One channel is repeated.
        """
        if self.kind == "raw":
            return data.astype(np.float32)
        if data.dtype == np.uint8 and self.kind == "none":
            return np.repeat(data, 3, axis=0) if len(data) == 1 else data
        values = data.astype(np.result_type(data.dtype, np.float32), copy=True)
        if self.kind != "none":
            for band, low, high in zip(values, self.low, self.high, strict=True):
                with np.errstate(
                    over="ignore", invalid="ignore"
                ):  # values near the limits of the dtype; NaN is replaced below
                    if high > low:
                        band -= low
                        band *= 255 / (high - low)
                    else:
                        band[...] = 127 + 128 * np.sign(band - low)
        np.nan_to_num(values, copy=False, nan=0, posinf=255, neginf=0)
        image = np.rint(values.clip(0, 255)).astype(np.uint8)
        return np.repeat(image, 3, axis=0) if len(image) == 1 else image


def parse_stretch(text: str) -> StretchSpec:
    """Parse ``auto``, ``none``, ``MIN,MAX`` (values) or ``p2,p98`` (percentiles).

    Raises
    ------
    InputError
        The text is not a stretch, its first value is not below the second, or a percentile is outside 0..100.
    """
    word = text.strip().lower()
    if word == "auto":
        return StretchSpec("auto")
    if word == "none":
        return StretchSpec("none")
    match = re.fullmatch(r"(p?)\s*([^p,\s]+)\s*,\s*\1\s*([^p,\s]+)", word)
    try:
        low, high = (float(part) for part in match.groups()[1:]) if match else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    if match is None or not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{text!r} is not a stretch", _HINT)
    if low >= high:
        raise InputError(
            f"the minimum of the stretch {text!r} is not below its maximum", "give the smaller value first"
        )
    if match[1] and not 0 <= low < high <= 100:
        raise InputError(f"the stretch {text!r} has a percentile outside 0..100", _HINT)
    return StretchSpec("percentile" if match[1] else "range", low, high)


def compute_stretch(dataset: DatasetReader, bands: Bands, spec: StretchSpec, nodata: Nodata = FILE_NODATA) -> Stretch:
    """Compute the stretch of a scene; a sample of its valid pixels is read for percentiles only.

    ``auto`` leaves 8-bit images (three bands, or a palette) unchanged: they were made for viewing, and scenes of one
    survey stay comparable. Other scenes, single 8-bit bands included, get p2,p98 per channel.

    Nodata values of one band, in pixels that have data in other bands, do not count in its channel.

    A channel with equal percentiles uses the minimum and maximum of the sample; a scene without valid pixels gets 0..1.

    Parameters
    ----------
    dataset : DatasetReader
        The open scene.
    bands, nodata : Bands, Nodata
        Bands to read, and nodata rule.
    spec : StretchSpec
        The requested stretch.

    Raises
    ------
    InputError
        "none" was requested for values that are not 8 bits.
    ReadError
        No part of the sample can be read.
    """
    dtypes = {dataset.dtypes[index - 1] for index in bands.indexes}
    eight_bits = bands.palette is not None or dtypes == {"uint8"}
    if spec.kind == "range":
        return Stretch("range", (spec.low,) * bands.channels, (spec.high,) * bands.channels)
    if spec.kind == "none" and not eight_bits:
        raise InputError(
            f"--stretch none needs 8-bit values, the scene has {dtypes.pop()}", "use --stretch auto or MIN,MAX"
        )
    if spec.kind == "none" or (spec.kind == "auto" and eight_bits and bands.channels == 3):
        return Stretch("none")
    percentiles = (2, 98) if spec.kind == "auto" else (spec.low, spec.high)
    sample = sample_scene(dataset, bands, nodata).values
    if sample.shape[1] == 0:
        return Stretch("percentile", (0.0,) * bands.channels, (1.0,) * bands.channels)
    values = mask_rule(dataset, bands, nodata).values if bands.palette is None else (None,) * len(sample)
    pairs = [_limits(_measured(channel, value), percentiles) for channel, value in zip(sample, values, strict=True)]
    return Stretch("percentile", tuple(low for low, _ in pairs), tuple(high for _, high in pairs))


def _measured(channel: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[Any]:
    """Leave out the nodata values of one band in pixels that have data in others; all if there is nothing else."""
    measured = channel if nodata is None else channel[~equals_nodata(channel, nodata)]
    return measured if measured.size else channel


def _limits(channel: npt.NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(channel.astype(np.float64), percentiles)
    return (float(low), float(high)) if low < high else (float(channel.min()), float(channel.max()))
