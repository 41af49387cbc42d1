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
    leaving_nothing_beside,
    provenance_items,
)

if TYPE_CHECKING:
    import geopandas


def build_flatgeobuf(path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSchema) -> int:
    """Write a layer to a new FlatGeobuf file, with its provenance as metadata of the layer.

    A FlatGeobuf is written in one go and cannot be added to. So the rows go to a GeoPackage beside it first, and GDAL
    copies that, batch by batch. A row costs the 300 bytes of memory that GDAL's index needs; the disk holds all rows
    twice for a while.

    The index wants rows in the order of space, not of the grid: sort by ``row`` and ``col``. It cannot hold a tile
    without a polygon; a layer that has one is written without an index, in the order of the grid.

    Parameters
    ----------
    path, chunks, spec
        As `write_geopackage`.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    OutputError
        The file cannot be written. An error that ``chunks`` itself raises passes unchanged.
    """
    placeless = 0

    def watched() -> Iterator[geopandas.GeoDataFrame]:
        nonlocal placeless
        for chunk in chunks:
            placeless += int(shapely.is_missing(chunk.geometry.to_numpy()).sum())
            yield chunk

    with scratch(path.with_suffix(".gpkg")) as between:
        written = build_rows(between, watched(), spec)
        with (
            as_output_error(path),
            leaving_nothing_beside(),
            pyogrio.open_arrow(between, layer=spec.name, use_pyarrow=False) as (meta, stream),
        ):
            pyogrio.write_arrow(
                stream,
                path,
                layer=spec.name,
                driver="FlatGeobuf",
                geometry_name=meta["geometry_name"],
                geometry_type="MultiPolygon" if spec.multipart else "Polygon",
                crs=spec.crs_wkt,
                layer_metadata=provenance_items(spec) or None,
                layer_options={"SPATIAL_INDEX": "NO" if placeless or not written else "YES"},
            )
    with as_output_error(path):
        found = len(pyogrio.raw.read(path, columns=[], read_geometry=False, return_fids=True)[1])
    if found != written:
        raise OutputError(f"{path.name}: {found} rows in the file, {written} were written")
    return written
