"""Features around a scene or layer: clipped to its surroundings, and reprojected to its CRS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from bimors_cli.errors import VectorError, one_line
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

_MARGIN: Final = 0.1  # of the scene's size: features are clipped to the scene with this margin
_EDGE_STEPS: Final = 200
_HALF_TURN: Final = 180.0


@dataclass(frozen=True)
class Extent:
    """The extent of a scene or of a layer of tiles, in its CRS.

    Attributes
    ----------
    kind, name : str
        Kind and name for messages: scene, scene.tif.
    crs_wkt : str
        CRS.
    bounds : tuple of float
        Left, bottom, right, top in that CRS.
    """

    kind: str
    name: str
    crs_wkt: str
    bounds: tuple[float, float, float, float]

    @classmethod
    def of_scene(cls, info: SceneInfo) -> Extent:
        """Return the extent of a scene."""
        return cls("scene", info.name, info.crs.to_wkt(), footprint(info).bounds)


def footprint(info: SceneInfo) -> Any:
    """Return the outline of a scene as a polygon, in its CRS."""
    return tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0]


def reproject_around(geometries: Polygons, crs: str, extent: Extent, path: str) -> Polygons:
    """Clip geometries to the surroundings of an extent, and reproject them to its CRS.

    They are clipped first, because a continent in degrees cannot be projected to one UTM zone.

    Parameters
    ----------
    geometries : object array [n] of valid shapely geometries
        In `crs`, x before y.
    crs : str
        Their CRS.
    extent : Extent
        Extent of the scene or layer.
    path : str
        Their file, for messages.

    Returns
    -------
    object array [n] of shapely geometries
        In the CRS of the extent; empty where nothing is around it. With an equal CRS they are returned unchanged.

    Raises
    ------
    VectorError
        PROJ has no transformation between the CRSs, or a clipped geometry cannot be reprojected completely.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    source, target = CRS.from_user_input(crs), CRS.from_wkt(extent.crs_wkt)
    around = _beyond_180(extent, target)
    if source.equals(target, ignore_axis_order=True):
        return geometries if around is None else _around_the_globe(geometries, around)
    try:
        to_source = Transformer.from_crs(target, source, always_xy=True)
        to_target = Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise VectorError(f"no transformation between the CRSs of {path} and {extent.name}", one_line(error)) from error
    frame = None if around is not None else _frame(extent, to_source)
    if frame is not None:
        geometries = shapely.intersection(geometries, frame)
    if shapely.is_empty(geometries).all():
        return geometries
    # A long straight edge is a curve in the other CRS: it is densified.
    left, bottom, right, top = shapely.total_bounds(geometries)
    step = max(right - left, top - bottom) / _EDGE_STEPS
    if step > 0:  # 0 for a single point
        geometries = shapely.segmentize(geometries, step)
    reprojected = shapely.transform(geometries, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(reprojected)).all():
        raise VectorError(
            f"{path} extends beyond the area of the CRS of {extent.name}", f"clip it to the area of the {extent.kind}"
        )
    return np.asarray(reprojected) if around is None else _around_the_globe(np.asarray(reprojected), around)


def _beyond_180(extent: Extent, crs: CRS) -> Any:
    """Return an extent with its margin as a polygon if its longitudes go beyond 180 degrees, else None."""
    left, bottom, right, top = extent.bounds
    if not crs.is_geographic or (left >= -_HALF_TURN and right <= _HALF_TURN):
        return None
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    return shapely.box(left - dx, bottom - dy, right + dx, top + dy)


def _around_the_globe(geometries: Polygons, around: Any) -> Polygons:
    """Return geometries in degrees where they lie in an extent beyond 180 degrees, a whole turn further if need be."""
    copies = []
    for turn in (-2 * _HALF_TURN, 0.0, 2 * _HALF_TURN):
        turned = shapely.transform(geometries, (np.array([turn, 0.0])).__add__)
        copies.append(shapely.intersection(turned, around))
    found: Polygons = np.asarray(shapely.union_all(np.stack(copies, axis=-1), axis=-1), object)
    return found


def bounds_around(extent: Extent, crs: str) -> tuple[float, float, float, float] | None:
    """Return the bounds of an extent with its margin in another CRS; None if they cannot be computed."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    target = CRS.from_wkt(extent.crs_wkt)
    if _beyond_180(extent, target) is not None:
        return None
    try:
        to_source = Transformer.from_crs(target, CRS.from_user_input(crs), always_xy=True)
        frame = _frame(extent, to_source)
    except ProjError:
        return None
    return None if frame is None else frame.bounds


def format_bounds(bounds: Any) -> str:
    """Format left, bottom, right, top for a message."""
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"


def _frame(extent: Extent, to_source: Transformer) -> Any:
    """Return an extent with its margin as a polygon in the other CRS; None if it cannot be computed."""
    left, bottom, right, top = extent.bounds
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    west, south, east, north = to_source.transform_bounds(left - dx, bottom - dy, right + dx, top + dy)
    if not np.isfinite([west, south, east, north]).all():
        return None
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
