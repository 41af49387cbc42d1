"""What a path that is not a raster is instead, so that the error says what to do with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bimors_cli.web_page import is_web_page

_VECTORS: Final = frozenset({".shp", ".gpkg", ".geojson", ".json", ".kml", ".kmz", ".fgb", ".gml", ".tab", ".dxf"})
_PROJECTS: Final = {".qgz": "QGIS project", ".qgs": "QGIS project", ".qml": "QGIS style", ".aprx": "ArcGIS project"}
_HEAD_BYTES: Final = 64
_NATURAL_COLOURS: Final = "gdalbuildvrt -separate scene.vrt RED GREEN BLUE, for Sentinel-2 its files B04, B03 and B02"


def folder_hint(path: str) -> str:
    """Return what to do with a folder that is given as a scene."""
    if path.rstrip("/\\").upper().endswith(".SAFE"):
        return f"stack the bands that you need, then give scene.vrt: {_NATURAL_COLOURS}"
    files = f"{shlex.quote(path.rstrip('/'))}/*.tif"
    return f"give a raster file; for a mosaic of its files: gdalbuildvrt scene.vrt {files}, then give scene.vrt"


def what_it_is(path: str | None, name: str, quoted: str, drivers: Sequence[str]) -> tuple[str, str]:
    """Return what a file is that no allowed GDAL driver recognises, and what to do.

    Parameters
    ----------
    path : str or None
        A local path, None for another.
    name, quoted : str
        The path as it is shown in a message, and in a command.
    drivers : sequence of str
        The GDAL drivers that are supported by default.

    Returns
    -------
    (str, str)
        The message, and its hint.
    """
    head = None if path is None else _head(path)
    suffix = Path(name).suffix.lower()
    if head is not None and not head:
        return f"{name} is empty (0 bytes)", "copy or download it again"
    if head is not None and is_web_page(head):
        return f"{name} is a web page, not a raster", "a download may need a login: download the file again"
    if head is not None and head.startswith(b"PK\x03\x04") and suffix == ".zip":
        return f"{name} is a ZIP archive", _archive_hint(name)
    if suffix in _VECTORS:
        return (
            f"{name} is not a raster but a vector file",
            "give a raster as scene; polygons belong to --aoi, or to --polygons of finetune",
        )
    if suffix in _PROJECTS:
        return f"{name} is not a raster but a {_PROJECTS[suffix]}", "give the raster file of the layer itself"
    if head is not None and head.startswith(b"%PDF"):
        return (
            f"{name} is not a raster but a PDF document",
            f"convert a georeferenced PDF with GDAL: gdal_translate {quoted} scene.tif",
        )
    supported = f"{', '.join(drivers)}, and VRT if named .vrt"
    return (
        f"{name} is not a raster in a supported format",
        f"supported: {supported}; for others use --allow-driver NAME, or gdal_translate {quoted} scene.tif",
    )


def _archive_hint(name: str) -> str:
    if Path(name).name.upper().startswith(("S2A_MSI", "S2B_MSI", "S2C_MSI")):
        return f"unzip it and stack the bands that you need, then give scene.vrt: {_NATURAL_COLOURS}"
    return f"unzip it, or name the raster in it: /vsizip/{name}/NAME.tif"


def _head(path: str) -> bytes | None:
    """Return the first bytes of a file, None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return None
