"""The layer as a FlatGeobuf, with a spatial index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyogrio
import pyogrio.raw
import shapely

from bimors_cli.errors import OutputError
from bimors_cli.output.atomic import scratch
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.geopackage import (
    as_output_error,
    build_rows,
    pam_disabled,
    provenance_items,
)

if TYPE_CHECKING:
    import geopandas


def build_flatgeobuf(path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write a layer to a new FlatGeobuf file, with its provenance as metadata of the layer.

    A FlatGeobuf is written at once and cannot be appended to. So the rows are written to a temporary GeoPackage first,
    which GDAL copies in batches. GDAL's index needs 300 bytes of memory per row; the rows are on the disk twice for a
    while.

    The index orders the rows by space, not by the grid: sort by ``row`` and ``col``. It cannot hold a tile without a
    polygon; a layer with such a tile is written without an index, in the order of the grid.

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
    OutputError
        The file cannot be written. An error that ``chunks`` raises passes unchanged.
    """
    without_polygon = 0

    def counted() -> Iterator[geopandas.GeoDataFrame]:
        nonlocal without_polygon
        for chunk in chunks:
            without_polygon += int(shapely.is_missing(chunk.geometry.to_numpy()).sum())
            yield chunk

    with scratch(path.with_suffix(".gpkg")) as temporary:
        written = build_rows(temporary, counted(), schema)
        with (
            as_output_error(path),
            pam_disabled(),
            pyogrio.open_arrow(temporary, layer=schema.name, use_pyarrow=False) as (meta, stream),
        ):
            pyogrio.write_arrow(
                stream,
                path,
                layer=schema.name,
                driver="FlatGeobuf",
                geometry_name=meta["geometry_name"],
                geometry_type="MultiPolygon" if schema.multipart else "Polygon",
                crs=schema.crs_wkt,
                layer_metadata=provenance_items(schema) or None,
                layer_options={"SPATIAL_INDEX": "NO" if without_polygon or not written else "YES"},
            )
    with as_output_error(path):
        found = len(pyogrio.raw.read(path, columns=[], read_geometry=False, return_fids=True)[1])
    if found != written:
        raise OutputError(f"{path.name}: {found} rows in the file, {written} were written")
    return written
