"""GeoPackages written by the functions that any format is written by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.formats import GPKG, append_layer, write_layer


def write_geopackage(path: Path, chunks: Iterable[Any], schema: LayerSchema, **options: Any) -> int:
    return write_layer(path, chunks, GPKG, schema, **options)


def append_geopackage(path: Path, chunks: Iterable[Any], schema: LayerSchema, **options: Any) -> int:
    return append_layer(path, chunks, GPKG, schema, **options)
