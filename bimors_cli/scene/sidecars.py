"""Sidecar files of a raster that GDAL opens by itself: overviews and masks.

GDAL opens them with any driver, independent of the driver of the raster: a VRT or a service description with the name
``scene.tif.ovr``, or a name in the metadata of the raster, would make it open other files or the network.
"""

from __future__ import annotations

import os
import re
from typing import Final

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from bimors_cli.errors import SceneError
from bimors_cli.redact import redact

_SUFFIXES: Final = (".ovr", ".OVR", ".msk", ".MSK")
_DRIVERS: Final = ("GTiff", "HFA")  # what gdaladdo writes
_BASE: Final = ":::BASE:::"  # GDAL's prefix of a name relative to the raster
_DEPTH: Final = 4  # overviews of overviews of overviews
_DIRECTORY: Final = re.compile(r"^GTIFF_(?:DIR|RAW):(?:(?:off:)?\d+:)?", re.IGNORECASE)


def check_sidecars(dataset: DatasetReader, path: str, depth: int = 0) -> None:
    """Check the overviews and masks of a raster; must be called before GDAL opens them.

    Parameters
    ----------
    dataset : DatasetReader
        The open raster.
    path : str
        Its path as the user gave it.

    Raises
    ------
    SceneError
        The metadata name another file as overviews, or a sidecar is neither a TIFF nor an HFA.
    """
    name = redact(path)
    base = _DIRECTORY.sub("", dataset.name)
    try:
        overview_file = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    except UnicodeDecodeError as error:
        raise SceneError(
            f"{name} has metadata that are not valid text", "rewrite the file with gdal_translate"
        ) from error
    found = [base + suffix for suffix in _SUFFIXES]
    if not base.startswith("/vsi"):
        found += [base + ".aux", os.path.splitext(base)[0] + ".aux"]
        found = [each for each in found if os.path.lexists(each)]
    elif "?" in base:
        found = []  # GDAL would request scene.tif?sig=....ovr
    if overview_file is not None:
        relative = overview_file.removeprefix(_BASE)
        if not overview_file.startswith(_BASE) or "/" in relative or "\\" in relative:
            hint = "rewrite the file: gdal_translate -co COPY_SRC_OVERVIEWS=NO --config GDAL_PAM_ENABLED NO"
            raise SceneError(f"{name}: its metadata name another file as overviews: {redact(overview_file)}", hint)
        found.append(os.path.join(os.path.dirname(base), relative))
    for sidecar in found:
        _check(sidecar, depth + 1)


def _check(sidecar: str, depth: int) -> None:
    name = redact(sidecar)
    if not sidecar.startswith("/vsi") and not os.path.isfile(sidecar):
        raise SceneError(f"{name} is not a regular file", "remove it, or move the scene to another folder")
    if depth > _DEPTH:
        raise SceneError(f"{name}: overviews nested {depth} levels deep", "build the overviews again with gdaladdo")
    try:
        with DatasetReader(sidecar, driver=list(_DRIVERS)) as dataset:
            check_sidecars(dataset, sidecar, depth)
    except (RasterioError, CPLE_BaseError) as error:
        # A missing or damaged sidecar is harmless: GDAL continues without it.
        message = str(error)
        if "not recognized" in message and "does not exist" not in message and not sidecar.lower().endswith(".aux"):
            hint = "remove it, or build the overviews again with gdaladdo"
            raise SceneError(f"{name}: overviews and masks must be TIFF or HFA files", hint) from error
