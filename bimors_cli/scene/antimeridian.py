"""Geometries in degrees that cross the antimeridian, or go around a pole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.run_warnings import warn
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    from pyproj import CRS

# As in GDAL (-datelineoffset of ogr2ogr): an edge between these parts of a circle from the antimeridian crosses it.
_NEAR: Final = 10 / 360
# A feature that is taller is the world, or a part of it without its edges: of -179.9 to 179.9 degrees, say.
_TALL: Final = 90 / 360

Array = npt.NDArray[np.float64]


def full_circle(crs: CRS) -> float | None:
    """Return a full circle in the unit of a geographic CRS: 360 degrees, 400 grads; None if it is not geographic."""
    if not crs.is_geographic:
        return None
    factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else np.pi / 180
    circle = 2 * np.pi / factor
    return float(round(circle)) if abs(circle - round(circle)) < 1e-6 else float(circle)


def in_one_piece(geometries: Polygons, circle: float, path: str) -> Polygons:
    """Return geometries that cross the antimeridian in one piece with longitudes beyond 180, and warn of them.

    RFC 7946 asks for two pieces. An edge from 179 to -179 is read as two degrees long; a feature that is taller than 90
    degrees is left as it is.

    Parameters
    ----------
    geometries : object array [n] of shapely geometry
        Polygons or lines; others are unchanged.
    circle : float
        `full_circle` of the CRS.
    path : str
        Their file, for the warning.
    """
    left, bottom, right, top = shapely.bounds(geometries).T
    wide = (right - left > circle / 2) & (left >= -circle / 2) & (right <= circle / 2) & (top - bottom < _TALL * circle)
    if not wide.any():
        return geometries
    result = geometries.copy()
    for row in np.flatnonzero(wide):
        result[row] = _by_part(geometries[row], lambda part: _crossing(part, circle))
    changed = sum(result[row] is not geometries[row] for row in np.flatnonzero(wide))
    if changed:
        warn(
            "%s: features with an edge from 180 to -180 degrees (%d of them) are read as crossing the antimeridian; if "
            "they go around the Earth, add vertices between", path, changed,
        )  # fmt: skip
    return result


def unwrapped(geometries: Polygons, circle: float) -> Polygons:
    """Return reprojected geometries with continuous longitudes; polygons around a pole are closed along that pole.

    Parameters
    ----------
    geometries : object array [n] of shapely geometry
        With edges shorter than half a circle.
    circle : float
        `full_circle` of the CRS.
    """
    left, _, right, _ = shapely.bounds(geometries).T
    result = geometries.copy()
    for row in np.flatnonzero(right - left > circle / 2):
        result[row] = _by_part(geometries[row], lambda part: _continuous(part, circle))
    return result


def _by_part(geometry: Any, change: Callable[[Any], Any]) -> Any:
    """Change the parts of a geometry; the geometry itself if none is changed."""
    parts = shapely.get_parts(geometry)
    changed = [change(part) for part in parts]
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return geometry
    return shapely.union_all(changed)


def _crossing(part: Any, circle: float) -> Any:
    """Return a part with an edge across the antimeridian as one with longitudes beyond 180; others as they are."""
    x = shapely.get_coordinates(shapely.get_exterior_ring(part) if part.geom_type == "Polygon" else part)[:, 0]
    jump = np.abs(np.diff(x)) > circle / 2
    ends = np.abs(np.column_stack([x[:-1], x[1:]])[jump])
    is_near = (ends >= circle * (0.5 - _NEAR)).all() and not (ends == circle / 2).all(axis=1).any()
    return _continuous(part, circle) if jump.any() and is_near else part


def _continuous(part: Any, circle: float) -> Any:
    if part.geom_type == "LineString":
        return shapely.LineString(_unwrap(shapely.get_coordinates(part), circle))
    if part.geom_type != "Polygon":
        return part
    rings = [_unwrap(shapely.get_coordinates(ring), circle) for ring in (part.exterior, *part.interiors)]
    shell = rings[0]
    if abs(shell[-1, 0] - shell[0, 0]) > circle / 2:
        pole = np.copysign(circle / 4, shell[:, 1].mean())
        shell = np.vstack([shell, [(shell[-1, 0], pole), (shell[0, 0], pole)], shell[:1]])
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = [ring - (circle * np.round((ring[:, 0].mean() - middle) / circle), 0) for ring in rings[1:]]
    closed = [hole for hole in holes if np.array_equal(hole[0], hole[-1])]
    return shapely.make_valid(shapely.Polygon(shell, closed))


def _unwrap(xy: Array, circle: float) -> Array:
    """Return coordinates [n, 2] with steps of less than half a circle in x."""
    turns = np.cumsum(np.round(np.diff(xy[:, 0]) / circle))
    result = xy.copy()
    result[1:, 0] -= circle * turns
    return result
