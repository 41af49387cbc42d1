"""Vector files of the user: supported formats, choosing the layer, and reprojecting features to a scene."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.paths import why_missing
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.raster import SceneInfo

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

# Signatures of the formats. GDAL detects formats by content: under any of these suffixes it would accept a VRT that
# runs SQL, or the description of a web service, and request that service.
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\s\x1e]*[{\[]")
_SIGNATURES: Final = {
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
# Names of the columns of coordinates in a table of points.
_COORDINATES: Final = (
    ("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("x", "y"), ("easting", "northing"),
)  # fmt: skip
# A CRS given by a URL, as in GeoJSON before RFC 7946: GDAL would download it. Nobody writes plain letters as \\u0063.
_CRS_MEMBER: Final = re.compile(rb"""["']crs["']\s*:\s*(?={)""", re.IGNORECASE)
_ESCAPED_LETTER: Final = re.compile(rb"\\u00(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])", re.IGNORECASE)
_LINK: Final = re.compile(r"""["']?type["']?\s*:\s*["'](?:link|url)["']""", re.IGNORECASE)
_CRS_BYTES: Final = 1 << 16
_MARGIN: Final = 0.1  # of the scene's size: features are clipped to the scene with this margin
_EDGE_STEPS: Final = 200
_HALF_TURN: Final = 180.0
# Degrees go to 180, those of some climate data to 360; swapped or shifted ones are still degrees.
_LARGEST_LONGITUDE: Final = 540.0
# Type ids of shapely.
_POLYGON: Final = 3
_FIRST_MULTI: Final = 4
_COLLECTION: Final = 7


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


def find_layer(spec: str, layer: str | None = None) -> tuple[str, str]:
    """Return the path and the layer of ``file`` or ``file:layer``.

    Parameters
    ----------
    spec : str
        A local file, or ``file:layer``. The layer may be omitted if only one layer has geometry.
    layer : str, optional
        The layer, if it is given separately; ``spec`` is then the file alone.

    Raises
    ------
    VectorError
        The file or layer was not found, GDAL cannot open the file, its format is not supported, or it has several
        layers.
    """
    path, layer = _split(spec) if layer is None else (spec, layer)
    check_vector_file(path)

    import pyogrio  # imports geopandas, so after the check

    try:
        rows = pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError as error:
        raise VectorError(f"cannot open {path}: {one_line(error)}", f"inspect it: ogrinfo {quote(path)}") from error
    names = [str(name) for name, geometry in rows if geometry is not None]
    if layer is None and len(names) == 1:
        return path, names[0]
    if layer is not None and layer in names:
        return path, layer
    if not names:
        raise VectorError(f"{path} has no layer with geometry", f"inspect it: ogrinfo {quote(path)}")
    problem = "has several layers" if layer is None else f"has no layer {layer!r}"
    raise VectorError(f"{path} {problem}", f"give the layer as {path}:LAYER; available layers: {', '.join(names)}")


def has_vector_suffix(spec: str) -> bool:
    """Tell whether ``file`` or ``file:layer`` is named as a vector file in a supported format."""
    return os.path.splitext(_split(spec)[0])[1].lower() in _SIGNATURES


def check_spec(spec: str, layer: str | None = None) -> None:
    """Check that the file of ``file`` or ``file:layer`` is one that `find_layer` accepts. Raises VectorError."""
    check_vector_file(_split(spec)[0] if layer is None else spec)


def check_vector_file(path: str) -> None:
    """Check that a path is a local file in a supported format. Raises VectorError."""
    if not os.path.isfile(path):
        raise VectorError(f"{path} {why_missing(path)}", "give a local file, or file:layer")
    suffix = os.path.splitext(path)[1].lower()
    signature = _SIGNATURES.get(suffix)
    if signature is None:
        hint = _csv_hint(path) if suffix in (".csv", ".tsv", ".txt") else None
        hint = hint or f"supported: {' '.join(_SIGNATURES)}; convert others: ogr2ogr features.gpkg {quote(path)}"
        raise VectorError(f"{path} is not in a supported vector format", hint)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        if b"<OGRVRTDataSource" in head:
            raise VectorError(f"{path} is an OGR VRT", f"convert it first: ogr2ogr features.gpkg {quote(path)}")
        if not signature.match(head):
            hint = "rename the file with the suffix of its format, or convert it: ogr2ogr features.gpkg ..."
            raise VectorError(f"{path} is not a {suffix} file: wrong signature", hint)
        if signature is _JSON:
            _reject_linked_crs(path, head, file)


def _csv_hint(path: str) -> str | None:
    """Return the command that converts a table of points, if its header names the coordinates."""
    with open(path, "rb") as file:
        header = file.readline(_HEAD).decode("utf-8", "replace").lstrip("\ufeff")
    delimiter = max(",;\t", key=header.count)
    titles = [title.strip().strip("\"'") for title in header.split(delimiter)]
    for x, y in _COORDINATES:
        at = {title.lower(): title for title in titles}
        if x in at and y in at:
            crs = "EPSG:..." if x in ("x", "easting") else "EPSG:4326"
            columns = f"-oo X_POSSIBLE_NAMES={quote(at[x])} -oo Y_POSSIBLE_NAMES={quote(at[y])}"
            return f"convert it: ogr2ogr {columns} -a_srs {crs} points.gpkg {quote(path)}"
    return None


def _reject_linked_crs(path: str, head: bytes, file: BinaryIO) -> None:
    text = head + file.read()
    if _ESCAPED_LETTER.search(text):
        raise VectorError(f"{path} has plain letters written as escapes", "convert it: ogr2ogr features.gpkg ...")
    for member in _CRS_MEMBER.finditer(text):
        after = text[member.end() : member.end() + _CRS_BYTES].decode("utf-8", "replace")
        try:
            _, length = json.JSONDecoder().raw_decode(after)
        except (ValueError, RecursionError):
            length = len(after)
        if _LINK.search(after[:length]):
            hint = f"convert it with its CRS: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}"
            raise VectorError(f"{path} has a URL as its CRS", hint)


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


def polygonal_parts(geometries: Polygons) -> Polygons:
    """Return collections that hold polygons as these polygons, also nested ones; others are unchanged.

    Google Earth writes a label point next to each polygon.
    """
    found = np.asarray(geometries, object).copy()
    for row in np.flatnonzero(shapely.get_type_id(found) == _COLLECTION):
        parts = shapely.get_parts(found[row : row + 1])
        while (shapely.get_type_id(parts) >= _FIRST_MULTI).any():
            parts = shapely.get_parts(parts)
        polygons = parts[shapely.get_type_id(parts) == _POLYGON]
        if len(polygons):
            found[row] = shapely.multipolygons(polygons)
    return found


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


def footprint(info: SceneInfo) -> Any:
    """Return the outline of a scene as a polygon, in its CRS."""
    return tile_polygons([Tile(0, 0, 0, 0, info.width, info.height)], info.transform)[0]


def format_bounds(bounds: Any) -> str:
    """Format left, bottom, right, top for a message."""
    return "(" + ", ".join(f"{value:.6g}" for value in bounds) + ")"


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())


def _split(spec: str) -> tuple[str, str | None]:
    """Split ``file:layer``; a colon in the path of an existing file (a Windows drive) is not a separator."""
    path, colon, layer = spec.rpartition(":")
    return (path, layer) if colon and not os.path.exists(spec) and os.path.exists(path) else (spec, None)


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
