"""The field of a layer that holds the classes, and what to say if there is no such field."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from bimors_cli.errors import VectorError
from bimors_cli.scene.vector_read import Field

_MOST: Final = 20  # fields in a message
_NOT_CLASSES: Final = ("date", "time", "date and time", "binary")
_SHAPEFILE_NAME: Final = 10  # characters of the name of a field


def find_field(path: str, layer: str, fields: Sequence[Field], name: str) -> Field:
    """Return the field of the classes.

    Parameters
    ----------
    path, layer : str
        File and layer.
    fields : sequence of Field
        Those of the layer.
    name : str
        The name, in upper and lower case as in the file.

    Raises
    ------
    VectorError
        There is no such field, or more than one, or its type is a date, a time or binary.
    """
    found = [field for field in fields if field.name == name]
    if len(found) == 1 and found[0].kind not in _NOT_CLASSES:
        return found[0]
    if len(found) > 1:
        raise VectorError(f"{path} has {len(found)} fields {name!r}", "rename one of them: Refactor fields in QGIS")
    listed = f"its fields are {_list(fields)}"
    if found:
        raise VectorError(f"{path}: the field {name!r} is of type {found[0].kind}, not classes", listed)
    if not fields:
        stem, suffix = os.path.splitext(path)
        has_table = suffix.lower() != ".shp" or any(os.path.isfile(stem + end) for end in (".dbf", ".DBF"))
        hint = "add a field for the class name" if has_table else f"{stem}.dbf is missing: it holds the fields"
        raise VectorError(f"{path} has no field {name!r}", hint)
    meant = _meant(path, layer, [field.name for field in fields], name)
    hint = f"did you mean {meant}? {listed}" if meant else listed
    raise VectorError(f"{path} has no field {name!r}", hint)


def _list(fields: Sequence[Field]) -> str:
    shown = ", ".join(f"{field.name} ({field.kind})" for field in fields[:_MOST])
    return shown + (f" and {len(fields) - _MOST} more" if len(fields) > _MOST else "")


def _meant(path: str, layer: str, names: Sequence[str], name: str) -> str | None:
    """Return the field that was probably meant, for a message."""
    alias = _aliases(path, layer).get(name)
    if alias in names:
        return f"{alias!r}, which has that alias"
    for other in names:
        if other.casefold().strip() == name.casefold().strip():
            return repr(other)
    if path.lower().endswith(".shp"):
        for other in names:
            if len(name) > _SHAPEFILE_NAME and other.casefold() == name[:_SHAPEFILE_NAME].casefold():
                return f"{other!r}? A shapefile shortens names to {_SHAPEFILE_NAME} characters".rstrip("?")
    folded = {other.casefold(): other for other in names}
    close = get_close_matches(name.casefold(), folded, 1)
    return repr(folded[close[0]]) if close else None


def _aliases(path: str, layer: str) -> dict[str, str]:
    """Return the fields of a GeoPackage by their aliases."""
    if not path.lower().endswith(".gpkg") or not os.path.isfile(path):
        return {}
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT name, title, column_name FROM gpkg_data_columns WHERE table_name = ?", (layer,)
            ).fetchall()
    except sqlite3.Error:  # most files have no such table
        return {}
    return {str(alias): str(field) for name, title, field in rows for alias in (name, title) if alias}
