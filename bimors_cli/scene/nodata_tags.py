"""Nodata values that a raster declares and no pixel of it can have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.io import DatasetReader, MemoryFile

from bimors_cli.scene.gdal import GDAL_ERRORS

# A VRT of a mosaic of many files is not copied to look for a tag.
_MOST_SOURCES: Final = 1000


def nodata_values(dataset: DatasetReader) -> tuple[float | None, ...]:
    """Return the nodata value of each band; None without one, and for those that the dtype does not have."""
    with np.errstate(over="ignore"):  # rasterio compares -1.8e308 with the limits of float32
        return tuple(dataset.nodatavals)


def impossible_nodata(dataset: DatasetReader, indexes: Sequence[int]) -> tuple[int, float, str] | None:
    """Return the first of some bands with a nodata value that its dtype does not have: band, value and dtype, or None.

    Examples are -9999 or 256 of uint8, 0.5 or NaN of any integer, and -1.8e308 of float32. GDAL and rasterio ignore
    such a value without a message. rasterio does not tell the value, but GDAL writes it into a VRT of the raster.
    """
    for index, value in declared_nodata(dataset, indexes).items():
        if not _possible(value, dataset.dtypes[index - 1]):
            return index, value, dataset.dtypes[index - 1]
    return None


def declared_nodata(dataset: DatasetReader, indexes: Sequence[int]) -> dict[int, float]:
    """Return the nodata values that some bands declare, also impossible ones, by the number of the band, in order."""
    found = {index: value for index, value in enumerate(nodata_values(dataset), 1) if value is not None}
    if any(index not in found for index in indexes):
        found = dict(_declared(dataset)) | found
    return {index: found[index] for index in sorted(set(indexes) & set(found))}


def _declared(dataset: DatasetReader) -> Iterator[tuple[int, float]]:
    """Yield bands and nodata values as GDAL has them."""
    try:
        if dataset.driver == "VRT" and len(dataset.files) > _MOST_SOURCES:
            return
        with MemoryFile(ext=".vrt") as file:
            rasterio.shutil.copy(dataset, file.name, driver="VRT")
            root = ElementTree.fromstring(file.read())
    except (*GDAL_ERRORS, ElementTree.ParseError):
        return  # a raster that GDAL cannot copy is read all the same
    for band in root.iterfind("VRTRasterBand"):
        text = band.findtext("NoDataValue")
        try:
            yield int(band.get("band", "0")), float(text or "")
        except ValueError:
            continue


def _possible(value: float, dtype: str) -> bool:
    """Tell whether a pixel of a dtype can have a value; of floats, rounding counts as the same."""
    if np.dtype(dtype).kind == "f":
        limits: Any = np.finfo(dtype)
        # Writers round the lowest float32 to fewer digits, which may be lower: -3.40282e38, -3.4028235e38.
        return not math.isfinite(value) or abs(value) <= float(limits.max) * (1 + 1e-5)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
