"""Predicted labels, stored in the GeoPackage next to its layers, to detect later edits."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError

# Not in gpkg_contents: GDAL and QGIS do not list it as a layer, and do not change it.
TABLE: Final = "bimors_predictions"


def add_predictions(path: Path, layer: str) -> None:
    """Store the labels of a finished layer's tiles as predictions. Raises sqlite3.Error."""
    quoted = layer.replace('"', '""')
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {TABLE}"
            " (layer TEXT, tile_id TEXT, label TEXT, PRIMARY KEY (layer, tile_id)) WITHOUT ROWID"
        )
        database.execute(f"DELETE FROM {TABLE} WHERE layer = ?", (layer,))
        database.execute(f'INSERT INTO {TABLE} SELECT ?, tile_id, label FROM "{quoted}"', (layer,))


def read_predictions(path: Path, layer: str | None = None) -> dict[str, str | None] | None:
    """Read the labels that the tiles of a layer had when bimors wrote it, before any edits.

    Parameters
    ----------
    path : Path
        The file.
    layer : str, optional
        One of its layers; a layer that was renamed since is found if it is the only renamed one. None is for a file
        with one layer.

    Returns
    -------
    dict of tile_id to label, or None
        The label is None for a tile without one. None for a layer without a record: one of another program, or a copy
        made by ogr2ogr or the QGIS export.

    Raises
    ------
    InputError
        The file cannot be read, or has several layers and ``layer`` is None.
    """
    try:
        # By SQLite and read-only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone():
                return None
            known = [name for (name,) in database.execute(f"SELECT DISTINCT layer FROM {TABLE}")]
            if layer is None and len(known) > 1:
                raise InputError(f"{path} has several layers: {', '.join(known)}", "choose one with --layer")
            recorded = layer if layer in known else renamed(database, known) if layer is not None else "".join(known)
            if recorded is None:
                return None
            rows = database.execute(f"SELECT tile_id, label FROM {TABLE} WHERE layer = ?", (recorded,))
            return dict(rows.fetchall())
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", "give a .gpkg that bimors wrote") from error


def read_corrections(path: Path, layer: str) -> dict[str, str]:
    """Read the labels that somebody gave to tiles of a layer after bimors wrote it, by the ids of the tiles.

    Empty for a layer without a record of its predictions. Raises InputError if the file cannot be read.
    """
    quoted = layer.replace('"', '""')
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone():
                return {}
            known = [name for (name,) in database.execute(f"SELECT DISTINCT layer FROM {TABLE}")]
            recorded = layer if layer in known else renamed(database, known)
            rows = database.execute(
                f'SELECT tile_id, tile.label FROM "{quoted}" AS tile JOIN {TABLE} AS old USING (tile_id)'
                " WHERE old.layer = ? AND trim(tile.label) <> '' AND tile.label IS NOT old.label",
                (recorded,),
            )
            return {tile_id: str(label).strip() for tile_id, label in rows}
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", "give a .gpkg that bimors wrote") from error


def renamed(database: sqlite3.Connection, known: Sequence[str]) -> str | None:
    """Return the layer with a record but no table, if there is exactly one: it was renamed since."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    missing = [name for name in known if name not in tables]
    return missing[0] if len(missing) == 1 else None
