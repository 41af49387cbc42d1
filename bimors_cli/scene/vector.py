"""Vector files that a user names: which are let in, which layer is meant, and how they come to a scene's CRS."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo

if TYPE_CHECKING:
    from pyproj import Transformer

# How a file of each kind begins. GDAL goes by content: under any of these names it would take a VRT that runs SQL, or a
# description of a web service, and ask that service.
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\s\x1e]*[{\[]")
_BEGINNINGS: Final = {
    ".gpkg": re.compile(rb"SQLite format 3\0"),
    ".geojson": _JSON,
    ".json": _JSON,
    ".geojsonl": _JSON,
    ".geojsons": _JSON,
    ".fgb": re.compile(rb"fgb[\0-\xff]fgb"),
    ".shp": re.compile(rb"\0\0\x27\x0a"),
    ".kml": re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>|<!--.*?-->|\s)*<kml\b", re.DOTALL),
}
_HEAD: Final = 4096  # bytes
# A CRS by an address, as GeoJSON had it before RFC 7946: GDAL would fetch it. Nobody writes plain letters as \\u0063.
_CRS_MEMBER: Final = re.compile(rb"""["']crs["']\s*:\s*(?={)""", re.IGNORECASE)
_ESCAPED_LETTER: Final = re.compile(rb"\\u00(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])", re.IGNORECASE)
_LINK: Final = re.compile(r"""["']?type["']?\s*:\s*["'](?:link|url)["']""", re.IGNORECASE)
_CRS_BYTES: Final = 1 << 16
_MARGIN: Final = 0.1  # of the scene's size: what is kept of features around a scene
_EDGE_STEPS: Final = 200


@dataclass(frozen=True)
class Place:
    """Where features are looked for: a scene, or a layer of tiles.

    Attributes
    ----------
    kind, name : str
        What messages call it: the scene, scene.tif.
    crs_wkt : str
        Its CRS.
    bounds : tuple of float
        Left, bottom, right, top in that CRS.
    """

    kind: str
    name: str
    crs_wkt: str
    bounds: tuple[float, float, float, float]

    @classmethod
    def of_scene(cls, info: SceneInfo) -> Place:
        """Return the place of a whole scene."""
        return cls("scene", info.name, info.crs.to_wkt(), footprint(info).bounds)


def find_layer(spec: str, layer: str | None = None) -> tuple[str, str]:
    """Return the path and the layer that a user means by ``file`` or ``file:layer``.

    Parameters
    ----------
    spec : str
        A local file, or ``file:layer``. The layer may be left out where one layer only has geometry.
    layer : str, optional
        The layer, where it is named apart; ``spec`` is the file alone then.

    Raises
    ------
    VectorError
        Not there, not a format accepted, cannot be opened, no such layer, or several to choose from.
    """
    import pyogrio

    path, layer = _split(spec) if layer is None else (spec, layer)
    check_vector_file(path)
    try:
        rows = pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError as error:
        raise VectorError(f"cannot open {path}: {one_line(error)}", f"see: ogrinfo {quote(path)}") from error
    names = [str(name) for name, geometry in rows if geometry is not None]
    if layer is None and len(names) == 1:
        return path, names[0]
    if layer is not None and layer in names:
        return path, layer
    if not names:
        raise VectorError(f"{path} has no layer with geometry", f"see: ogrinfo {quote(path)}")
    problem = "has several layers" if layer is None else f"has no layer {layer!r}"
    raise VectorError(f"{path} {problem}", f"name one as {path}:LAYER; there are: {', '.join(names)}")


def check_vector_file(path: str) -> None:
    """Refuse what is no local file of an accepted format. Raises VectorError."""
    if not os.path.isfile(path):
        raise VectorError(f"{path} is not there", "give a local file, or file:layer")
    suffix = os.path.splitext(path)[1].lower()
    beginning = _BEGINNINGS.get(suffix)
    if beginning is None:
        hint = f"accepted: {' '.join(_BEGINNINGS)}; else: ogr2ogr features.gpkg {quote(path)}"
        raise VectorError(f"{path} is not in an accepted vector format", hint)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        if b"<OGRVRTDataSource" in head:
            raise VectorError(f"{path} is an OGR VRT", f"write it out first: ogr2ogr features.gpkg {quote(path)}")
        if not beginning.match(head):
            hint = "give the file its own suffix, or write it out: ogr2ogr features.gpkg ..."
            raise VectorError(f"{path} is not what its name says: it does not begin as a {suffix} does", hint)
        if beginning is _JSON:
            _refuse_linked_crs(path, head, file)


def _refuse_linked_crs(path: str, head: bytes, file: BinaryIO) -> None:
    text = head + file.read()
    if _ESCAPED_LETTER.search(text):
        raise VectorError(f"{path} hides plain letters behind escapes", "write it out: ogr2ogr features.gpkg ...")
    for member in _CRS_MEMBER.finditer(text):
        after = text[member.end() : member.end() + _CRS_BYTES].decode("utf-8", "replace")
        try:
            _, length = json.JSONDecoder().raw_decode(after)
        except (ValueError, RecursionError):
            length = len(after)
        if _LINK.search(after[:length]):
            hint = f"write it out with its CRS: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}"
            raise VectorError(f"{path} names an address as its CRS", hint)


def carry(geometries: Polygons, crs: str, place: Place, path: str) -> Polygons:
    """Carry geometries to the CRS of a place, or what of them lies around it.

    A continent in degrees has no place in a UTM zone as a whole: what is far away is cut off first.

    Parameters
    ----------
    geometries : object array [n] of valid shapely geometries
        In `crs`, x before y.
    crs : str
        Their CRS.
    place : Place
        The scene, or the layer.
    path : str
        Their file, for messages.

    Returns
    -------
    object array [n] of shapely geometries
        In the CRS of the place; empty where nothing is around it. An equal CRS changes nothing.

    Raises
    ------
    VectorError
        There is no way from one CRS to the other, or not for all of a geometry around the place.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    source, target = CRS.from_user_input(crs), CRS.from_wkt(place.crs_wkt)
    if source.equals(target, ignore_axis_order=True):
        return geometries
    try:
        to_source = Transformer.from_crs(target, source, always_xy=True)
        to_target = Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise VectorError(f"{path} and {place.name} have nothing in common", one_line(error)) from error
    frame = _frame(place, to_source)
    if frame is not None:
        geometries = shapely.intersection(geometries, frame)
    if shapely.is_empty(geometries).all():
        return geometries
    # A long straight edge is a curve in the other CRS: follow it in steps that are small beside what was kept.
    left, bottom, right, top = shapely.total_bounds(geometries)
    step = max(right - left, top - bottom) / _EDGE_STEPS
    if step > 0:  # not so for a single point
        geometries = shapely.segmentize(geometries, step)
    moved = shapely.transform(geometries, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise VectorError(
            f"{path} reaches where the CRS of {place.name} ends", f"clip it to the surroundings of the {place.kind}"
        )
    return np.asarray(moved)


def surroundings(place: Place, crs: str) -> tuple[float, float, float, float] | None:
    """Return left, bottom, right, top of what lies around a place in another CRS, None where they cannot be told."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        to_source = Transformer.from_crs(CRS.from_wkt(place.crs_wkt), CRS.from_user_input(crs), always_xy=True)
        frame = _frame(place, to_source)
    except ProjError:
        return None
    return None if frame is None else frame.bounds


def footprint(info: SceneInfo) -> Any:
    """Return the polygon of a whole scene, in its CRS."""
    return tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0]


def show_bounds(bounds: Any) -> str:
    """Write left, bottom, right, top for a message."""
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"


def one_line(error: BaseException) -> str:
    """Return the text of a library's error as one line."""
    return " ".join(str(error).split())


def _split(spec: str) -> tuple[str, str | None]:
    """Part ``file:layer``; a colon in the path of a file that is there (a Windows drive) parts nothing."""
    path, colon, layer = spec.rpartition(":")
    return (path, layer) if colon and not os.path.exists(spec) and os.path.exists(path) else (spec, None)


def _frame(place: Place, to_source: Transformer) -> Any:
    """Return the surroundings of a place in the other CRS, None where they cannot be told."""
    left, bottom, right, top = place.bounds
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    west, south, east, north = to_source.transform_bounds(left - dx, bottom - dy, right + dx, top + dy)
    if not np.isfinite([west, south, east, north]).all():
        return None
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
