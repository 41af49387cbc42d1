"""The area of interest: which tiles the user wants labelled."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector import Place, carry, find_layer, footprint, one_line, show_bounds

Rule = Literal["centre", "any", "within"]


@dataclass(frozen=True, slots=True)
class Aoi:
    """An area of interest in the CRS of a scene.

    Attributes
    ----------
    path : str
        The file.
    layer : str
        Its layer.
    geometry : shapely geometry
        Polygon or MultiPolygon, prepared; empty where the area misses the scene.
    """

    path: str
    layer: str
    geometry: Any


def read_aoi(spec: str, info: SceneInfo, *, allow_miss: bool = False) -> Aoi:
    """Read the polygons of a vector file, join them, and carry them to a scene's CRS.

    Only what lies around the scene is kept: a continent in degrees has no place in a UTM zone as a whole.

    Parameters
    ----------
    spec : str
        A local file, or ``file:layer``. The layer may be left out where one layer only has geometry.
    info : SceneInfo
        The scene.
    allow_miss : bool
        Give an empty area where it misses the scene, rather than an error (for runs over many scenes).

    Raises
    ------
    VectorError
        Not there, not a format accepted, no such layer, no CRS, no polygons, something that is not a polygon, or
        nothing in common with the scene.
    """
    path, layer = find_layer(spec)
    crs, geometries = _polygons(path, layer)
    # One area before it is carried: neighbours that follow their common edge in different steps would leave slivers.
    try:
        joined = np.array([shapely.union_all(geometries)], object)
        area = _area(shapely.make_valid(carry(joined, crs, Place.of_scene(info), path)))
    except shapely.errors.ShapelyError as error:  # coordinates too large to reckon with
        raise VectorError(f"{path} cannot be used: {one_line(error)}", "mend it in QGIS: Fix geometries") from error
    frame = footprint(info)
    if area.is_empty or not area.intersects(frame) or area.touches(frame):
        if not allow_miss:
            scene = f"{show_bounds(frame.bounds)} in {info.crs.to_string()[:40]}"
            hint = f"the scene spans {scene}; the area {show_bounds(shapely.total_bounds(geometries))} in {crs[:40]}"
            raise VectorError(f"{path} has nothing in common with {info.name}", hint)
        area = shapely.MultiPolygon()
    shapely.prepare(area)
    return Aoi(path, layer, area)


def tile_mask(aoi: Aoi, polygons: Polygons, rule: Rule = "centre") -> npt.NDArray[np.bool_]:
    """Tell which tiles belong to an area of interest.

    Parameters
    ----------
    aoi : Aoi
        The area.
    polygons : object array [n] of Polygon
        The tiles, in the scene's CRS.
    rule : {"centre", "any", "within"}
        The tile's centre lies in the area or on its edge; the tile shares more than an edge with it; the whole tile
        lies in it.

    Returns
    -------
    bool array [n]
        True for the tiles that belong.
    """
    if rule == "centre":
        return np.asarray(shapely.intersects(aoi.geometry, shapely.centroid(polygons)), np.bool_)
    inside = np.asarray(shapely.covers(aoi.geometry, polygons), np.bool_)
    if rule == "within":
        return inside
    chosen = np.asarray(shapely.intersects(aoi.geometry, polygons), np.bool_)
    border = np.flatnonzero(chosen & ~inside)  # touches() is the slow one: ask it about these only
    chosen[border] = ~shapely.touches(aoi.geometry, polygons[border])
    return chosen


def _polygons(path: str, layer: str) -> tuple[str, Polygons]:
    """Return the CRS as text and the valid polygons, at least one."""
    import pyogrio

    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)
        geometries = shapely.from_wkb(wkb)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
        raise VectorError(f"cannot read {path}: {one_line(error)}", f"see: ogrinfo -al -so {quote(path)}") from error
    if not meta["crs"]:
        raise VectorError(f"{path} has no CRS", f"name it: ogr2ogr -a_srs EPSG:... aoi.gpkg {quote(path)}")
    geometries = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    if not len(geometries):
        raise VectorError(f"{path} holds no polygon", "draw at least one")
    if not np.isfinite(shapely.get_coordinates(geometries)).all():
        raise VectorError(f"{path} has a vertex that is no number", "mend it in QGIS: Fix geometries")
    kinds = sorted({geometry.geom_type for geometry in geometries} - {"Polygon", "MultiPolygon"})
    if kinds:
        raise VectorError(
            f"{path} holds {', '.join(kinds)}", "an area is made of polygons: buffer points and lines first"
        )
    try:
        return str(meta["crs"]), shapely.make_valid(geometries)
    except shapely.errors.ShapelyError as error:
        raise VectorError(f"{path} cannot be repaired: {one_line(error)}", "mend it in QGIS: Fix geometries") from error


def _area(geometry: Any) -> Any:
    """Return the polygonal part of a geometry: clipping and repairs leave points and lines behind."""
    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])
