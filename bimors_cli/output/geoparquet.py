"""The layer as GeoParquet 1.0, one row group per chunk."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from bimors_cli.errors import InputError
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, LayerSchema, check_frame, empty_frame
from bimors_cli.output.geopackage import as_output_error, provenance_items

if TYPE_CHECKING:
    import geopandas
    import pyarrow

GEOMETRY_COLUMN: Final = "geometry"


def build_geoparquet(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write a layer to a new GeoParquet file, with its provenance as metadata of the file.

    geopandas writes a whole frame at once; here each chunk becomes a row group, so that memory does not grow with the
    number of rows. The metadata are those of geopandas (https://geoparquet.org, version 1.0.0).

    Parameters
    ----------
    path, chunks, schema
        As `formats.BuildFile`.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    InputError
        pyarrow is not installed.
    OutputError
        The file cannot be written, or a chunk does not match the schema. An error that ``chunks`` raises passes
        unchanged.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "GeoParquet needs pyarrow, which is not installed", "pip install 'bimors-cli[parquet]'"
        ) from error
    types_by_dtype = {TEXT: pyarrow.string(), INTEGER: pyarrow.int32(), REAL: pyarrow.float64()}
    fields = [(name, types_by_dtype[dtype]) for name, dtype in schema.columns().items()]
    arrow_schema = pyarrow.schema([*fields, (GEOMETRY_COLUMN, pyarrow.binary())])
    written = 0
    extent = np.array([np.inf, np.inf, -np.inf, -np.inf])
    types: set[str] = set()
    with as_output_error(path):
        writer = pyarrow.parquet.ParquetWriter(path, arrow_schema, compression="zstd")
    try:
        for chunk in chunks:  # errors that the caller's chunks raise pass unchanged
            check_frame(chunk, schema)
            with as_output_error(path):
                writer.write_table(_table(pyarrow, chunk, arrow_schema))
            left, bottom, right, top = chunk.total_bounds
            extent[:2] = np.fmin(extent[:2], (left, bottom))  # fmin: a chunk without a polygon has nan
            extent[2:] = np.fmax(extent[2:], (right, top))
            types |= set(chunk.geom_type.dropna())
            written += len(chunk)
        writer.add_key_value_metadata({"geo": json.dumps(_geo(schema, types, extent)), **provenance_items(schema)})
    finally:
        with as_output_error(path):
            writer.close()
    return written


def _table(pyarrow: Any, frame: geopandas.GeoDataFrame, arrow_schema: pyarrow.Schema) -> pyarrow.Table:
    arrays = [
        pyarrow.array(frame[name], type=arrow_schema.field(name).type, from_pandas=True)
        for name in arrow_schema.names[:-1]
    ]
    arrays.append(pyarrow.array(shapely.to_wkb(frame.geometry.to_numpy()), type=pyarrow.binary()))
    return pyarrow.Table.from_arrays(arrays, schema=arrow_schema)


def _geo(schema: LayerSchema, types: set[str], extent: Any) -> dict[str, Any]:
    """Return the ``geo`` metadata: those that geopandas writes for a layer without rows, with types and bounds."""
    import pyarrow.parquet

    empty = io.BytesIO()
    frame = empty_frame(schema)
    frame[[GEOMETRY_COLUMN]].to_parquet(empty, index=False, schema_version="1.0.0")
    geo: dict[str, Any] = json.loads(pyarrow.parquet.read_metadata(empty).metadata[b"geo"])
    column = geo["columns"][GEOMETRY_COLUMN]
    column["geometry_types"] = sorted(types)
    column.pop("bbox", None)
    if np.isfinite(extent).all():
        column["bbox"] = extent.tolist()
    return geo
