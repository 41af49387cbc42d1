"""The class of each cell of a grid, by the vector features that cover it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import Polygons
from bimors_cli.training.examples.vector_features import Kind

# Far below what a user can draw, far above rounding errors: a polygon drawn along a cell's edges covers it.
_EPSILON: Final = 1e-9
_BUFFER: Final = 1.0  # pixels, around a point and on both sides of a line
_CORNERS: Final = 500  # a polygon with more corners is halved before it is intersected with cells
_HALVINGS: Final = 20

NO_CLASS: Final = -1
NO_FEATURE: Final = -2


def label_cells(
    grid: Grid, kind: Kind, geometries: Polygons, classes: npt.NDArray[np.intp], count: int, min_overlap: float
) -> npt.NDArray[np.intp]:
    """Give each cell the class that covers most of it.

    For polygons, the fraction of a class in a cell is intersection over cell: the area that all polygons of the class
    together cover, divided by the area of the cell, which is clipped to the scene. Lines are buffered by one pixel on
    both sides; their fraction is the length in the cell divided by the cell's shorter side. Points are buffered by one
    pixel; any cell that a disk intersects counts, whatever `min_overlap` is. Of the classes with a fraction of at least
    `min_overlap`, and above 0, the one with the largest fraction wins; of equal ones the first class.

    Parameters
    ----------
    grid : Grid
        The cells.
    kind : {"polygons", "lines", "points"}
        Type of all geometries.
    geometries : object array [n] of shapely geometry
        Valid, in pixels of the scene.
    classes : int array [n]
        Their classes, 0 to ``count - 1``.
    count : int
        Number of classes.
    min_overlap : float
        0..1.

    Returns
    -------
    int array [cells]
        The class; `NO_CLASS` if no class covers enough, `NO_FEATURE` if no feature intersects the cell.
    """
    cells = cell_boxes(grid)
    tree = shapely.STRtree(cells)
    areas = np.column_stack([covered_areas(tree, dissolve(kind, geometries[classes == i])) for i in range(count)])
    left, top, right, bottom = shapely.bounds(cells).T
    if kind == "polygons":
        whole = (right - left) * (bottom - top)
    elif kind == "lines":
        whole = 2 * _BUFFER * np.minimum(right - left, bottom - top)
    else:
        whole = np.full(len(cells), np.pi * _BUFFER**2)
    # Rounded, so that halves that differ in the last bit are equal.
    fractions = np.round(areas / whole[:, None], 9)
    least = 0.0 if kind == "points" else min_overlap - _EPSILON
    qualified = np.where((fractions >= least) & (fractions > 0), fractions, -1)
    best = qualified.argmax(axis=1)  # the first of equal ones
    result = np.where(qualified.max(axis=1) > 0, best, NO_CLASS)
    result[~(fractions > 0).any(axis=1)] = NO_FEATURE
    return result


def cell_boxes(grid: Grid) -> Polygons:
    """Return the cells as boxes in pixels, row by row."""
    x, y = np.arange(grid.cols) * grid.stride_x, np.arange(grid.rows) * grid.stride_y
    right = np.minimum(x + grid.tile_width, grid.scene_width)
    bottom = np.minimum(y + grid.tile_height, grid.scene_height)
    lefts, tops = np.meshgrid(x, y)
    rights, bottoms = np.meshgrid(right, bottom)
    return np.asarray(shapely.box(lefts.ravel(), tops.ravel(), rights.ravel(), bottoms.ravel()), object)


def dissolve(kind: Kind, geometries: Polygons) -> Polygons:
    """Merge features of one class to polygons that do not overlap."""
    parts = shapely.get_parts(shapely.union_all(to_areas(kind, geometries)))
    return np.asarray(parts[shapely.get_type_id(parts) == 3], object)


def to_areas(kind: Kind, geometries: Polygons) -> Polygons:
    """Buffer points and lines; return polygons as they are."""
    if kind == "lines":
        # Flat ends: a line that ends at a cell's edge is not in the next cell.
        return np.asarray(shapely.buffer(geometries, _BUFFER, cap_style="flat"), object)
    if kind == "points":
        return np.asarray(shapely.buffer(geometries, _BUFFER), object)
    return geometries


def covered_areas(cells: shapely.STRtree, parts: Polygons) -> npt.NDArray[np.float64]:
    """Return the area that the parts cover of each cell of a tree, in squared units; parts must not overlap."""
    found = np.zeros(len(cells.geometries))
    if not len(parts):
        return found
    parts = _halved(parts)
    shapely.prepare(parts)
    part, cell = cells.query(parts, predicate="intersects")
    boxes = cells.geometries[cell]
    area = shapely.area(boxes)
    # Most cells of a large polygon are within it: testing the prepared polygon is far cheaper than intersecting it.
    border = np.flatnonzero(~shapely.covers(parts[part], boxes))
    area[border] = shapely.area(shapely.intersection(parts[part[border]], boxes[border]))
    np.add.at(found, cell, area)
    return found


def _halved(parts: Polygons) -> Polygons:
    """Halve large polygons repeatedly: the cost of an intersection grows with the number of corners."""
    for _ in range(_HALVINGS):
        large = shapely.get_num_coordinates(parts) > _CORNERS
        if not large.any():
            break
        left, bottom, right, top = shapely.bounds(parts[large]).T
        wide = right - left > top - bottom
        x, y = (left + right) / 2, (bottom + top) / 2
        one = shapely.box(left, bottom, np.where(wide, x, right), np.where(wide, top, y))
        other = shapely.box(np.where(wide, x, left), np.where(wide, bottom, y), right, top)
        halves = shapely.intersection(np.tile(parts[large], 2), np.concatenate([one, other]))
        # Twice: a collection of polygons and lines may hold a multipolygon.
        pieces = shapely.get_parts(shapely.get_parts(halves))
        parts = np.concatenate([parts[~large], pieces[shapely.get_type_id(pieces) == 3]])
    return parts
