"""A layer of a search that a user judges, as QGIS would write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage to edit its layers."""
    with closing(sqlite3.connect(path)) as database, database:
        # The layer's triggers keep its spatial index; they need functions that GDAL brings.
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _geometry: 0)
        yield database


def judge(path: Path, verdicts: Mapping[str, object], labels: Mapping[str, str] | None = None) -> None:
    """Set the column accept of tiles, by their ids, and change labels."""
    changes = [("accept", verdicts), ("label", labels or {})]
    with edited(path) as database:
        for column, values in changes:
            for tile_id, value in values.items():
                rows = database.execute(f"UPDATE found SET {column} = ? WHERE tile_id = ?", (value, tile_id))
                assert rows.rowcount == 1, tile_id
