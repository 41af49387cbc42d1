"""What to do with a copy of a layer that another program exported, which has lost the record of its run."""

from __future__ import annotations

import math
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import Any, Final

import pyogrio
import pyogrio.errors

from bimors_cli.errors import InputError, VectorError
from bimors_cli.output.geopackage import METADATA_PREFIX, pam_disabled
from bimors_cli.scene.vector import check_vector_file

# Files of the folder that are opened to find the layer that a copy was made of.
_MOST_FILES: Final = 200
_CLOSE: Final = 1e-6
_WRITTEN: Final = ("confidence", "score")


def refuse_copy(path: Path) -> None:
    """Raise InputError for a copy, see `is_copy`, with the command that restores it."""
    if is_copy(path):
        raise copy_error(path)


def copy_error(path: Path, rest: str = "") -> InputError:
    """Return the error for a copy; ``rest`` is another way that the hint names."""
    kind = "" if path.suffix.lower() == ".gpkg" else ", or was not written as a GeoPackage"
    return InputError(
        f"{path} has no record of the run that made it: it is an exported copy{kind}", restore_command(path) + rest
    )


def is_copy(path: Path, column: str | None = None) -> bool:
    """Whether a vector file has a layer with tile ids, or rows and columns, and no record of a run of bimors.

    With ``column`` the layer must have that column too.
    """
    try:
        check_vector_file(str(path))
        with pam_disabled():
            for name, geometry in pyogrio.list_layers(path):
                if geometry is None:
                    continue
                info = pyogrio.read_info(path, layer=str(name))
                if any(key.startswith(METADATA_PREFIX) for key in info["layer_metadata"] or {}):
                    return False
                fields = {str(field).casefold() for field in info["fields"]}
                if ("tile_id" in fields or {"row", "col"} <= fields) and (column is None or column in fields):
                    return True
    except (VectorError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return False
    return False


def restore_command(path: Path) -> str:
    """Return the command that gives a copy the record of its run again; the original is sought in its folder."""
    original = find_original(path)
    named = "ORIGINAL.gpkg" if original is None else quote(str(original))
    target = path.with_name(f"{path.stem}_restored.gpkg")
    return f"bimors restore {quote(str(path))} --original {named} -o {quote(str(target))}"


def find_original(path: Path) -> Path | None:
    """Return the file in the folder of a copy that has the first tile of the copy with the same confidence.

    None if no file has it, or several have.
    """
    try:
        with pam_disabled():
            frame = pyogrio.read_dataframe(path, read_geometry=False, max_features=1)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return None
    first = {str(name).casefold(): values.iloc[0] for name, values in frame.items() if len(values)}
    files = sorted(path.parent.glob("*.gpkg"))[:_MOST_FILES]
    found = [file for file in files if not _same(file, path) and _has(file, first)]
    return found[0] if len(found) == 1 else None


def _has(file: Path, tile: dict[str, Any]) -> bool:
    """Whether a layer of bimors has a tile, with the numbers that its run wrote."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            recorded = database.execute(
                "SELECT DISTINCT reference.table_name"
                " FROM gpkg_metadata AS one JOIN gpkg_metadata_reference AS reference"
                f" ON one.id = reference.md_file_id WHERE one.metadata LIKE '%{METADATA_PREFIX}%'"
            ).fetchall()
            for (table,) in recorded:
                if table is None:
                    continue
                quoted = table.replace('"', '""')
                columns = {name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}
                if not {"tile_id"} <= columns:
                    continue
                numbers = [name for name in _WRITTEN if name in tile and name in columns]
                if any(name in tile and name not in columns for name in ("reference", "accept", *_WRITTEN)):
                    continue
                row = database.execute(
                    f'SELECT {", ".join(["tile_id", *numbers])} FROM "{quoted}" WHERE tile_id = ?',
                    (str(tile.get("tile_id")),),
                ).fetchone()
                if row is not None and all(map(_equal, row[1:], (tile[name] for name in numbers))):
                    return True
    except sqlite3.Error:
        return False
    return False


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None or other != other:
        return one is None and (other is None or other != other)
    return math.isclose(float(one), float(other), rel_tol=0, abs_tol=_CLOSE)


def _same(one: Path, other: Path) -> bool:
    return os.path.samefile(one, other)
