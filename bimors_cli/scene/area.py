"""The area of tiles on the ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    from pyproj import CRS

# Planar areas within this of the ellipsoid are used: UTM and national grids are within 0.2 %, Web Mercator is not.
_TOLERANCE: Final = 0.01
_SAMPLE_SIZE: Final = 100
# A parallel is not a geodesic: longer edges, in degrees, are densified.
_STEP_DEGREES: Final = 0.25


def ground_areas(polygons: Polygons, crs: CRS) -> npt.NDArray[np.float64]:
    """Return the areas of polygons in square metres.

    Planar areas are used where a projected CRS is accurate to within 1 % at these polygons, so that a tile of 64 x 64 m
    has 4096 m2, and where a CRS has no ellipsoid; otherwise (degrees, Web Mercator) areas on the ellipsoid.

    Parameters
    ----------
    polygons : object array [n] of Polygon, MultiPolygon or None
        Coordinates in ``crs``, x before y.
    crs : pyproj.CRS
        CRS of the polygons.

    Returns
    -------
    float array [n]
        Areas; NaN for None and for polygons that cannot be mapped to the ellipsoid.
    """
    missing = shapely.is_missing(polygons)
    plane = np.full(len(polygons), np.nan)
    if not crs.is_geographic:
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        plane[~missing] = shapely.area(polygons[~missing]) * unit**2
        indices = np.flatnonzero(~missing)
        sample = indices[:: max(1, len(indices) // _SAMPLE_SIZE)]
        ground = _on_ellipsoid(polygons[sample], crs)
        if ground is None or bool(np.all(np.abs(plane[sample] - ground) <= _TOLERANCE * ground)):
            return plane
    result = np.full(len(polygons), np.nan)
    ground = _on_ellipsoid(polygons[~missing], crs)
    if ground is None:
        return plane
    result[~missing] = ground
    return result


def _on_ellipsoid(polygons: Polygons, crs: CRS) -> npt.NDArray[np.float64] | None:
    """Return the areas on the ellipsoid of the CRS; None if it has none, or PROJ lacks its projection."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    geod, geographic = crs.get_geod(), crs.geodetic_crs
    if geod is None or geographic is None:
        return None
    if crs.is_geographic:
        degrees = shapely.segmentize(polygons, _STEP_DEGREES / _to_degrees(crs))
    else:
        try:
            transformer = Transformer.from_crs(crs, geographic, always_xy=True)
        except ProjError:  # a projection that PROJ lacks
            return None
        degrees = shapely.transform(polygons, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    factor = _to_degrees(geographic)
    if factor != 1:
        degrees = shapely.transform(degrees, lambda xy: xy * factor)
    # The sign is the orientation.
    return np.array([abs(geod.geometry_area_perimeter(polygon)[0]) for polygon in degrees], np.float64)


def _to_degrees(crs: CRS) -> float:
    """Return the unit of a geographic CRS in degrees."""
    factor = np.degrees(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return 1.0 if abs(factor - 1) < 1e-9 else float(factor)
