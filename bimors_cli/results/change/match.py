"""Tiles of two layers matched by their place on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.change.answers import NONE, Answers
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.scene.size import pixel_size_metres

# Shifts of the grids, in tiles: up to the first nothing is said, above the second tiles show different ground: of two
# tiles that are shifted by a quarter along both sides, 44 % is ground that the other does not show.
UNNOTICED: Final = 0.02
MOST: Final = 0.25
# Tiles whose sides differ by more than this fraction are of another size.
_SAME_SIZE: Final = 0.01


@dataclass(frozen=True)
class Placement:
    """Where the tiles of a scene after are in the grid of a scene before.

    Tile (row, col) of the scene before shows the ground of tile (row + rows, col + cols) of the scene after.

    Attributes
    ----------
    before, after : int
        Numbers of the scenes in the runs of their layers.
    rows, cols : int
    shift : (float, float)
        How far the tiles after are off those before at most, to the right and down, in tiles.
    metres : float or None
        Length of the shift on the map; None where a pixel has no length.
    """

    before: int
    after: int
    rows: int
    cols: int
    shift: tuple[float, float]
    metres: float | None

    @property
    def off(self) -> float:
        """The larger of the shifts along the two axes, in tiles."""
        return max(map(abs, self.shift))


@dataclass(frozen=True)
class Matches:
    """M places on the ground where at least one of two layers has a row.

    Attributes
    ----------
    scene : int16 array [M]
        Number of the scene before.
    row, col : int32 array [M]
        Place in its grid.
    before, after : int64 array [M]
        Rows of the answers of either layer; `NONE` where a layer has none.
    """

    scene: npt.NDArray[np.int16]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scene)


def place_scenes(before: ClassifiedLayer, after: ClassifiedLayer) -> tuple[Placement, ...]:
    """Find which scenes of two layers show the same ground on the same grid.

    Raises
    ------
    InputError
        None do: they have another CRS, tiles of another size, or do not overlap; or the grids are shifted by more than
        `MOST` tiles.
    """
    found, error = [], None
    for one, first in enumerate(before.scenes):
        for two, second in enumerate(after.scenes):
            try:
                placement = _place(one, first, two, second)
            except InputError as failure:
                error = error or failure
                continue
            if placement is not None:
                found.append(placement)
    if found:
        return tuple(found)
    raise error or InputError(
        f"the scenes of {before.path} and {after.path} do not overlap", "give layers of the same place"
    )


def match_tiles(
    placements: tuple[Placement, ...],
    before: tuple[ClassifiedLayer, Answers],
    after: tuple[ClassifiedLayer, Answers],
) -> Matches:
    """Match the tiles of two layers where their scenes overlap. Where several scenes do, the first one counts.

    Raises
    ------
    InputError
        A layer has two rows of one tile.
    """
    places = [_rows_by_place(*before), _rows_by_place(*after)]
    parts = []
    for one in placements:
        first, second = places[0][one.before], places[1][one.after]
        down = _overlap(first.shape[0], second.shape[0], one.rows)
        across = _overlap(first.shape[1], second.shape[1], one.cols)
        ours, theirs = first[down[0], across[0]], second[down[1], across[1]]
        row, col = np.nonzero((ours != NONE) | (theirs != NONE))
        parts.append(
            (
                np.full(len(row), one.before, np.int16),
                row + down[0].start,
                col + across[0].start,
                ours[row, col],
                theirs[row, col],
            )
        )
    scene, row, col, ours, theirs = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Where scenes overlap, the first one counts that has a row.
    order = np.lexsort((theirs == NONE, col, row, scene))
    key = np.stack([scene[order], row[order], col[order]])
    new = np.ones(len(order), np.bool_)
    new[1:] = (key[:, 1:] != key[:, :-1]).any(axis=0)
    chosen = order[new]
    place = (row[chosen].astype(np.int32), col[chosen].astype(np.int32))
    return Matches(scene[chosen], *place, ours[chosen], theirs[chosen])


def _place(one: int, before: RecordedScene, two: int, after: RecordedScene) -> Placement | None:
    """Return the placement of a scene in the grid of another; None where they do not overlap."""
    hint = f"put the second scene on the grid of the first, and classify it: rio warp {after.name} on_grid.tif --like "
    hint += before.name
    names = f"{before.name} and {after.name}"
    try:
        if CRS.from_wkt(before.crs_wkt) != CRS.from_wkt(after.crs_wkt):
            raise InputError(f"{names} have different CRS", hint)
    except CRSError as error:
        raise InputError(f"invalid CRS recorded for {names}", "classify again") from error
    ours, theirs = before.grid, after.grid
    moved = ~after.transform @ before.transform
    # From (col, row) of a tile before to (col, row) of one after.
    columns = np.array([moved.a * ours.stride_x, moved.d * ours.stride_x]) / [theirs.stride_x, theirs.stride_y]
    rows = np.array([moved.b * ours.stride_y, moved.e * ours.stride_y]) / [theirs.stride_x, theirs.stride_y]
    size = moved.a * ours.tile_width / theirs.tile_width, moved.e * ours.tile_height / theirs.tile_height
    matrix = np.stack([columns, rows], axis=1)
    if np.abs(matrix - np.eye(2)).max() > _SAME_SIZE or max(abs(value - 1) for value in size) > _SAME_SIZE:
        raise InputError(f"{names} have tiles of different sizes or orientations on the ground", hint)
    origin = np.array([moved.c / theirs.stride_x, moved.f / theirs.stride_y])
    offset = np.round(matrix @ [ours.cols / 2, ours.rows / 2] + origin - [ours.cols / 2, ours.rows / 2])
    cols, rows_off = int(offset[0]), int(offset[1])
    across, down = _overlap(ours.cols, theirs.cols, cols)[0], _overlap(ours.rows, theirs.rows, rows_off)[0]
    if across.start >= across.stop or down.start >= down.stop:
        return None
    corners = np.array([(x, y) for x in (across.start, across.stop - 1) for y in (down.start, down.stop - 1)], float)
    # A tile before starts so far behind the tile after that it is compared with.
    behind = corners @ matrix.T + origin - corners - offset
    shift = -behind[np.abs(behind).argmax(axis=0), [0, 1]]
    metres = length_in_metres(before, float(shift[0]), float(shift[1]))
    placement = Placement(one, two, rows_off, cols, (float(shift[0]), float(shift[1])), metres)
    if placement.off > MOST:
        raise InputError(f"the tiles of {names} are shifted by {describe(placement)}: they show different ground", hint)
    return placement


def describe(placement: Placement) -> str:
    """Describe a shift: of a tile, and in metres."""
    length = "" if placement.metres is None else f" ({placement.metres:,.3g} m)"
    return f"{placement.off:.2f} tiles{length}"


def length_in_metres(scene: RecordedScene, right: float, down: float) -> float | None:
    """Return the length of a shift in tiles of a scene; None where a pixel has no length."""
    grid = scene.grid
    try:
        pixel = pixel_size_metres(scene.transform, CRS.from_wkt(scene.crs_wkt), grid.scene_width, grid.scene_height)
    except InputError:
        return None
    return float(np.hypot(right * grid.stride_x * pixel[0], down * grid.stride_y * pixel[1]))


def _overlap(ours: int, theirs: int, offset: int) -> tuple[slice, slice]:
    """Return the part of an axis that two grids share, in either; ours starts at -offset of theirs."""
    start, stop = max(0, -offset), min(ours, theirs - offset)
    return slice(start, max(start, stop)), slice(start + offset, max(start, stop) + offset)


def _rows_by_place(layer: ClassifiedLayer, answers: Answers) -> list[npt.NDArray[np.int64]]:
    """Return for each scene of a layer the row of the answers of each place [rows, cols]; `NONE` without one."""
    found = []
    for number, scene in enumerate(layer.scenes):
        grid = scene.grid
        index = np.flatnonzero(answers.scene == number)
        row, col = answers.row[index].astype(np.int64), answers.col[index].astype(np.int64)
        inside = (row >= 0) & (row < grid.rows) & (col >= 0) & (col < grid.cols)
        index, place = index[inside], (row * grid.cols + col)[inside]
        rows = np.full(grid.rows * grid.cols, NONE, np.int64)
        rows[place] = index
        if len(place) != int((rows != NONE).sum()):
            raise InputError(f"{layer.path}: a tile of {scene.name} has two rows", "delete the copies in QGIS")
        found.append(rows.reshape(grid.rows, grid.cols))
    return found
