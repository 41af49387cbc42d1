"""A copy of a layer that another program exported: it has lost the record of its run, and its tiles are found again.

QGIS's Export writes the fields that were chosen, in any format and CRS, with new feature ids; a shapefile cuts their
names to ten characters, a join gives them a prefix. Tiles are recognised by their ids, by scene, row and column, or by
their places, and every feature with a geometry is compared with the cell of the grid that it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from bimors_cli.errors import InputError, one_line
from bimors_cli.output.geopackage import pam_disabled
from bimors_cli.results.tile_places import (
    FOREIGN,
    MERGED,
    MOVED,
    PART,
    TILE,
    Footprints,
    GridPlace,
    footprints,
    match_tiles,
    named_cells,
    tile_size,
)
from bimors_cli.run_warnings import warn
from bimors_cli.scene.vector import find_layer
from bimors_cli.scene.vector_crs import check_crs

_PLACE: Final = ("tile_id", "scene", "row", "col")
_CUT: Final = 10  # characters of a field's name in a shapefile
_WHOLE: Final = 0.9  # of a tile: parts that cover less do not speak for the tile
# Above this fraction of features that are not where their tiles are, the grid is another one.
_WRONG: Final = 0.5


@dataclass(frozen=True)
class CopiedTile:
    """A tile of a copy: index of the scene, place in its grid, and the values of the columns that were asked for."""

    scene: int
    row: int
    col: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class ExportedCopy:
    """What a copy holds.

    Attributes
    ----------
    path, layer : str
        The file and its layer.
    tiles : tuple of CopiedTile
        Each tile once, by scene, row and column.
    columns : mapping of str to str
        The columns that were asked for and found, and their names in the copy.
    reunited : int
        Tiles that were split, whose parts have equal values.
    skipped : mapping of str to int
        Features that are not tiles, by what they are.
    """

    path: str
    layer: str
    tiles: tuple[CopiedTile, ...]
    columns: Mapping[str, str]
    reunited: int
    skipped: Mapping[str, int]


def read_copy(
    path: str,
    layer: str | None,
    places: Sequence[GridPlace],
    columns: Sequence[str],
    *,
    names: Mapping[str, str] | None = None,
    hint: str,
) -> ExportedCopy:
    """Read the tiles of a copy, and warn once of the features that are not tiles.

    Parameters
    ----------
    path : str
        A vector file.
    layer : str, optional
        Its layer, if it has several.
    places : sequence of GridPlace
        The scenes of the tiles.
    columns : sequence of str
        The columns to read, where the copy has them; see `find_columns`.
    names : mapping of str to str, optional
        What some columns are called in the copy; they must exist.
    hint : str
        What to do if the tiles lie elsewhere.

    Raises
    ------
    InputError
        The file cannot be read, has several layers or no CRS; most features are not where the tiles are, or none is a
        tile; two features are one tile and have different values.
    """
    import pyogrio.errors  # imports geopandas, so where a file is read

    path, layer = find_layer(path, layer)
    with pam_disabled():
        try:
            fields = [str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]]
            found = {**find_columns(fields, [*_PLACE, *columns], path), **_given(fields, names or {}, path)}
            frame = pyogrio.read_dataframe(path, layer=layer, columns=sorted(set(found.values())))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {one_line(error)}", "export it again, in UTF-8") from error
    if not len(frame):
        raise InputError(f"{path}: layer {layer!r} has no features", "export the layer again")
    values = {name: frame[column].tolist() for name, column in found.items()}
    for name in columns:
        if name in found and found[name].casefold() != name and name not in (names or {}):
            warn("%s: the column %s is used as %s", path, found[name], name)
    scene, matches = _match(frame, values, places, path, hint)
    kept, reunited, skipped = _single(scene, matches, values, [name for name in columns if name in found], places, path)
    if skipped:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in skipped.items())
        warn("%s: skipped %d of %d features: %s", path, skipped.total(), len(frame), listed)
    if not kept:
        raise InputError(f"{path}: no feature is a tile of {_named(places)}", hint)
    return ExportedCopy(
        path,
        layer,
        tuple(kept),
        {name: column for name, column in found.items() if name in columns},
        reunited,
        dict(skipped),
    )


def find_columns(fields: Sequence[str], wanted: Sequence[str], path: str) -> dict[str, str]:
    """Return the field of a file that holds each column, for those that one field fits.

    A field fits by its name, without regard to case; else by the name cut to ten characters, as in a shapefile; else if
    it ends in an underscore and the name, as a joined field does.

    Raises
    ------
    InputError
        Several fields fit equally well.
    """
    result = {}
    for name in wanted:
        fitting = next(
            (
                found
                for found in (
                    [field for field in fields if field == name],
                    [field for field in fields if field.casefold() == name],
                    [field for field in fields if len(name) > _CUT and field.casefold() == name[:_CUT]],
                    [field for field in fields if field.casefold().endswith(f"_{name}")],
                )
                if found
            ),
            [],
        )
        if len(fitting) > 1:
            raise InputError(
                f"{path}: {', '.join(fitting)} could all be the column {name}", f"name one of them {name} in QGIS"
            )
        if fitting:
            result[name] = fitting[0]
    return result


def _given(fields: Sequence[str], names: Mapping[str, str], path: str) -> dict[str, str]:
    for column in names.values():
        if column not in fields:
            raise InputError(f"{path} has no column {column}", f"its columns are {', '.join(fields[:20])}")
    return dict(names)


def _match(
    frame: Any, values: Mapping[str, list[Any]], places: Sequence[GridPlace], path: str, hint: str
) -> tuple[npt.NDArray[np.intp], Any]:
    """Return the scene of each feature, and what it is there."""
    geometries = frame.geometry.to_numpy() if hasattr(frame, "geometry") else np.full(len(frame), None, object)
    crs = _crs(frame, geometries, path)
    cells = _named_cells(values, places, len(frame))
    measured = [footprints(geometries, crs, place, path) for place in places]
    each = [
        match_tiles(one, place.grid, *np.where(_names(cells, number), cells[:, 1:].T, np.nan))
        for number, (one, place) in enumerate(zip(measured, places, strict=True))
    ]
    kinds = np.stack([one.kinds for one in each])
    # The scene that a feature names; else the first one in which it is a tile, or is anything.
    order = [TILE, PART, MERGED, MOVED, FOREIGN]
    best = np.array([[order.index(kind) for kind in column] for column in kinds.T]).argmin(axis=1)
    scene = np.where(np.isfinite(cells[:, 0]), np.nan_to_num(cells[:, 0]), best).astype(np.intp)
    picked = np.arange(len(frame))
    chosen = {
        name: np.stack([getattr(one, name) for one in each])[scene, picked]
        for name in ("rows", "cols", "kinds", "fractions")
    }
    matches = type(each[0])(**chosen)
    _check_place(matches.kinds, scene, cells, measured, places, path, hint)
    return scene, matches


def _names(cells: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.bool_]:
    """Tell which features name a cell, and no other scene."""
    named: npt.NDArray[np.bool_] = np.isfinite(cells[:, 1]) & (np.isnan(cells[:, 0]) | (cells[:, 0] == number))
    return named


def _named_cells(values: Mapping[str, list[Any]], places: Sequence[GridPlace], count: int) -> npt.NDArray[np.float64]:
    """Return the scene, row and column that each feature names by its id, else by its columns; [n, 3], nan for none."""
    cells = np.full((count, 3), np.nan)
    if "tile_id" in values:
        cells = named_cells(values["tile_id"], places)
    if "row" in values and "col" in values:
        rest = np.isnan(cells[:, 1])
        named = np.column_stack([_numbers(values["row"]), _numbers(values["col"])])
        cells[rest, 1:] = named[rest]
        if "scene" in values:
            number = {name: index for index, one in enumerate(places) for name in (one.name, one.stem)}
            scenes = np.array([number.get(str(name), np.nan) for name in values["scene"]])
            cells[rest, 0] = scenes[rest]
    if len(places) == 1:
        cells[:, 0] = np.where(np.isfinite(cells[:, 1]), 0, np.nan)  # a scene that was renamed is the same place
    return cells


def _numbers(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    def number(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return np.nan

    return np.array([number(value) for value in values], np.float64)


def _crs(frame: Any, geometries: Any, path: str) -> CRS | None:
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    if not there.any():
        return None
    wkt = frame.crs.to_wkt() if frame.crs is not None else None
    return CRS.from_user_input(check_crs(path, wkt, shapely.total_bounds(geometries[there]).tolist()))


def _check_place(
    kinds: npt.NDArray[np.object_],
    scene: npt.NDArray[np.intp],
    cells: npt.NDArray[np.float64],
    measured: Sequence[Footprints],
    places: Sequence[GridPlace],
    path: str,
    hint: str,
) -> None:
    """Refuse a copy of which most features are elsewhere, or of another size."""
    # A feature that names its tile may be a part of it, or merged with others, in the right grid.
    nameless = np.isnan(cells[:, 1]) & np.isin(kinds, (PART, MERGED))
    wrong = np.isin(kinds, (MOVED, FOREIGN)) | nameless
    if wrong.mean() <= _WRONG:
        return
    place = places[int(np.bincount(scene).argmax())]
    size = tile_size(measured[places.index(place)], place.grid)  # None if they lie elsewhere
    grid = place.grid
    if size is not None and not all(
        abs(one - other) <= max(1, 0.02 * other)
        for one, other in zip(size, (grid.tile_width, grid.tile_height), strict=True)
    ):
        raise InputError(
            f"{path}: most features have {size[0]} x {size[1]} pixels of {place.name}, its tiles "
            f"{grid.tile_width} x {grid.tile_height}",
            hint.replace("SIZE", str(size[0])),
        )
    first = int(np.flatnonzero(wrong)[0])
    named = f", such as row {cells[first, 1]:.0f}, column {cells[first, 2]:.0f}" if np.isfinite(cells[first, 1]) else ""
    raise InputError(
        f"{path}: {int(wrong.sum()):,} of {len(kinds):,} features are not where the tiles of {place.name} are{named}",
        hint.replace("SIZE", str(grid.tile_width)),
    )


def _single(
    scene: npt.NDArray[np.intp],
    matches: Any,
    values: Mapping[str, list[Any]],
    columns: Sequence[str],
    places: Sequence[GridPlace],
    path: str,
) -> tuple[list[CopiedTile], int, Counter[str]]:
    """Return each tile once, the number of tiles that were split, and how many features are something else."""
    skipped: Counter[str] = Counter()
    rows: dict[tuple[int, int, int], list[int]] = {}
    for index, kind in enumerate(matches.kinds):
        if kind in (TILE, PART):
            rows.setdefault((int(scene[index]), int(matches.rows[index]), int(matches.cols[index])), []).append(index)
        else:
            skipped[kind] += 1
    kept, reunited = [], 0
    for place, found in sorted(rows.items()):
        whole = any(matches.kinds[index] == TILE for index in found)
        if not whole and sum(matches.fractions[index] for index in found) < _WHOLE:
            skipped[PART] += len(found)
            continue
        read = [{name: _plain(values[name][index]) for name in columns} for index in found]
        for name in columns:
            different = list(dict.fromkeys(str(one[name]) for one in read))
            if len(different) > 1:
                tile = f"{places[place[0]].stem}/{place[1]}/{place[2]}"
                raise InputError(
                    f"{path}: {len(found)} features are the tile {tile}, with {name} {' and '.join(different[:3])}",
                    "keep one of them, or give all of them the same value",
                )
        reunited += len(found) > 1
        kept.append(CopiedTile(*place, read[0]))
    return kept, reunited, skipped


def _plain(value: Any) -> Any:
    """Return a value as Python has it; None for null, NaN and blanks."""
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value


def _named(places: Sequence[GridPlace]) -> str:
    return ", ".join(place.name for place in places[:3]) + (" and others" if len(places) > 3 else "")
