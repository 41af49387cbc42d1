"""What to do with a copy of a layer that another program exported, which has lost the record of its run."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import Any, Final

from bimors_cli.errors import InputError, VectorError
from bimors_cli.output.geopackage import METADATA_PREFIX, pam_disabled
from bimors_cli.scene.vector import check_vector_file, find_layer

# Files of the folder that are opened to find the layer that a copy was made of.
_MOST_FILES: Final = 200
_CLOSE: Final = 1e-6
# What a run writes and nobody edits, and what tells one kind of layer from another.
_WRITTEN: Final = ("confidence", "score")
_OWN: Final = ("reference", "accept", *_WRITTEN)
_CUT: Final = 10  # characters of a field's name in a shapefile


def refuse_copy(path: Path) -> None:
    """Raise InputError for a copy, see `is_copy`, with the command that restores it."""
    if is_copy(path):
        raise copy_error(path)


def copy_error(path: Path, otherwise: str | None = None) -> InputError:
    """Return the error for a copy; ``otherwise`` is another command, for a copy whose original is not found."""
    kind = "" if path.suffix.lower() == ".gpkg" else ", or was not written as a GeoPackage"
    original = find_original(path)
    hint = restore_command(path, original)
    if original is None and otherwise is not None:
        hint = f"{hint}; {otherwise}"
    return InputError(f"{path} has no provenance of bimors classify: it is an exported copy{kind}", hint)


def is_copy(path: Path, column: str | None = None) -> bool:
    """Whether a vector file has a layer with tile ids, or rows and columns, and no record of a run of bimors.

    With ``column`` the layer must have that column too.
    """
    return any(
        ("tile_id" in fields or {"row", "col"} <= fields) and (column is None or column in fields)
        for fields in _unrecorded(path)
    )


def has_no_record(path: Path) -> bool:
    """Whether a file is a vector file, and none of its layers has a record of a run of bimors."""
    return bool(_unrecorded(path))


def _unrecorded(path: Path) -> list[set[str]]:
    """Return the fields of each layer, in lower case; nothing if a layer has a record, or for another kind of file."""
    try:
        check_vector_file(str(path))
    except VectorError:
        return []

    import pyogrio.errors  # imports geopandas, so after the check

    try:
        with pam_disabled():
            layers = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
            found = [pyogrio.read_info(path, layer=name) for name in layers]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return []
    if any(key.startswith(METADATA_PREFIX) for info in found for key in info["layer_metadata"] or {}):
        return []
    return [{str(field).casefold() for field in info["fields"]} for info in found]


def is_map(spec: str) -> bool:
    """Whether ``file`` or ``file:layer`` is a layer of `classify`, or a copy of one: tiles, labels and confidence."""
    try:
        path, layer = find_layer(spec)
    except VectorError:
        return False

    import pyogrio.errors  # imports geopandas, so after the check

    try:
        with pam_disabled():
            fields = {str(field).casefold() for field in pyogrio.read_info(path, layer=layer)["fields"]}
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return False
    return {"tile_id", "label", "confidence"} <= fields


def restore_command(path: Path, original: Path | None) -> str:
    """Return the command that gives a copy the record of its run again, with the original where it is known."""
    named = "ORIGINAL.gpkg" if original is None else quote(str(original))
    target = path.with_name(f"{path.stem}_restored.gpkg")
    return f"bimors restore {quote(str(path))} --original {named} -o {quote(str(target))}"


def find_original(path: Path) -> Path | None:
    """Return the file in the folder of a copy that has the first tile of the copy with the same confidence, or None.

    Of several files the one with most of the copy's fields is returned, of those the oldest.
    """
    import pyogrio.errors  # imports geopandas, so where a file is read

    try:
        with pam_disabled():
            frame = pyogrio.read_dataframe(path, read_geometry=False, max_features=1)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return None
    first = {str(name).casefold(): values.iloc[0] for name, values in frame.items() if len(values)}
    files = sorted(path.parent.glob("*.gpkg"))[:_MOST_FILES]
    scores = {file: _fields_in_common(file, first) for file in files if not file.samefile(path)}
    found = [file for file, score in scores.items() if score]
    return min(found, key=lambda file: (-scores[file], file.stat().st_mtime_ns)) if found else None


def _fields_in_common(file: Path, tile: Mapping[str, Any]) -> int:
    """Return how many fields of a layer of bimors a copy of its has; 0 if the layer has not that tile, as it was."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            recorded = database.execute(
                "SELECT DISTINCT reference.table_name"
                " FROM gpkg_metadata AS one JOIN gpkg_metadata_reference AS reference"
                f" ON one.id = reference.md_file_id WHERE one.metadata LIKE '%{METADATA_PREFIX}%'"
            ).fetchall()
            return max((_score(database, table, tile) for (table,) in recorded if table is not None), default=0)
    except sqlite3.Error:
        return 0


def _score(database: sqlite3.Connection, table: str, tile: Mapping[str, Any]) -> int:
    columns = [str(name) for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    if "tile_id" not in columns or any(name in tile and name not in columns for name in _OWN):
        return 0
    numbers = [name for name in _WRITTEN if name in tile and name in columns]
    quoted = table.replace('"', '""')
    row = database.execute(
        f'SELECT {", ".join(["tile_id", *numbers])} FROM "{quoted}" WHERE tile_id = ?', (str(tile.get("tile_id")),)
    ).fetchone()
    if row is None or not all(map(_equal, row[1:], (tile[name] for name in numbers))):
        return 0
    return sum(name.casefold() in tile or name[:_CUT].casefold() in tile for name in columns)


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None or other != other:
        return one is None and (other is None or other != other)
    try:
        return math.isclose(float(one), float(other), rel_tol=0, abs_tol=_CLOSE)
    except (TypeError, ValueError):
        return False
