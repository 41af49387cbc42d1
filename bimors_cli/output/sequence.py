"""The layer as GeoJSON: a sequence of features, one a line, for pipes and readers that stream; or one collection."""

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
    stream: TextIO, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema, *, rs: bool = False
) -> int:
    """Write one GeoJSON feature a line, flushed after each chunk, so that a reader at the other end of a pipe keeps up.

    Parameters
    ----------
    stream : text stream
        Left open. Characters that its encoding lacks are written as JSON escapes.
    chunks : iterable of GeoDataFrame
        From `rows.to_frame`, in WGS 84 with x the longitude.
    spec : Layer
        The layer; its CRS is WGS 84. Its provenance has no place in this format.
    rs : bool
        Whether each line starts with the record separator of RFC 8142 (``.geojsons``) or not (``.geojsonl``).

    Returns
    -------
    int
        How many features were written.

    Raises
    ------
    InputError
        The layer is not in WGS 84.
    OutputError
        A chunk does not fit the layer, or the stream cannot be written to.
    BrokenPipeError
        The reader at the other end has had enough.
    """
    start = RECORD_SEPARATOR if rs else ""
    written = 0
    for features in _encoded(stream, chunks, spec):
        _put(stream, [f"{start}{feature}\n" for feature in features])
        written += len(features)
    return written


def build_sequence(path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema) -> int:
    """Write a sequence to a new file: UTF-8, line feeds. Returns the number of features; raises as `write_sequence`."""
    with _new(path) as stream:
        return write_sequence(stream, chunks, spec)


def build_sequence_rs(path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema) -> int:
    """Write a sequence with the record separators of RFC 8142 to a new file, else as `build_sequence`."""
    with _new(path) as stream:
        return write_sequence(stream, chunks, spec, rs=True)


def build_geojson(path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema) -> int:
    """Write one collection of the features that a sequence has to a new file; its provenance is the member ``bimors``.

    Returns the number of features; raises as `write_sequence`. RFC 7946, section 6.1, allows members of one's own.
    """
    head = {"type": "FeatureCollection", "name": spec.name, "bimors": dict(spec.metadata)}
    written = 0
    with _new(path) as stream:
        _put(stream, [json.dumps(head)[:-1], ', "features": ['])
        for features in _encoded(stream, chunks, spec):
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
        raise OutputError(f"the GeoJSON cannot be written: {error.strerror}", "is the disk full?") from error


def _encoded(stream: TextIO, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema) -> Iterator[list[str]]:
    """Yield the features of each chunk as JSON that the stream's encoding takes."""
    if not pyproj.CRS.from_user_input(spec.crs_wkt).equals(pyproj.CRS(4326), ignore_axis_order=True):
        raise InputError("GeoJSON holds WGS 84 only", "add --dst-crs EPSG:4326")
    # An in-memory stream has no encoding and takes everything.
    escape = bool(stream.encoding) and codecs.lookup(stream.encoding).name != "utf-8"
    encoder = json.JSONEncoder(ensure_ascii=escape, allow_nan=False, separators=(",", ":"))
    for chunk in chunks:
        check_frame(chunk, spec)
        yield [encoder.encode(feature) for feature in _features(chunk)]


def _features(frame: geopandas.GeoDataFrame) -> Iterator[dict[str, Any]]:
    polygons = shapely.transform(frame.geometry.to_numpy(), lambda points: np.round(points, DECIMALS))
    names = [name for name in frame.columns if name != frame.geometry.name]
    rows = zip(*(frame[name].tolist() for name in names), strict=True)  # tolist gives Python's own numbers
    for polygon, row in zip(polygons, rows, strict=True):
        yield {
            "type": "Feature",
            "properties": {name: _json(value) for name, value in zip(names, row, strict=True)},
            "geometry": None if polygon is None else shapely.geometry.mapping(_anticlockwise(polygon)),
        }


def _anticlockwise(polygon: Any) -> Any:
    """Turn outer rings as RFC 7946 wants them: south-up scenes and projections turn them round."""
    if polygon.geom_type == "MultiPolygon":
        return shapely.MultiPolygon([orient(part) for part in polygon.geoms])
    return orient(polygon)


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
