"""The CRS of a vector file, checked against its coordinates."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from shlex import quote
from typing import Final

from bimors_cli.errors import VectorError, one_line
from bimors_cli.scene.antimeridian import full_circle
from bimors_cli.scene.around import format_bounds
from bimors_cli.scene.transformation import not_on_the_map

# Degrees go to 180, those of some climate data to 360; swapped or shifted ones are still degrees.
_LARGEST_LONGITUDE: Final = 540.0
# Names of local CRSs that stand for none.
_NO_NAMES: Final = frozenset(
    {"", "unknown", "unnamed", "arbitrary", "cartesian", "nonearth", "unknown engineering crs"}
)
SWAPPED: Final = (
    "are latitude and longitude, or y and x, swapped? Swap X and Y coordinates, in the Processing toolbox of QGIS, "
    "exchanges them"
)


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
        It has no CRS, or a vertical or geocentric one, or its CRS is in degrees and the coordinates are not.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    assign = f"assign one: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}"
    if not crs:
        stem, suffix = os.path.splitext(path)
        lacks_prj = suffix.lower() == ".shp" and not any(os.path.isfile(stem + end) for end in (".prj", ".PRJ"))
        raise VectorError(f"{path} has no CRS" + (f": {stem}.prj is missing" if lacks_prj else ""), assign)
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise VectorError(f"{path} has a CRS that PROJ does not know: {one_line(error)}", assign) from error
    is_unnamed = parsed.is_engineering and parsed.name.lower() in _NO_NAMES
    if parsed.name.lower().startswith("undefined") or is_unnamed:
        raise VectorError(f"{path} has no CRS: it is recorded as {parsed.name!r}", assign)
    kind = not_on_the_map(parsed)
    if kind is not None and kind != "local":
        raise VectorError(f"{path} has the {kind} CRS {parsed.name!r}, not a horizontal one", assign)
    finite = [value for value in bounds if math.isfinite(value)]
    circle = full_circle(parsed)
    if circle is None or not finite:
        return crs
    degree = circle / 360
    if max(map(abs, finite)) > _LARGEST_LONGITUDE * degree:
        raise VectorError(
            f"{path}: the CRS is {parsed.name}, in degrees, but the coordinates span {format_bounds(bounds)}",
            f"assign the right one: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}",
        )
    left, bottom, right, top = bounds
    if max(abs(bottom), abs(top)) > 90 * degree * (1 + 1e-9):
        is_swapped = max(abs(left), abs(right)) <= 90 * degree
        hint = SWAPPED if is_swapped else f"assign the right CRS: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}"
        raise VectorError(f"{path} has latitudes beyond 90 degrees: its coordinates span {format_bounds(bounds)}", hint)
    return crs
