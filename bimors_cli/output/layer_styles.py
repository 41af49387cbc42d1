"""QGIS styles inside a GeoPackage: the table layer_styles."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bimors_cli.output.style import Style

# As QGIS itself creates it.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
  styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""


def add_styles(path: Path, layer: str, geometry_column: str, styles: Sequence[Style]) -> None:
    """Store the styles of a layer, the first as its default; styles of other layers stay.

    Raises sqlite3.Error.
    """
    with closing(sqlite3.connect(path)) as database, database:
        (changed,) = database.execute("SELECT last_change FROM gpkg_contents WHERE table_name = ?", (layer,)).fetchone()
        database.execute(_TABLE)
        # The time of the layer, not now: with OGR_CURRENT_DATE two runs write equal tables.
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, last_change, srs_id)"
            " VALUES (?, ?, ?, ?, ?)",
            ("layer_styles", "attributes", "layer_styles", changed, 0),
        )
        # A layer of this name may have existed before.
        database.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))
        # QGIS finds a style by empty catalogue and schema, the table and the geometry column.
        database.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner, update_time)"
            " VALUES ('', '', ?, ?, ?, ?, '', ?, ?, '', ?)",
            [
                (layer, geometry_column, style.name, style.qml, number == 0, style.description, changed)
                for number, style in enumerate(styles)
            ],
        )
