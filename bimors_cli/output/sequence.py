"""The layer as GeoJSON: a sequence of features, one per line, for pipes and streaming readers; or one collection."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import numpy as np
import pyproj
import shapely
import shapely.geometry
from shapely.geometry.polygon import orient

from bimors_cli.errors import InputError, OutputError
from bimors_cli.output.classified_schema import LayerSchema, check_frame

if TYPE_CHECKING:
    import geopandas

# About a centimetre on the ground; RFC 7946 advises against more.
DECIMALS: Final = 7
RECORD_SEPARATOR: Final = "\x1e"


def write_sequence(
    stream: TextIO, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema, *, rs: bool = False
) -> int:
    """Write one GeoJSON feature per line, flushed after each chunk for the reader of a pipe.

    Parameters
    ----------
    stream : text stream
        Not closed. Characters that its encoding lacks are written as JSON escapes.
    chunks : iterable of GeoDataFrame
        From `classified_schema.make_frame`, in WGS 84, x is the longitude.
    schema : LayerSchema
        The schema, in WGS 84. This format cannot hold the provenance.
    rs : bool
        Whether each line starts with the record separator of RFC 8142 (``.geojsons``).

    Returns
    -------
    int
        Number of features.

    Raises
    ------
    InputError
        The CRS is not WGS 84.
    OutputError
        A chunk does not match the schema, or the stream cannot be written to.
    BrokenPipeError
        The reader closed the pipe.
    """
    start = RECORD_SEPARATOR if rs else ""
    written = 0
    for features in _encoded(stream, chunks, schema):
        _put(stream, [f"{start}{feature}\n" for feature in features])
        written += len(features)
    return written


def build_sequence(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write a sequence to a new file: UTF-8, line feeds. Returns the number of features; raises as `write_sequence`."""
    with _new(path) as stream:
        return write_sequence(stream, chunks, schema)


def build_sequence_rs(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write a sequence with the record separators of RFC 8142 to a new file, else as `build_sequence`."""
    with _new(path) as stream:
        return write_sequence(stream, chunks, schema, rs=True)


def build_geojson(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write the features as one collection to a new file; its provenance is the member ``bimors``.

    Returns the number of features; raises as `write_sequence`. RFC 7946, section 6.1, allows foreign members.
    """
    head = {"type": "FeatureCollection", "name": schema.name, "bimors": dict(schema.metadata)}
    written = 0
    with _new(path) as stream:
        _put(stream, [json.dumps(head)[:-1], ', "features": ['])
        for features in _encoded(stream, chunks, schema):
            _put(stream, [f"{',' if written + number else ''}\n{feature}" for number, feature in enumerate(features)])
            written += len(features)
        _put(stream, ["\n]}\n"])
    return written


def _new(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")


def _put(stream: TextIO, lines: list[str]) -> None:
    try:
        stream.writelines(lines)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write GeoJSON: {error.strerror}", "check the free disk space") from error


def _encoded(stream: TextIO, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> Iterator[list[str]]:
    """Yield the features of each chunk as JSON in the encoding of the stream."""
    if not pyproj.CRS.from_user_input(schema.crs_wkt).equals(pyproj.CRS(4326), ignore_axis_order=True):
        raise InputError("GeoJSON supports WGS 84 only", "add --dst-crs EPSG:4326")
    # An in-memory stream has no encoding and accepts all characters.
    escape = bool(stream.encoding) and codecs.lookup(stream.encoding).name != "utf-8"
    encoder = json.JSONEncoder(ensure_ascii=escape, allow_nan=False, separators=(",", ":"))
    for chunk in chunks:
        check_frame(chunk, schema)
        yield [encoder.encode(feature) for feature in _features(chunk)]


def _features(frame: geopandas.GeoDataFrame) -> Iterator[dict[str, Any]]:
    polygons = shapely.transform(frame.geometry.to_numpy(), lambda points: np.round(points, DECIMALS))
    names = [name for name in frame.columns if name != frame.geometry.name]
    rows = zip(*(frame[name].tolist() for name in names), strict=True)  # tolist returns Python numbers
    for polygon, row in zip(polygons, rows, strict=True):
        yield {
            "type": "Feature",
            "properties": {name: _json(value) for name, value in zip(names, row, strict=True)},
            "geometry": None if polygon is None else shapely.geometry.mapping(_anticlockwise(polygon)),
        }


def _anticlockwise(polygon: Any) -> Any:
    """Orient rings as RFC 7946 requires; south-up scenes and projections reverse them."""
    if polygon.geom_type == "MultiPolygon":
        return shapely.MultiPolygon([orient(part) for part in polygon.geoms])
    return orient(polygon)


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
