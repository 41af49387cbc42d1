"""Vector files of the user: supported formats, and choosing the layer."""

from __future__ import annotations

import json
import os
import re
from shlex import quote
from typing import BinaryIO, Final

from bimors_cli.errors import VectorError, one_line

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
    import pyogrio

    path, layer = _split(spec) if layer is None else (spec, layer)
    check_vector_file(path)
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


def check_vector_file(path: str) -> None:
    """Check that a path is a local file in a supported format. Raises VectorError."""
    if not os.path.isfile(path):
        raise VectorError(f"{path} not found", "give a local file, or file:layer")
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


def _split(spec: str) -> tuple[str, str | None]:
    """Split ``file:layer``; a colon in the path of an existing file (a Windows drive) is not a separator."""
    path, colon, layer = spec.rpartition(":")
    return (path, layer) if colon and not os.path.exists(spec) and os.path.exists(path) else (spec, None)
