"""Features of a vector file compared with the cells of grids: which of them are tiles, whatever their CRS is now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import CRS

from bimors_cli.provenance import RecordedScene
from bimors_cli.scene.antimeridian import full_circle
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.transformation import make_transformer

# What a feature is.
TILE: Final = "tile"
PART: Final = "part of a tile"
MERGED: Final = "merged from several tiles"
MOVED: Final = "not where its tile is"
FOREIGN: Final = "not a tile"

# Of the size of a tile: above what a transformation between two CRSs moves, below what somebody moves by hand.
_TOLERANCE: Final = 0.25
_PART: Final = 1 - _TOLERANCE  # of the area of a cell
_MOST: Final = 0.5


@dataclass(frozen=True)
class GridPlace:
    """The grid of a scene, and where it lies.

    Attributes
    ----------
    name, stem : str
        Name of the scene's file; tile ids start with the stem.
    grid : Grid
        The grid.
    transform : Affine
        Pixel corner (column, row) to map coordinates.
    crs_wkt : str
        CRS of these.
    """

    name: str
    stem: str
    grid: Grid
    transform: Affine
    crs_wkt: str

    @classmethod
    def of_recorded(cls, scene: RecordedScene) -> GridPlace:
        """Return the grid of a scene that a layer records."""
        stem = scene.name if ":" in scene.name else os.path.splitext(scene.name)[0]
        return cls(scene.name, stem, scene.grid, scene.transform, scene.crs_wkt)

    @classmethod
    def of_scene(cls, info: SceneInfo, grid: Grid) -> GridPlace:
        """Return a grid over a scene."""
        return cls(info.name, info.stem, grid, info.transform, info.crs.to_wkt())


@dataclass(frozen=True)
class Footprints:
    """n features in pixels of a scene.

    Attributes
    ----------
    bounds : float64 array [n, 4]
        Left, top, right, bottom in pixels; nan for a feature without geometry, and where it cannot be reprojected.
    areas : float64 array [n]
        In square pixels; 0 for points and lines.
    missing : bool array [n]
        Whether a feature has no geometry.
    """

    bounds: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]
    missing: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """What n features are: the cell that each of them is or belongs to, and its kind.

    Attributes
    ----------
    rows, cols : int array [n]
        The cell; meaningless where the kind is `FOREIGN`.
    kinds : object array [n] of str
        `TILE`, `PART`, `MERGED`, `MOVED` or `FOREIGN`.
    fractions : float64 array [n]
        Area of the feature divided by that of the cell; 1 for a feature without area.
    """

    rows: npt.NDArray[np.intp]
    cols: npt.NDArray[np.intp]
    kinds: npt.NDArray[np.object_]
    fractions: npt.NDArray[np.float64]


def footprints(geometries: Polygons, crs: CRS | None, place: GridPlace, path: str) -> Footprints:
    """Measure features in pixels of a scene.

    Corners are reprojected, edges are not: the square of a tile that was reprojected corner by corner comes back as it
    was. In a geographic CRS parts are shifted by whole turns to the longitudes of the scene.

    Parameters
    ----------
    geometries : object array [n] of shapely geometry or None
        The features.
    crs : CRS or None
        Their CRS; None if no feature has a geometry.
    place : GridPlace
        The scene.
    path : str
        The file of the features, for messages.

    Raises
    ------
    VectorError
        As `make_transformer`.
    """
    missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    bounds = np.full((len(geometries), 4), np.nan)
    areas = np.zeros(len(geometries))
    if crs is None or missing.all():
        return Footprints(bounds, areas, missing)
    parts, owner = shapely.get_parts(geometries, return_index=True)  # empty ones have no parts
    target = CRS.from_wkt(place.crs_wkt)
    if not crs.equals(target, ignore_axis_order=True):
        transformer = make_transformer(crs, target, source_name=path, target_name=place.name)
        parts = shapely.transform(parts, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    circle = full_circle(target)
    if circle is not None:
        parts = _near(parts, place, circle)
    inverse = ~place.transform
    parts = shapely.transform(
        parts,
        lambda xy: np.column_stack(
            [
                inverse.a * xy[:, 0] + inverse.b * xy[:, 1] + inverse.c,
                inverse.d * xy[:, 0] + inverse.e * xy[:, 1] + inverse.f,
            ]
        ),
    )
    boxes = shapely.bounds(parts)
    low, high = np.full((len(geometries), 2), np.inf), np.full((len(geometries), 2), -np.inf)
    np.minimum.at(low, owner, boxes[:, :2])
    np.maximum.at(high, owner, boxes[:, 2:])
    np.add.at(areas, owner, np.nan_to_num(shapely.area(parts), posinf=0))
    bounds[:] = np.column_stack([low, high])
    bounds[~np.isfinite(bounds).all(axis=1)] = np.nan
    return Footprints(bounds, areas, missing)


def match_tiles(found: Footprints, grid: Grid, rows: npt.NDArray[np.float64], cols: npt.NDArray[np.float64]) -> Matches:
    """Tell which features are cells of a grid.

    Parameters
    ----------
    found : Footprints
        n features.
    grid : Grid
        The grid.
    rows, cols : float64 array [n]
        The cells that the features name; nan for one that names none, which is sought by its place.

    Returns
    -------
    Matches
        A feature is a cell if each of its edges is within a quarter of a tile of the cell's; a point, if it is that
        close to the centre. A feature without geometry is the cell that it names.
    """
    left, top, right, bottom = found.bounds.T
    tile = np.array([grid.tile_width, grid.tile_height])
    point = (right - left < _TOLERANCE * tile[0]) & (bottom - top < _TOLERANCE * tile[1]) & (found.areas == 0)
    named = np.isfinite(rows) & np.isfinite(cols)
    with np.errstate(invalid="ignore"):
        at_col = np.where(point, (left + right - tile[0]) / 2, left) / grid.stride_x
        at_row = np.where(point, (top + bottom - tile[1]) / 2, top) / grid.stride_y
        row = np.where(named, rows, np.rint(at_row).clip(0, grid.rows - 1))
        col = np.where(named, cols, np.rint(at_col).clip(0, grid.cols - 1))
        inside = (row >= 0) & (row < grid.rows) & (col >= 0) & (col < grid.cols) & (row % 1 == 0) & (col % 1 == 0)
    row, col = (np.where(inside, value, 0).astype(np.intp) for value in (row, col))
    x, y = col * grid.stride_x, row * grid.stride_y
    x2, y2 = np.minimum(x + tile[0], grid.scene_width), np.minimum(y + tile[1], grid.scene_height)
    cell = np.column_stack([x, y, x2, y2]).astype(np.float64)
    close = _TOLERANCE * np.concatenate([tile, tile])
    centre = np.column_stack([cell[:, [0, 2]].mean(axis=1), cell[:, [1, 3]].mean(axis=1)])
    fraction = np.where(found.areas > 0, found.areas / ((x2 - x) * (y2 - y)), 1.0)
    with np.errstate(invalid="ignore"):
        same = (np.abs(found.bounds - cell) <= close).all(axis=1) & (fraction >= _PART)
        middle = np.column_stack([left + right, top + bottom]) / 2
        same |= point & (np.abs(middle - centre) <= close[:2]).all(axis=1)
        out = found.bounds - cell
        within = (out[:, :2] >= -close[:2]).all(axis=1) & (out[:, 2:] <= close[2:]).all(axis=1) & ~point
        around = (out[:, :2] <= close[:2]).all(axis=1) & (out[:, 2:] >= -close[2:]).all(axis=1) & (fraction > 1)
    kinds = np.select(
        [same | (found.missing & named), within & (fraction <= 1), around], [TILE, PART, MERGED], MOVED
    ).astype(object)
    kinds[(kinds == MOVED) & ~named] = FOREIGN
    kinds[~inside] = FOREIGN
    return Matches(row, col, kinds, fraction)


def tile_size(found: Footprints, grid: Grid) -> tuple[int, int] | None:
    """Return the width and height in pixels that most features have; None if most have no area or are elsewhere."""
    left, top, right, bottom = found.bounds.T
    with np.errstate(invalid="ignore"):
        near = (right > 0) & (left < grid.scene_width) & (bottom > 0) & (top < grid.scene_height) & (found.areas > 0)
    if near.mean() <= _MOST:
        return None
    width, height = np.median((found.bounds[:, 2:] - found.bounds[:, :2])[near], axis=0)
    return max(1, round(float(width))), max(1, round(float(height)))


def named_cells(ids: Sequence[object], places: Sequence[GridPlace]) -> npt.NDArray[np.float64]:
    """Return the scene, row and column that each tile id names, [n, 3]; nan for what is not such an id.

    The scene is nan for the id of another scene.
    """
    number = {place.stem: index for index, place in enumerate(places)}
    cells = np.full((len(ids), 3), np.nan)
    for index, one in enumerate(ids):
        match str(one).rsplit("/", 2):
            case [stem, row, col] if row.isdecimal() and col.isdecimal():
                cells[index] = (number.get(stem, np.nan), int(row), int(col))
    return cells


def _near(parts: Polygons, place: GridPlace, circle: float) -> Polygons:
    """Shift geometries of a geographic CRS by full circles to the longitudes of a scene."""
    grid = place.grid
    centre = (place.transform @ (grid.scene_width / 2, grid.scene_height / 2))[0]
    left, _, right, _ = shapely.bounds(parts).T
    with np.errstate(invalid="ignore"):
        turns = np.rint((centre - (left + right) / 2) / circle)
    for turn in np.unique(turns[np.isfinite(turns)]):
        if turn:
            chosen = turns == turn
            parts[chosen] = shapely.transform(parts[chosen], (np.array([turn * circle, 0.0])).__add__)
    return parts
