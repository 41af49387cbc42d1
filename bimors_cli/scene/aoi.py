"""The area of interest: which tiles the user wants labelled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import AoiError
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo

if TYPE_CHECKING:
    from pyproj import Transformer

Rule = Literal["centre", "any", "within"]

_SUFFIXES: Final = (".gpkg", ".geojson", ".json", ".geojsonl", ".geojsons", ".fgb", ".shp", ".kml")
_HEAD: Final = 4096  # bytes; GDAL looks for its VRT mark in the first 1024
_MARGIN: Final = 0.1  # of the scene's size: what is kept of an AOI around a scene
_EDGE_STEPS: Final = 200


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
    AoiError
        Not there, not a format accepted, no such layer, no CRS, no polygons, something that is not a polygon, or
        nothing in common with the scene.
    """
    path, layer = _split(spec)
    _check_file(path)
    layer = _layer(path, layer)
    crs, geometries = _polygons(path, layer)
    area = _to_scene(geometries, crs, info, path)
    footprint = tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0]
    if area.is_empty or not area.intersects(footprint) or area.touches(footprint):
        if not allow_miss:
            scene = f"{_show(footprint.bounds)} in {info.crs.to_string()[:40]}"
            hint = f"the scene spans {scene}; the area {_show(shapely.total_bounds(geometries))} in {crs[:40]}"
            raise AoiError(f"{path} has nothing in common with {info.name}", hint)
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


def _split(spec: str) -> tuple[str, str | None]:
    """Part ``file:layer``; a colon in the path of a file that is there (a Windows drive) parts nothing."""
    path, colon, layer = spec.rpartition(":")
    return (path, layer) if colon and not os.path.exists(spec) and os.path.exists(path) else (spec, None)


def _check_file(path: str) -> None:
    if not os.path.isfile(path):
        raise AoiError(f"{path} is not there", "give a local file, or file:layer")
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _SUFFIXES:
        hint = f"accepted: {' '.join(_SUFFIXES)}; else: ogr2ogr aoi.gpkg {quote(path)}"
        raise AoiError(f"{path} is not in an accepted vector format", hint)
    # GDAL goes by content: an OGR VRT under another name would run SQL and open addresses.
    with open(path, "rb") as file:
        if b"<OGRVRTDataSource" in file.read(_HEAD):
            raise AoiError(f"{path} is an OGR VRT", f"write it out first: ogr2ogr aoi.gpkg {quote(path)}")


def _layer(path: str, layer: str | None) -> str:
    import pyogrio

    try:
        rows = pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError as error:
        raise AoiError(f"cannot open {path}: {_one_line(error)}", f"see: ogrinfo {quote(path)}") from error
    names = [str(name) for name, geometry in rows if geometry is not None]
    if layer is None and len(names) == 1:
        return names[0]
    if layer in names:
        return str(layer)
    if not names:
        raise AoiError(f"{path} has no layer with geometry", f"see: ogrinfo {quote(path)}")
    problem = "has several layers" if layer is None else f"has no layer {layer!r}"
    raise AoiError(f"{path} {problem}", f"name one as {path}:LAYER; there are: {', '.join(names)}")


def _polygons(path: str, layer: str) -> tuple[str, Polygons]:
    """Return the CRS as text and the valid polygons, at least one."""
    import pyogrio

    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)
        geometries = shapely.from_wkb(wkb)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
        raise AoiError(f"cannot read {path}: {_one_line(error)}", f"see: ogrinfo -al -so {quote(path)}") from error
    if not meta["crs"]:
        raise AoiError(f"{path} has no CRS", f"name it: ogr2ogr -a_srs EPSG:... aoi.gpkg {quote(path)}")
    geometries = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    if not len(geometries):
        raise AoiError(f"{path} holds no polygon", "draw at least one")
    kinds = sorted({geometry.geom_type for geometry in geometries} - {"Polygon", "MultiPolygon"})
    if kinds:
        raise AoiError(f"{path} holds {', '.join(kinds)}", "an area is made of polygons: buffer points and lines first")
    return str(meta["crs"]), shapely.make_valid(geometries)


def _to_scene(geometries: Polygons, crs: str, info: SceneInfo, path: str) -> Any:
    """Return the union of the geometries in the scene's CRS, or what of it lies around the scene."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    source, target = CRS.from_user_input(crs), CRS.from_wkt(info.crs.to_wkt())
    if source.equals(target, ignore_axis_order=True):
        return _area(shapely.union_all(geometries))
    try:
        to_source = Transformer.from_crs(target, source, always_xy=True)
        to_target = Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise AoiError(f"{path} and {info.name} have nothing in common", _one_line(error)) from error
    frame = _frame(info, to_source)
    if frame is not None:
        geometries = shapely.intersection(geometries, frame)
    area = _area(shapely.union_all(geometries))
    if area.is_empty:
        return area
    # A long straight edge is a curve in the other CRS: follow it in steps that are small beside what was kept.
    left, bottom, right, top = area.bounds
    area = shapely.segmentize(area, max(right - left, top - bottom) / _EDGE_STEPS)
    moved = shapely.transform(area, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise AoiError(f"{path} reaches where the CRS of {info.name} ends", "clip it to the surroundings of the scene")
    return _area(shapely.make_valid(moved))


def _frame(info: SceneInfo, to_source: Transformer) -> Any:
    """Return the surroundings of the scene in the AOI's CRS, None where they cannot be told."""
    left, bottom, right, top = tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0].bounds
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    west, south, east, north = to_source.transform_bounds(left - dx, bottom - dy, right + dx, top + dy)
    if not np.isfinite([west, south, east, north]).all():
        return None
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _area(geometry: Any) -> Any:
    """Return the polygonal part of a geometry: clipping and repairs leave points and lines behind."""
    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _show(bounds: Any) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"
