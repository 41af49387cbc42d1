"""Vector files of the user: finding the file and its layer."""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from shlex import quote
from typing import Any, Final

from bimors_cli.errors import VectorError
from bimors_cli.scene.paths import why_missing
from bimors_cli.scene.vector_archive import archive_of, check_kmz, find_member
from bimors_cli.scene.vector_formats import (
    ARCHIVE,
    GEODATABASE,
    HEAD,
    KMZ,
    SIGNATURES,
    SUPPORTED,
    check_head,
    connection,
    what_it_is,
)
from bimors_cli.scene.vector_read import holds_rasters, layer_info, list_layers

# Names of the columns of coordinates in a table of points.
_COORDINATES: Final = (
    ("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("x", "y"), ("easting", "northing"),
)  # fmt: skip
_MOST: Final = 20  # names in a message

log = logging.getLogger("bimors")


def find_layer(spec: str, layer: str | None = None) -> tuple[str, str]:
    """Return the path and the layer of ``file`` or ``file:layer``.

    Parameters
    ----------
    spec : str
        A local file, a file geodatabase or an archive with one, or ``file:layer``. The layer may be omitted if only one
        layer has geometry, or only one of these has features.
    layer : str, optional
        The layer, if it is given separately; ``spec`` is then the file alone.

    Returns
    -------
    tuple of str
        The path as GDAL opens it (``/vsizip/...`` in an archive), and the name of the layer.

    Raises
    ------
    VectorError
        The file or layer was not found, GDAL cannot open the file, its format is not supported, or it has several
        layers.
    """
    path, layer = _split(spec) if layer is None else (spec, layer)
    inner = archive_of(path)
    if inner is not None or (path.lower().endswith(ARCHIVE) and os.path.isfile(path)):
        archive, member = inner or (path, None)
        if not os.path.isfile(archive):
            raise VectorError(f"{archive} {why_missing(archive)}", "give a local file, or file:layer")
        path, is_named = find_member(archive, layer if member is None else member)
        if member is not None and not is_named:
            raise VectorError(f"{archive} does not contain {member}", f"list its files: unzip -l {quote(archive)}")
        layer = None if is_named and member is None else layer
    else:
        check_vector_file(path)
    return path, _choose(path, layer, list_layers(path))


def has_vector_suffix(spec: str) -> bool:
    """Tell whether ``file`` or ``file:layer`` is named as a vector file in a supported format."""
    suffix = os.path.splitext(_split(spec)[0].rstrip("/"))[1].lower()
    return suffix in SUPPORTED


def check_vector_file(path: str) -> None:
    """Check that a path is a local file in a supported format, or a file geodatabase. Raises VectorError."""
    if os.path.isdir(path):
        return _check_folder(path)
    if not os.path.isfile(path):
        what, hint = connection(path) or (f"{path} {why_missing(path)}", "give a local file, or file:layer")
        raise VectorError(what, hint)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == KMZ:
        return check_kmz(path)
    if suffix not in SIGNATURES:
        known = what_it_is(path)
        advice = known[1] if known else _csv_hint(path) if suffix in (".csv", ".tsv", ".txt") else None
        hint = advice or f"supported: {' '.join(SUPPORTED)}; convert others: ogr2ogr features.gpkg {quote(path)}"
        what = (
            f"is {known[0]}, not a vector file in a supported format"
            if known
            else "is not in a supported vector format"
        )
        raise VectorError(f"{path} {what}", hint)
    with open(path, "rb") as file:
        head = file.read(HEAD)
        check_head(path, suffix, head, file)
    if suffix == ".shp":
        _check_length(path, int.from_bytes(head[24:28]) * 2)


def _check_length(path: str, stated: int) -> None:
    """Check the length that a shapefile states: GDAL reads features beyond its end as null."""
    actual = os.path.getsize(path)
    if actual < stated:
        raise VectorError(f"{path} is incomplete: {actual:,} of {stated:,} bytes", "copy the file again")


def _check_folder(path: str) -> None:
    names = sorted(os.listdir(path))
    if path.rstrip("/").lower().endswith(GEODATABASE):
        if "a00000001.gdbtable" not in (name.lower() for name in names):
            raise VectorError(f"{path} is not a file geodatabase: it has no a00000001.gdbtable", "copy it again")
        return
    files = [name for name in names if os.path.splitext(name)[1].lower() in (*SIGNATURES, GEODATABASE)]
    hint = f"give one of its files: {_list(files)}" if files else "give a vector file"
    raise VectorError(f"{path} is a folder", hint)


def _choose(path: str, layer: str | None, rows: list[tuple[str, str | None]]) -> str:
    """Choose among names and geometry types of layers; None is a table without geometry."""
    names = [name for name, geometry in rows if geometry is not None]
    if layer is None and len(names) == 1:
        return names[0]
    if layer is not None and layer in names:
        return layer
    if layer is not None and any(name == layer for name, _ in rows):
        raise VectorError(f"{path}: the layer {layer} is a table without geometry", _layers(path, names))
    if not names:
        if path.lower().endswith(".gpkg") and holds_rasters(path):
            raise VectorError(f"{path} holds rasters, no features", f"list its content: gdalinfo {quote(path)}")
        tables = f": it has tables only ({_list([name for name, _ in rows])})" if rows else ""
        raise VectorError(f"{path} has no layer with geometry{tables}", f"inspect it: ogrinfo {quote(path)}")
    if layer is not None:
        close = get_close_matches(layer, names, 1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise VectorError(f"{path} has no layer {layer!r}", f"{meant}{_layers(path, names)}")
    counts = {name: layer_info(path, name).count for name in names}
    filled = [name for name, count in counts.items() if count]
    if len(filled) == 1:
        log.info("%s: the layer %s is read; the others have no features", path, filled[0])
        return filled[0]
    shown = [f"{name} ({count:,} feature{'s'[: count != 1]})" for name, count in counts.items()]
    raise VectorError(f"{path} has several layers", _layers(path, shown))


def _layers(path: str, names: list[str]) -> str:
    return f"give the layer as {path}:LAYER; available layers: {_list(names) or 'none'}"


def _list(names: list[Any]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _csv_hint(path: str) -> str | None:
    """Return the command that converts a table of points, if its header names the coordinates."""
    with open(path, "rb") as file:
        header = file.readline(HEAD).decode("utf-8", "replace").lstrip("\ufeff")
    delimiter = max(",;\t", key=header.count)
    titles = [title.strip().strip("\"'") for title in header.split(delimiter)]
    for x, y in _COORDINATES:
        at = {title.lower(): title for title in titles}
        if x in at and y in at:
            crs = "EPSG:..." if x in ("x", "easting") else "EPSG:4326"
            columns = f"-oo X_POSSIBLE_NAMES={quote(at[x])} -oo Y_POSSIBLE_NAMES={quote(at[y])}"
            return f"convert it: ogr2ogr {columns} -a_srs {crs} points.gpkg {quote(path)}"
    return None


def _split(spec: str) -> tuple[str, str | None]:
    """Split ``file:layer``; a colon in the path of an existing file (a Windows drive) is not a separator."""
    path, colon, layer = spec.rpartition(":")
    return (path, layer) if colon and not _exists(spec) and _exists(path) else (spec, None)


def _exists(path: str) -> bool:
    inner = archive_of(path)
    return os.path.exists(path if inner is None else inner[0]) and (inner is None or ":" not in (inner[1] or ""))
