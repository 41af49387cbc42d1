"""What was predicted, kept in the GeoPackage beside its layers, so that later edits can be told from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
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
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {TABLE}"
            " (layer TEXT, tile_id TEXT, label TEXT, PRIMARY KEY (layer, tile_id)) WITHOUT ROWID"
        )
        database.execute(f"DELETE FROM {TABLE} WHERE layer = ?", (layer,))
        database.execute(f'INSERT INTO {TABLE} SELECT ?, tile_id, label FROM "{quoted}"', (layer,))


def read_predictions(path: Path, layer: str | None = None) -> dict[str, str | None] | None:
    """Read which label each tile of a layer had when bimors wrote it, whatever was edited since.

    Parameters
    ----------
    path : Path
        The file.
    layer : str, optional
        One of its layers; a layer that was renamed since is found if it is the only one. None is for a file with one.

    Returns
    -------
    dict of tile_id to label, or None
        The label is None for a tile that had none; None altogether for a layer without the record: another program's,
        or a copy that `ogr2ogr` or QGIS's export made.

    Raises
    ------
    InputError
        The file cannot be read, or holds several layers and none was named.
    """
    try:
        # By SQLite, and read only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone():
                return None
            known = [name for (name,) in database.execute(f"SELECT DISTINCT layer FROM {TABLE}")]
            if layer is None and len(known) > 1:
                raise InputError(f"{path} holds several layers: {', '.join(known)}", "name one with --layer")
            recorded = layer if layer in known else renamed(database, known) if layer is not None else "".join(known)
            if recorded is None:
                return None
            rows = database.execute(f"SELECT tile_id, label FROM {TABLE} WHERE layer = ?", (recorded,))
            return dict(rows.fetchall())
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", "give the .gpkg that bimors wrote") from error


def renamed(database: sqlite3.Connection, known: Sequence[str]) -> str | None:
    """Return the layer of which a record is there and no table: the one that was renamed since, if it is one."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    gone = [name for name in known if name not in tables]
    return gone[0] if len(gone) == 1 else None
