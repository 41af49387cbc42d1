"""Files that GDAL opens on its own beside a raster: overviews and masks.

It opens them with any of its drivers, whatever the raster was opened with: a VRT or a service description under the
name ``scene.tif.ovr``, or a name in the metadata of the raster, would lead it to other files and to the network.
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
_BESIDE: Final = ":::BASE:::"  # GDAL's mark of a name that is relative to the raster
_DEPTH: Final = 4  # the overviews of overviews of overviews
_DIRECTORY: Final = re.compile(r"^GTIFF_(?:DIR|RAW):(?:(?:off:)?\d+:)?", re.IGNORECASE)


def check_companions(dataset: DatasetReader, path: str, depth: int = 0) -> None:
    """Refuse a raster whose overviews or mask would lead GDAL elsewhere; to be called before they are asked for.

    Parameters
    ----------
    dataset : DatasetReader
        The open raster.
    path : str
        As the user named it.

    Raises
    ------
    SceneError
        Its overviews are a name in its metadata, or a companion is no TIFF and no HFA.
    """
    name = redact(path)
    base = _DIRECTORY.sub("", dataset.name)
    try:
        elsewhere = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    except UnicodeDecodeError as error:
        raise SceneError(f"{name} has metadata that are no text", "write it anew: gdal_translate") from error
    found = [base + suffix for suffix in _SUFFIXES]
    if not base.startswith("/vsi"):
        found += [base + ".aux", os.path.splitext(base)[0] + ".aux"]
        found = [each for each in found if os.path.lexists(each)]
    elif "?" in base:
        found = []  # GDAL would ask for scene.tif?sig=....ovr
    if elsewhere is not None:
        beside = elsewhere.removeprefix(_BESIDE)
        if not elsewhere.startswith(_BESIDE) or "/" in beside or "\\" in beside:
            hint = "write it anew without: gdal_translate -co COPY_SRC_OVERVIEWS=NO --config GDAL_PAM_ENABLED NO"
            raise SceneError(f"{name} names another file as its overviews: {redact(elsewhere)}", hint)
        found.append(os.path.join(os.path.dirname(base), beside))
    for companion in found:
        _check(companion, depth + 1)


def _check(companion: str, depth: int) -> None:
    name = redact(companion)
    if not companion.startswith("/vsi") and not os.path.isfile(companion):
        raise SceneError(f"{name} is not a plain file", "remove it, or move the scene away from it")
    if depth > _DEPTH:
        raise SceneError(f"{name}: overviews of overviews, {depth} deep", "build them anew with gdaladdo")
    try:
        with DatasetReader(companion, driver=list(_DRIVERS)) as dataset:
            check_companions(dataset, companion, depth)
    except (RasterioError, CPLE_BaseError) as error:
        # A server that has none says so, and a damaged one is no danger: GDAL goes on without it.
        told = str(error)
        if "not recognized" in told and "does not exist" not in told and not companion.lower().endswith(".aux"):
            hint = "remove it, or build it anew with gdaladdo"
            raise SceneError(f"{name} is neither a TIFF nor an HFA: not opened as overviews or mask", hint) from error
