"""A layer restored from a copy that another program exported: the original with the edits of the copy."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bimors_cli.errors import InputError
from bimors_cli.options.restore import RestoreOptions
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.output.geopackage import as_output_error, choose_layer
from bimors_cli.provenance import read_run
from bimors_cli.results.exported_copy import CopiedTile, ExportedCopy, read_copy
from bimors_cli.results.tile_places import GridPlace
from bimors_cli.run_warnings import warn
from bimors_cli.steps import step

# What a user fills in: of a classified layer, of suggestions, of a search, of a sample.
_EDITED: Final = ("label", "checked", "weight", "accept", "reference", "note")
# What a user may add to a layer.
_ADDED: Final = ("checked", "weight")
# What a run wrote and nobody edits: it tells a copy of this layer from one of another run.
_WRITTEN: Final = ("confidence", "score", "change_probability")
_CLOSE: Final = 1e-6
_LONGEST: Final = 254  # bytes of a text in a shapefile
_HINT: Final = "give the .gpkg of bimors that the copy was exported from with --original"


@dataclass(frozen=True)
class RestoreSummary:
    """What was restored.

    Attributes
    ----------
    path : Path
        The file.
    layer : str
        Its layer.
    tiles, deleted : int
        Tiles of the layer, and tiles of the original that the copy does not have.
    changed : mapping of str to int
        How many values of each column differ from the original.
    reunited : int
        Tiles that were split, whose parts have equal values.
    skipped : mapping of str to int
        Features of the copy that are not tiles of the original, by what they are.
    """

    path: Path
    layer: str
    tiles: int
    deleted: int
    changed: Mapping[str, int]
    reunited: int
    skipped: Mapping[str, int]


def restore(options: RestoreOptions) -> RestoreSummary:
    """Write the original again, with the tiles that its copy has, and what a user edited in the copy.

    Edited columns are label, checked, weight, accept, reference and note; those that the copy lacks stay as they are.
    The geometry is that of the original.

    Raises
    ------
    InputError
        The original was not written by bimors; the copy cannot be read, see `read_copy`, or was made of another layer;
        the output exists.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    check_target(options.output, overwrite=options.overwrite)
    original = options.original
    if not original.is_file():
        raise InputError(f"{original} does not exist", _HINT)
    layer = choose_layer(original, options.layer)
    with step(f"reading {original.name}"):
        rows = _read_rows(original, layer)
    names = {} if options.field is None else {"label": options.field}
    places = _places(original, layer)
    with step("finding the tiles of the copy"):
        copy = read_copy(options.copy, None, places, [*_EDITED, *_WRITTEN], names=names, hint=_HINT)
    with step(f"comparing the copy with {original.name}"):
        tiles = _by_id(copy, places, rows, original)
        _check_written(tiles, rows, copy, original)
        edits = _edits(tiles, rows, copy)
    with (
        step(f"writing {options.output.name}"),
        replacing(options.output, overwrite=options.overwrite) as built,
        as_output_error(options.output),
    ):
        _write(original, built, layer, tiles, edits)
    foreign = len(copy.tiles) - len(tiles)
    skipped = {**copy.skipped, **({"not in the original": foreign} if foreign else {})}
    return RestoreSummary(
        options.output,
        layer,
        len(tiles),
        len(rows.ids) - len(tiles),
        {column: len(changes) for column, changes in edits.items()},
        copy.reunited,
        skipped,
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of the original by tile: ids by (scene, row, col), values by id, and the columns."""

    ids: Mapping[tuple[str, int, int], str]
    values: Mapping[str, Mapping[str, Any]]
    columns: frozenset[str]


def _places(path: Path, layer: str) -> tuple[GridPlace, ...]:
    run = read_run(path, layer)
    try:
        scenes = run.recorded_scenes()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: layer {layer!r} has no record of a run of bimors classify", _HINT) from error
    return tuple(map(GridPlace.of_recorded, scenes))


def _read_rows(path: Path, layer: str) -> _Rows:
    """Read the rows by SQLite, read-only: the layer may be open in QGIS."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            columns = frozenset(name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (layer,)))
            wanted = [name for name in ("tile_id", "scene", "row", "col", *_EDITED, *_WRITTEN) if name in columns]
            if not {"tile_id", "scene", "row", "col"} <= columns:
                raise InputError(f"{path}: layer {layer!r} has lost its columns of tiles", _HINT)
            listed = ", ".join(f'"{name}"' for name in wanted)
            rows = [dict(row) for row in database.execute(f"SELECT {listed} FROM {_quoted(layer)}")]
    except sqlite3.Error as error:
        raise InputError(f"{path} is not a GeoPackage of bimors: {error}", _HINT) from error
    rows = [row for row in rows if row["tile_id"] is not None and row["row"] is not None and row["col"] is not None]
    return _Rows(
        {(str(row["scene"]), int(row["row"]), int(row["col"])): row["tile_id"] for row in rows},
        {row["tile_id"]: row for row in rows},
        columns,
    )


def _by_id(copy: ExportedCopy, places: Sequence[GridPlace], rows: _Rows, original: Path) -> dict[str, CopiedTile]:
    """Return the tiles of the copy by their ids in the original; raises InputError if most of them are not in it."""
    found = {}
    for tile in copy.tiles:
        tile_id = rows.ids.get((places[tile.scene].name, tile.row, tile.col))
        if tile_id is not None:
            found[tile_id] = tile
    lost = len(copy.tiles) - len(found)
    if lost > len(found):
        raise InputError(f"{copy.path}: {original} has no rows of {lost:,} of its {len(copy.tiles):,} tiles", _HINT)
    if lost:
        warn("%s: skipped %d tiles that %s does not have", copy.path, lost, original)
    return found


def _check_written(tiles: Mapping[str, CopiedTile], rows: _Rows, copy: ExportedCopy, original: Path) -> None:
    """Refuse a copy of another run: its labels would pass for corrections.

    Raises
    ------
    InputError
        The copy has a number that the original has not, or differs where a user edits nothing.
    """
    checked = False
    for column in _WRITTEN:
        if column not in copy.columns:
            continue
        if column not in rows.columns:
            raise InputError(f"{copy.path} was not exported from {original}, which has no column {column}", _HINT)
        pairs = [(rows.values[tile_id][column], tile.values[column]) for tile_id, tile in tiles.items()]
        different = sum(not _close(one, other) for one, other in pairs)
        if different > len(pairs) / 10:
            raise InputError(
                f"{copy.path} was not exported from {original}: the column {column} differs in {different:,} of "
                f"{len(pairs):,} tiles",
                _HINT,
            )
        checked = True
    changed = sum(_differs("label", rows.values[tile_id].get("label"), tile, copy) for tile_id, tile in tiles.items())
    if not checked and changed > len(tiles) / 2 and "label" in rows.columns:
        warn(
            "%s: %d of %d labels differ from those of %s, and without the column confidence it is unknown whether it "
            "is a copy of that layer: export this column too",
            copy.path,
            changed,
            len(tiles),
            original,
        )


def _close(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is None and other is None
    try:
        return math.isclose(float(one), float(other), rel_tol=0, abs_tol=_CLOSE)
    except (TypeError, ValueError):
        return False


def _edits(tiles: Mapping[str, CopiedTile], rows: _Rows, copy: ExportedCopy) -> dict[str, list[tuple[Any, str]]]:
    """Return the changed values of each column, as (value, tile_id)."""
    columns = [name for name in _EDITED if name in copy.columns and (name in rows.columns or name in _ADDED)]
    return {
        column: [
            (tile.values[column], tile_id)
            for tile_id, tile in tiles.items()
            if _differs(column, rows.values[tile_id].get(column), tile, copy)
        ]
        for column in columns
    }


def _differs(column: str, before: Any, tile: CopiedTile, copy: ExportedCopy) -> bool:
    """Whether a value was edited; a text that a shapefile cut off was not."""
    now = tile.values.get(column)
    if now is None and copy.columns.get(column, column).casefold() != column:
        return False  # a joined table has no answer for this tile
    if isinstance(before, str):
        before = before.strip() or None
    if isinstance(before, str) and isinstance(now, str) and copy.path.lower().endswith(".shp"):
        size = len(now.encode())
        return before != now and not (size > _LONGEST - 4 and before.startswith(now))
    if isinstance(before, (int, float)) and isinstance(now, (int, float)):
        return not _close(before, now)
    return bool(before != now)


def _write(
    original: Path,
    built: Path,
    layer: str,
    tiles: Mapping[str, CopiedTile],
    edits: Mapping[str, Sequence[tuple[Any, str]]],
) -> None:
    """Copy the original with its record, and edit the copy. Raises sqlite3.Error."""
    with (
        closing(sqlite3.connect(f"{original.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(built)) as database,
    ):
        source.backup(database)  # with what QGIS has written to the log next to the file
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            # Triggers of the spatial index name them, and call them for changes of the geometry only: there are none.
            database.create_function(name, 1, _never_called)
        with database:
            columns = {name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (layer,))}
            for column, changes in edits.items():
                if column not in columns:
                    kind = _kind([value for value, _ in changes])
                    database.execute(f'ALTER TABLE {_quoted(layer)} ADD COLUMN "{column}" {kind}')
                database.executemany(f'UPDATE {_quoted(layer)} SET "{column}" = ? WHERE tile_id = ?', changes)
            known = database.execute(f"SELECT tile_id FROM {_quoted(layer)}").fetchall()
            database.executemany(
                f"DELETE FROM {_quoted(layer)} WHERE tile_id IS ?", [row for row in known if row[0] not in tiles]
            )
            database.execute(
                "UPDATE gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE table_name = ?",
                (layer,),
            )


def _never_called(_geometry: Any) -> None:
    raise AssertionError("the geometry of a restored layer does not change")


def _kind(values: Sequence[Any]) -> str:
    """Return the SQL type of an added column."""
    if any(isinstance(value, str) for value in values):
        return "TEXT"
    return "BOOLEAN" if all(value in (None, 0, 1) for value in values) else "REAL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
