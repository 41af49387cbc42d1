"""The PROJ database of another program, which variables of QGIS, PostGIS or conda point to."""

from __future__ import annotations

import os
from functools import cache
from typing import Final

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform

from bimors_cli.errors import InputError

_VARIABLES: Final = ("PROJ_DATA", "PROJ_LIB")


def check_proj_data() -> None:
    """Check that PROJ can transform coordinates, if a variable says where its data are. Checked once per setting.

    Layers would lose their CRS without an error.

    Raises
    ------
    InputError
        The variable points to a folder without a database that this PROJ can use.
    """
    given = tuple((name, os.environ[name]) for name in _VARIABLES if os.environ.get(name))
    if given and not _works(given):
        name, folder = given[0]
        raise InputError(
            f"{name}={folder} has no PROJ database that PROJ {rasterio.__proj_version__} can use",
            f"it belongs to another program: unset {' '.join(name for name, _ in given)}",
        )


@cache
def _works(given: tuple[tuple[str, str], ...]) -> bool:
    with rasterio.Env():  # GDAL's messages go to the log
        try:
            xs, ys = transform(CRS.from_epsg(4326), CRS.from_epsg(32633), [15.5], [48.2])
        except (CRSError, RasterioError):
            return False
    return bool(abs(xs[0] - 537_153.3) < 1 and abs(ys[0] - 5_338_650.6) < 1)
