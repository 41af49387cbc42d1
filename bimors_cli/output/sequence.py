"""The layer as a sequence of GeoJSON features, one a line: for pipes and for readers that stream."""

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
from bimors_cli.output.atomic import replacing
from bimors_cli.output.rows import LayerSpec, check_frame

if TYPE_CHECKING:
    import geopandas

# About a centimetre on the ground; RFC 7946 advises against more.
DECIMALS: Final = 7
RECORD_SEPARATOR: Final = "\x1e"


def write_sequence(
    stream: TextIO, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSpec, *, rs: bool = False
) -> int:
    """Write one GeoJSON feature a line, flushed after each chunk, so that a reader at the other end of a pipe keeps up.

    Parameters
    ----------
    stream : text stream
        Left open. Characters that its encoding lacks are written as JSON escapes.
    chunks : iterable of GeoDataFrame
        From `rows.to_frame`, in WGS 84 with x the longitude.
    spec : LayerSpec
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
    if not pyproj.CRS.from_user_input(spec.crs_wkt).equals(pyproj.CRS(4326), ignore_axis_order=True):
        raise InputError("a GeoJSON sequence holds WGS 84 only", "add --dst-crs EPSG:4326")
    # An in-memory stream has no encoding and takes everything.
    escape = bool(stream.encoding) and codecs.lookup(stream.encoding).name != "utf-8"
    encoder = json.JSONEncoder(ensure_ascii=escape, allow_nan=False, separators=(",", ":"))
    start = RECORD_SEPARATOR if rs else ""
    written = 0
    for chunk in chunks:
        check_frame(chunk, spec)
        lines = [f"{start}{encoder.encode(feature)}\n" for feature in _features(chunk)]
        try:
            stream.writelines(lines)
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the sequence cannot be written: {error.strerror}", "is the disk full?") from error
        written += len(lines)
    return written


def write_sequence_file(
    path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSpec, *, rs: bool = False, overwrite: bool
) -> int:
    """Write a sequence to a file (UTF-8, line feeds) that appears whole or not at all. Returns the number of features.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `write_sequence` and `atomic.replacing`; an error that ``chunks`` raises passes unchanged.
    """
    with replacing(path, overwrite=overwrite) as built, built.open("w", encoding="utf-8", newline="\n") as stream:
        return write_sequence(stream, chunks, spec, rs=rs)


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
