"""Features around a scene or layer: clipped to its surroundings, and reprojected to its CRS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.scene.antimeridian import full_circle, in_one_piece, unwrapped
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.transformation import make_transformer, warn_if_inexact

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

_MARGIN: Final = 0.1  # of the scene's size: features are clipped to the scene with this margin
_EDGE_STEPS: Final = 200
_EVERYWHERE: Final = (-180.0, -90.0, 180.0, 90.0)

Bounds = tuple[float, float, float, float]


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
    bounds: Bounds

    @classmethod
    def of_scene(cls, info: SceneInfo) -> Extent:
        """Return the extent of a scene."""
        return cls("scene", info.name, info.crs.to_wkt(), footprint(info).bounds)


def footprint(info: SceneInfo) -> Any:
    """Return the outline of a scene as a polygon, in its CRS."""
    return tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0]


def reproject_around(geometries: Polygons, crs: str, extent: Extent, path: str) -> Polygons:
    """Clip geometries to the surroundings of an extent, and reproject them to its CRS.

    They are clipped first, because a continent in degrees cannot be projected to one UTM zone. Degrees are turned by
    360 where the extent asks for it, and a polygon from 179 to -179 degrees crosses the antimeridian.

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
        In the CRS of the extent; empty where nothing is around it. With an equal CRS they are returned unchanged,
        unless they or the extent go beyond 180 degrees.

    Raises
    ------
    VectorError
        PROJ has no transformation between the CRSs, or a clipped geometry cannot be reprojected completely.
    """
    result = _reproject_around(geometries, crs, extent, path)
    if not shapely.is_empty(result).all():
        warn_if_inexact(crs, extent.crs_wkt, extent.bounds)
    return result


def _reproject_around(geometries: Polygons, crs: str, extent: Extent, path: str) -> Polygons:
    from pyproj import CRS

    source, target = CRS.from_user_input(crs), CRS.from_wkt(extent.crs_wkt)
    circle, target_circle = full_circle(source), full_circle(target)
    if circle is not None:
        geometries = in_one_piece(geometries, circle, path)
    if source.equals(target, ignore_axis_order=True):
        return geometries if target_circle is None else _around_the_globe(geometries, extent, target_circle)
    to_target = make_transformer(source, target, source_name=path, target_name=extent.name)
    frame = None if _is_beyond(extent.bounds, target_circle) else _frame(extent, _inverse(target, source), circle)
    if frame is not None:
        geometries = _clipped(geometries, frame, circle)
    if shapely.is_empty(geometries).all():
        return geometries
    if circle is None and target_circle is None and source.geodetic_crs is not None:
        degrees = source.geodetic_crs
        if _crosses_antimeridian(extent, target, degrees):
            # A projection of the world ends there: features are divided in degrees.
            place = replace(extent, crs_wkt=degrees.to_wkt(), bounds=_EVERYWHERE)
            divided = _reproject_around(geometries, crs, place, path)
            return _reproject_around(divided, degrees.to_wkt(), extent, path)
    # A long straight edge is a curve in the other CRS: it is densified.
    left, bottom, right, top = shapely.total_bounds(geometries)
    step = max(right - left, top - bottom) / _EDGE_STEPS
    if step > 0:  # 0 for a single point
        geometries = shapely.segmentize(geometries, step)
    reprojected = np.asarray(
        shapely.transform(geometries, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1]))), object
    )
    if not np.isfinite(shapely.get_coordinates(reprojected)).all():
        raise VectorError(
            f"{path} extends beyond the area of the CRS of {extent.name}", f"clip it to the area of the {extent.kind}"
        )
    if target_circle is None:
        return reprojected
    return _around_the_globe(unwrapped(reprojected, target_circle), extent, target_circle)


def _crosses_antimeridian(extent: Extent, crs: CRS, degrees: CRS) -> bool:
    west, _, east, _ = _inverse(crs, degrees).transform_bounds(*extent.bounds)
    half = (full_circle(degrees) or np.inf) / 2
    return bool(west > east or west <= -half * (1 - 1e-6) or east >= half * (1 - 1e-6))


def _is_beyond(bounds: Bounds, circle: float | None) -> bool:
    """Whether longitudes go beyond half a circle."""
    return circle is not None and not (bounds[0] >= -circle / 2 and bounds[2] <= circle / 2)


def _around_the_globe(geometries: Polygons, extent: Extent, circle: float) -> Polygons:
    """Return geometries in degrees where they lie at an extent, a whole circle further if need be."""
    if not len(geometries) or shapely.is_empty(geometries).all():
        return geometries
    if not _is_beyond(extent.bounds, circle) and not _is_beyond(tuple(shapely.total_bounds(geometries)), circle):
        return geometries
    return _clipped(geometries, shapely.box(*_with_margin(extent)), circle)


def _clipped(geometries: Polygons, frame: Any, circle: float | None) -> Polygons:
    """Return what lies in a frame; with a circle also of copies that are turned by whole circles."""
    if circle is None or not len(geometries):
        return np.asarray(shapely.intersection(geometries, frame), object)
    left, _, right, _ = shapely.total_bounds(geometries)
    west, _, east, _ = frame.bounds
    turns = np.arange(np.ceil((west - right) / circle), np.floor((east - left) / circle) + 1)
    copies = [
        shapely.intersection(shapely.transform(geometries, (np.array([turn * circle, 0.0])).__add__), frame)
        for turn in (turns if len(turns) else np.zeros(1))
    ]
    if len(copies) == 1:
        return np.asarray(copies[0], object)
    return np.asarray(shapely.union_all(np.stack(copies, axis=-1), axis=-1), object)


def bounds_around(extent: Extent, crs: str, within: Bounds | None = None) -> Bounds | None:
    """Return the bounds of an extent with its margin in another CRS, to read the features there.

    Parameters
    ----------
    extent : Extent
        The extent.
    crs : str
        The other CRS.
    within : tuple of float, optional
        Left, bottom, right, top of all features in that CRS. Where their longitudes or those of the extent go beyond
        180 degrees, all longitudes are returned.

    Returns
    -------
    tuple of float, or None
        Left, bottom, right, top; None if they cannot be computed.
    """
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    source, target = CRS.from_user_input(crs), CRS.from_wkt(extent.crs_wkt)
    if _is_beyond(extent.bounds, full_circle(target)):
        return None
    circle = full_circle(source)
    try:
        frame = _frame(extent, _inverse(target, source), circle)
    except ProjError:
        return None
    if frame is None:
        return None
    west, south, east, north = frame.bounds
    if within is not None and (_is_beyond(frame.bounds, circle) or _is_beyond(within, circle)):
        west, east = within[0], within[2]
    return west, south, east, north


def format_bounds(bounds: Any) -> str:
    """Format left, bottom, right, top for a message."""
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"


def _with_margin(extent: Extent) -> Bounds:
    left, bottom, right, top = extent.bounds
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    return left - dx, bottom - dy, right + dx, top + dy


def _inverse(target: CRS, source: CRS) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(target, source, always_xy=True)


def _frame(extent: Extent, to_source: Transformer, circle: float | None) -> Any:
    """Return an extent with its margin as a box in the other CRS; None if it cannot be computed.

    In degrees, east is larger than 180 where the box crosses the antimeridian.
    """
    west, south, east, north = to_source.transform_bounds(*_with_margin(extent))
    if not np.isfinite([west, south, east, north]).all():
        return None
    if west > east and circle is not None:
        east += circle
    return shapely.box(west, south, east, north)
