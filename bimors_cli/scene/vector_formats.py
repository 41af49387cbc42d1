"""The formats of vector files: which are read, by suffix and signature, and what other files are."""

from __future__ import annotations

import json
import os
import re
from shlex import quote
from typing import BinaryIO, Final

from bimors_cli.errors import VectorError

# Signatures of the formats. GDAL detects formats by content: under any of these suffixes it would accept a VRT that
# runs SQL, or the description of a web service, and request that service.
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\s\x1e]*[{\[]")
_PROLOGUE: Final = rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>|<!--.*?-->|\s)*"
_TABLE: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*!table", re.IGNORECASE)
SIGNATURES: Final = {
    ".gpkg": re.compile(rb"SQLite format 3\0"),
    ".geojson": _JSON,
    ".json": _JSON,
    ".geojsonl": _JSON,
    ".geojsons": _JSON,
    ".ndjson": _JSON,
    ".topojson": _JSON,
    ".fgb": re.compile(rb"fgb[\0-\xff]fgb"),
    ".shp": re.compile(rb"\0\0\x27\x0a"),
    ".kml": re.compile(_PROLOGUE + rb"<(?:\w+:)?kml\b", re.DOTALL),
    ".gml": re.compile(_PROLOGUE + rb"<(?!OGR|GDAL)(?=[^>]*opengis\.net/(?:gml|wfs))", re.DOTALL),
    ".gpx": re.compile(_PROLOGUE + rb"<gpx\b", re.DOTALL),
    ".tab": _TABLE,
    ".mif": re.compile(rb"(?:\xef\xbb\xbf)?\s*version\b", re.IGNORECASE),
}
ARCHIVE: Final = ".zip"
KMZ: Final = ".kmz"
GEODATABASE: Final = ".gdb"
SUPPORTED: Final = (*SIGNATURES, KMZ, ARCHIVE, GEODATABASE)
HEAD: Final = 4096  # bytes

# A CRS given by a URL, as in GeoJSON before RFC 7946: GDAL would download it. Nobody writes plain letters as \\u0063.
_CRS_MEMBER: Final = re.compile(rb"""["']crs["']\s*:\s*(?={)""", re.IGNORECASE)
_ESCAPED_LETTER: Final = re.compile(rb"\\u00(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])", re.IGNORECASE)
_LINK: Final = re.compile(r"""["']?type["']?\s*:\s*["'](?:link|url)["']""", re.IGNORECASE)
_CRS_BYTES: Final = 1 << 16

_PROJECT: Final = "give the vector file that its layer reads: Layer Properties, Information, shows the path in QGIS"
_EXPORT: Final = "export it as GeoPackage: Export, Save Features As in QGIS, or ogr2ogr features.gpkg {path}"
_DRAWING: Final = (
    "it has no CRS, and its closed lines are not polygons: export it as GeoPackage in QGIS, with Lines to polygons and "
    "Assign projection"
)
_TABLE_HINT: Final = "a table has no geometry: add it to QGIS, Create points layer from table, and export a GeoPackage"
_UNPACK: Final = "unpack it and give the vector file"
# What people give by mistake: what it is, and what to do.
_OTHERS: Final = {
    **dict.fromkeys((".qgs", ".qgz"), ("a QGIS project", _PROJECT)),
    ".qlr": ("a layer definition of QGIS", _PROJECT),
    **dict.fromkeys((".lyr", ".lyrx"), ("a layer file of ArcGIS, which has no features", _PROJECT)),
    **dict.fromkeys((".mxd", ".aprx"), ("an ArcGIS project", "give the vector file that its layer reads")),
    **dict.fromkeys((".qml", ".sld"), ("a style", "give the vector file that it belongs to")),
    **dict.fromkeys((".dxf", ".dwg", ".dgn"), ("a CAD drawing", _DRAWING)),
    **dict.fromkeys((".parquet", ".geoparquet"), ("a GeoParquet file", _EXPORT)),
    **dict.fromkeys((".osm", ".pbf"), ("OpenStreetMap data", "ogr2ogr features.gpkg {path} multipolygons")),
    **dict.fromkeys((".mdb", ".accdb"), ("an Access database", _EXPORT)),
    **dict.fromkeys((".sqlite", ".db", ".sqlite3"), ("an SQLite database", _EXPORT)),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("a spreadsheet", _TABLE_HINT)),
    **dict.fromkeys((".rar", ".7z", ".gz", ".tar", ".tgz"), ("an archive", _UNPACK)),
    **dict.fromkeys((".tif", ".tiff", ".img", ".jp2"), ("a raster", "give polygons; gdal_polygonize.py makes some")),
}
_SHAPEFILE: Final = (".dbf", ".shx", ".prj", ".cpg", ".sbn", ".sbx", ".qix", ".qpj", ".qmd")
_MAPINFO: Final = {".map": ".tab", ".dat": ".tab", ".id": ".tab", ".mid": ".mif"}
# Dataset names of GDAL, and URLs. A Windows drive is one letter.
_CONNECTION: Final = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]+):")
_DATABASES: Final = frozenset(
    {"pg", "postgresql", "postgres", "mysql", "mssql", "oci", "mongodb", "mongodbv3", "odbc", "sqlite", "pgeo"}
)


def check_head(path: str, suffix: str, head: bytes, file: BinaryIO) -> None:
    """Check the signature of a file, and that GDAL would read nothing else because of it.

    Parameters
    ----------
    path : str
        The file, for messages.
    suffix : str
        One of `SIGNATURES`.
    head : bytes
        The first `HEAD` bytes.
    file : file
        The bytes after these.

    Raises
    ------
    VectorError
        It is another format, an OGR VRT, or GeoJSON with a URL as its CRS.
    """
    if b"<OGRVRTDataSource" in head:
        raise VectorError(f"{path} is an OGR VRT", f"convert it first: ogr2ogr features.gpkg {quote(path)}")
    if not SIGNATURES[suffix].match(head):
        hint = "rename the file with the suffix of its format, or convert it: ogr2ogr features.gpkg ..."
        if not head:
            raise VectorError(f"{path} is empty", "copy the file again")
        raise VectorError(f"{path} is not a {suffix} file: wrong signature", hint)
    if SIGNATURES[suffix] is _JSON:
        _reject_linked_crs(path, head, file)


def what_it_is(path: str) -> tuple[str, str] | None:
    """Return what an unsupported file is, and what to do; None if its suffix does not say."""
    stem, suffix = os.path.splitext(path)
    suffix = suffix.lower()
    if suffix in _OTHERS:
        what, hint = _OTHERS[suffix]
        return what, hint.format(path=quote(path))
    main = ".shp" if suffix in _SHAPEFILE else _MAPINFO.get(suffix)
    for candidate in (stem + main, stem + main.upper()) if main else ():
        if os.path.isfile(candidate):
            return f"a part of {candidate}", f"give {quote(candidate)}"
    if suffix in _SHAPEFILE:
        return "a part of a shapefile", f"give the .shp file with its .dbf, .shx and .prj, if there is one of {stem}"
    return None


def connection(path: str) -> tuple[str, str] | None:
    """Return what a name is that is not a path, without its secrets, and what to do; None for a path."""
    match = _CONNECTION.match(path)
    if match is None:
        return None
    scheme = match[1]
    if scheme.lower() in _DATABASES:
        hint = f'export the layer to a file: ogr2ogr features.gpkg "{scheme}:..." LAYER'
        return f"{scheme}:... is a database connection, not a file", hint
    if path[match.end() :].startswith("//"):
        return f"{scheme}://... is a URL, not a file", "download it first"
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
