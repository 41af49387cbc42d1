"""Where a scene is on the ground: CRS, bounds, pixel size and area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.errors import CRSError

from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.size import ground_pixel_size

if TYPE_CHECKING:
    from pyproj import CRS

Bounds = tuple[float, float, float, float]

# Points on each side of the outline: a straight side of a projected CRS is curved in longitude and latitude.
_POINTS: Final = 21
_PARTS: Final = 4  # parts of a scene along each axis whose areas are summed
# A mosaic may reach into the next UTM zone. Degrees.
_OUTSIDE: Final = 6.0


@dataclass(frozen=True)
class Location:
    """Where a scene is.

    Attributes
    ----------
    crs_name : str
        Name of the CRS.
    crs_code : str or None
        Authority and code, such as ``EPSG:26914``; None if the CRS has none.
    unit : str or None
        Unit of the CRS as PROJ names it: ``metre``, ``US survey foot``, ``degree``; None if unknown.
    unit_m : float or None
        Metres in a unit; None for degrees.
    bounds : tuple of float
        Left, bottom, right, top in the CRS: the smallest rectangle around the scene.
    bounds_lonlat : tuple of float or None
        West, south, east, north in degrees of the geodetic datum of the CRS, longitudes from Greenwich between -180 and
        180. West is larger than east if the scene crosses the antimeridian. None if unknown.
    centre_lonlat : tuple of float or None
        Longitude and latitude of the centre.
    pixel_size : tuple of float
        Along columns (x) and rows (y), in the unit of the CRS.
    ground_pixel_m : tuple of float or None
        The same on the ground at the centre of the scene, in metres; None if unknown.
    area_m2 : float or None
        Area of the whole scene on the ground, nodata included; None if unknown.
    rotation : float
        Degrees by which the rows are rotated counterclockwise from the x axis of the CRS.
    area_of_use : str or None
        The area of use of the CRS, if the centre is far outside; else None.
    """

    crs_name: str
    crs_code: str | None
    unit: str | None
    unit_m: float | None
    bounds: Bounds
    bounds_lonlat: Bounds | None
    centre_lonlat: tuple[float, float] | None
    pixel_size: tuple[float, float]
    ground_pixel_m: tuple[float, float] | None
    area_m2: float | None
    rotation: float
    area_of_use: str | None


def locate(info: SceneInfo) -> Location:
    """Return where a scene is; what PROJ cannot compute is None."""
    from pyproj import CRS

    transform, crs = info.transform, CRS.from_wkt(info.crs.to_wkt())
    corners = [transform @ corner for corner in ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))]
    xs, ys = zip(*corners, strict=True)
    bounds = (min(xs), min(ys), max(xs), max(ys))
    placed = info.has_geotransform
    lonlat = _to_lonlat(bounds, transform @ (info.width / 2, info.height / 2), crs) if placed else None
    unit, unit_m = _unit(info)
    authority = info.crs.to_authority()
    return Location(
        crs_name=str(crs.name),
        crs_code=":".join(authority) if authority else None,
        unit=unit,
        unit_m=unit_m,
        bounds=bounds,
        bounds_lonlat=None if lonlat is None else lonlat[0],
        centre_lonlat=None if lonlat is None else lonlat[1],
        pixel_size=(math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)),
        ground_pixel_m=ground_pixel_size(info),
        area_m2=_area(info, crs) if placed else None,
        rotation=math.degrees(math.atan2(transform.d, transform.a)) + 0.0,  # not -0.0
        area_of_use=_exceeded_area(lonlat[1], authority) if lonlat and lonlat[1] and authority else None,
    )


def _unit(info: SceneInfo) -> tuple[str | None, float | None]:
    try:
        name, factor = info.crs.units_factor
    except CRSError:
        return None, None
    return str(name), None if info.crs.is_geographic else float(factor)


def _to_lonlat(
    bounds: Bounds, centre: tuple[float, float], crs: CRS
) -> tuple[Bounds | None, tuple[float, float] | None] | None:
    """Return bounds and centre in degrees from Greenwich, on the datum of the CRS; None if it has none."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    geographic = crs.geodetic_crs
    if geographic is None:
        return None
    try:
        # No change of datum: it would need grids, and has no meaning on other planets.
        transformer = Transformer.from_crs(crs, geographic, always_xy=True)
        lon, lat = transformer.transform(*centre)
        west, south, east, north = transformer.transform_bounds(*bounds, densify_pts=_POINTS)
    except (ProjError, RuntimeError):
        return None
    degrees = math.degrees(geographic.axis_info[0].unit_conversion_factor) if geographic.axis_info else 1.0
    meridian = geographic.prime_meridian
    greenwich = meridian.longitude * math.degrees(float(meridian.unit_conversion_factor)) if meridian else 0.0
    lon, west, east = (value * degrees + greenwich for value in (lon, west, east))
    lat, south, north = (value * degrees for value in (lat, south, north))
    found = np.isfinite((west, south, east, north)).all()
    centred = (_wrap(lon), lat) if math.isfinite(lon) and math.isfinite(lat) else None
    if not found:
        return None, centred
    # transform_bounds returns a west larger than east across the antimeridian.
    if east - west >= 360 - 1e-9:
        west, east = -180.0, 180.0
    else:
        west, east = _wrap(west), -_wrap(-east)
    return (west, max(south, -90.0), east, min(north, 90.0)), centred


def _wrap(longitude: float) -> float:
    """Return a longitude between -180 (inclusive) and 180."""
    if -180 <= longitude < 180:
        return longitude  # not a rounding error from the division
    return (longitude + 180) % 360 - 180


def _area(info: SceneInfo, crs: CRS) -> float | None:
    """Return the area on the ground in square metres, summed over parts: no polygon on an ellipsoid is the world."""
    cols, rows = (np.linspace(0, side, _PARTS + 1) for side in (info.width, info.height))
    steps = np.linspace(0, 1, _POINTS)
    parts = []
    for left, right in pairwise(cols):
        for top, bottom in pairwise(rows):
            x, y = left + (right - left) * steps, top + (bottom - top) * steps
            xs = np.concatenate((x, np.full_like(y, right), x[::-1], np.full_like(y, left)))
            ys = np.concatenate((np.full_like(x, top), y, np.full_like(x, bottom), y[::-1]))
            parts.append(shapely.Polygon(np.column_stack(_to_map(info, xs, ys))))
    areas = ground_areas(np.array(parts, object), crs)
    total = float(areas.sum())
    return total if math.isfinite(total) and total > 0 else None


def _to_map(
    info: SceneInfo, cols: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    t = info.transform
    return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f


def _exceeded_area(centre: tuple[float, float], authority: tuple[str, str]) -> str | None:
    """Return the area of use of a CRS if the centre is more than `_OUTSIDE` degrees away from it; else None."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError as ProjCRSError

    try:
        area = CRS.from_authority(*authority).area_of_use  # rasterio's WKT has none
    except ProjCRSError:
        return None
    if area is None:
        return None
    lon, lat = centre
    width = (area.east - area.west) % 360 or 360
    beyond = (lon - area.west) % 360  # eastwards from its western side
    east = max(0.0, beyond - width)
    distance = min(east, 360 - beyond) if east else 0.0
    below, above = area.south - lat, lat - area.north
    return str(area.name) if max(distance, below, above) > _OUTSIDE else None
