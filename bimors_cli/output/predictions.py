"""What was predicted, kept in the GeoPackage beside the layer, so that later edits can be told from it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError

# In no table of contents: GDAL and QGIS do not offer it as a layer beside the tiles, and do not touch it.
TABLE: Final = "bimors_predictions"


def add_predictions(path: Path, layer: str) -> None:
    """Record the labels that the tiles of a finished layer have now. Raises sqlite3.Error."""
    quoted = layer.replace('"', '""')
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE {TABLE} (tile_id TEXT PRIMARY KEY, label TEXT) WITHOUT ROWID")
        database.execute(f'INSERT INTO {TABLE} SELECT tile_id, label FROM "{quoted}"')


def read_predictions(path: Path) -> dict[str, str | None] | None:
    """Read which label each tile had when bimors wrote the file, whatever was edited since.

    Returns
    -------
    dict of tile_id to label, or None
        The label is None for a tile that had none; None altogether for a file without the record: another program's,
        or a copy that `ogr2ogr` or QGIS's export made.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        # By SQLite, and read only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            there = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone()
            return dict(database.execute(f"SELECT tile_id, label FROM {TABLE}").fetchall()) if there else None
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", "give the .gpkg that bimors wrote") from error
