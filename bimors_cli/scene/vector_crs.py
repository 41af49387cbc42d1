"""The CRS of a vector file, checked against its coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from shlex import quote
from typing import Final

from bimors_cli.errors import VectorError, one_line
from bimors_cli.scene.around import format_bounds

# Degrees go to 180, those of some climate data to 360; swapped or shifted ones are still degrees.
_LARGEST_LONGITUDE: Final = 540.0


def check_crs(path: str, crs: str | None, bounds: Sequence[float]) -> str:
    """Return the CRS of a file, checked against its coordinates.

    Parameters
    ----------
    path : str
        The file.
    crs : str or None
        Its CRS as GDAL gives it. A GeoPackage may say "undefined", and GeoJSON without a CRS is in degrees.
    bounds : sequence of float
        Left, bottom, right, top of its features.

    Raises
    ------
    VectorError
        It has no CRS, or its CRS is in degrees and the coordinates are not.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    assign = f"assign one: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}"
    if not crs:
        raise VectorError(f"{path} has no CRS", assign)
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise VectorError(f"{path} has a CRS that PROJ does not know: {one_line(error)}", assign) from error
    if parsed.name.lower().startswith("undefined") or parsed.is_engineering:
        raise VectorError(f"{path} has no CRS: it is recorded as {parsed.name!r}", assign)
    largest = max((abs(value) for value in bounds if math.isfinite(value)), default=0)
    if parsed.is_geographic and largest > _LARGEST_LONGITUDE:
        raise VectorError(
            f"{path}: the CRS is {parsed.name}, in degrees, but the coordinates span {format_bounds(bounds)}",
            f"assign the right one: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}",
        )
    return crs
