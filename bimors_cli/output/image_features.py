"""Image features of tiles, stored in the GeoPackage next to its layers, for search."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.errors import InputError
from bimors_cli.output.predictions import renamed

# Not in gpkg_contents: GDAL and QGIS do not list it as a layer, and do not change it. With a rowid: in a table without
# one, each row of a kilobyte would take a page of its own.
TABLE: Final = "bimors_features"
# Half precision moves a cosine by less than 0.0005. The byte order is that of the file, not of the machine.
DTYPE: Final = np.dtype("<f2")
ROWS_AT_ONCE: Final = 20_000

_HINT: Final = "run bimors classify with --keep-features and a .gpkg output"


def add_features(path: Path, layer: str, features: Iterable[tuple[str, bytes]]) -> None:
    """Store features of a finished layer's tiles, as (tile_id, E numbers of `DTYPE`), in place of existing ones.

    ``features`` is iterated once. Without features no table is created. Raises sqlite3.Error, and what ``features``
    raises.
    """
    rows = ((layer, *item) for item in features)
    first = next(rows, None)
    with closing(sqlite3.connect(path)) as database, database:
        if first is None and not _has_table(database):
            return
        database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (layer TEXT, tile_id TEXT, feature BLOB)")
        database.execute(f"DELETE FROM {TABLE} WHERE layer = ?", (layer,))
        if first is not None:
            database.executemany(f"INSERT INTO {TABLE} VALUES (?, ?, ?)", chain([first], rows))


def read_features(path: Path, layer: str) -> Iterator[tuple[list[str], NDArray[Any]]]:
    """Read the features of a layer's tiles, `ROWS_AT_ONCE` at a time, in the order in which they were written.

    A layer that was renamed since is found if it is the only renamed one.

    Yields
    ------
    ids, features : list of str, float16 array [n, E]
        E is the same for all.

    Raises
    ------
    InputError
        The file cannot be read, has no features of this layer, or they are corrupt.
    """
    width: int | None = None
    try:
        # By SQLite and read-only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            if _has_table(database):
                rows = database.execute(
                    f"SELECT tile_id, feature FROM {TABLE} WHERE layer = ?", (_recorded(database, layer),)
                )
                while chunk := rows.fetchmany(ROWS_AT_ONCE):
                    width = width or len(chunk[0][1])
                    if any(len(feature) != width for _, feature in chunk) or width % DTYPE.itemsize:
                        raise InputError(f"{path}: the image features of layer {layer!r} are corrupt", _HINT)
                    numbers = np.frombuffer(b"".join(feature for _, feature in chunk), DTYPE)
                    yield [tile_id for tile_id, _ in chunk], numbers.reshape(len(chunk), -1)
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", "give a .gpkg that bimors classify wrote") from error
    if width is None:
        raise InputError(f"{path}: layer {layer!r} has no image features", _HINT)


def _recorded(database: sqlite3.Connection, layer: str) -> str | None:
    """Return the layer name under which the features are stored."""
    if database.execute(f"SELECT 1 FROM {TABLE} WHERE layer = ? LIMIT 1", (layer,)).fetchone():
        return layer
    return renamed(database, [name for (name,) in database.execute(f"SELECT DISTINCT layer FROM {TABLE}")])


def _has_table(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone() is not None
