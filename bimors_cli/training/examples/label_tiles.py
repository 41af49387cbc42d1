"""Which class a cell of the grid shows, by the features that cover it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import Polygons
from bimors_cli.training.examples.vector_features import Kind

# Far below what a user can draw, far above what rounding leaves: a polygon drawn along a cell's edges covers it.
_EPSILON: Final = 1e-9
_BUFFER: Final = 1.0  # pixels around a point, and to both sides of a line
_CORNERS: Final = 500  # a polygon of more is halved before it is cut by cells
_HALVINGS: Final = 20

NO_CLASS: Final = -1
UNREACHED: Final = -2


def label_cells(
    grid: Grid, kind: Kind, geometries: Polygons, classes: npt.NDArray[np.intp], count: int, min_overlap: float
) -> npt.NDArray[np.intp]:
    """Give each cell the class that covers most of it.

    The share of a class in a cell is, for polygons, intersection over cell: what all polygons of the class together
    cover of the cell's area, the cell clipped to the scene. Lines become strips by a buffer of a pixel to both sides;
    their share is the length in the cell over the cell's shorter side. Points become disks of one pixel's radius; a
    cell counts that a disk reaches into, whatever `min_overlap` is. Of the classes with a share of at least
    `min_overlap`, and above 0, the one with the largest wins; of equals the first in the order of the classes.

    Parameters
    ----------
    grid : Grid
        The cells.
    kind : {"polygons", "lines", "points"}
        What the geometries are.
    geometries : object array [n] of shapely geometry
        Valid, in pixels of the scene.
    classes : int array [n]
        Their classes, 0 to ``count - 1``.
    count : int
        How many classes there are.
    min_overlap : float
        0..1.

    Returns
    -------
    int array [cells]
        The class; `NO_CLASS` where none covers enough, `UNREACHED` where no feature reaches at all.
    """
    cells = _cells(grid)
    tree = shapely.STRtree(cells)
    areas = np.column_stack([covered(tree, joined(kind, geometries[classes == i])) for i in range(count)])
    left, top, right, bottom = shapely.bounds(cells).T
    if kind == "polygons":
        whole = (right - left) * (bottom - top)
    elif kind == "lines":
        whole = 2 * _BUFFER * np.minimum(right - left, bottom - top)
    else:
        whole = np.full(len(cells), np.pi * _BUFFER**2)
    # Rounded, so that halves that differ in the last bit are equal.
    shares = np.round(areas / whole[:, None], 9)
    least = 0.0 if kind == "points" else min_overlap - _EPSILON
    qualified = np.where((shares >= least) & (shares > 0), shares, -1)
    best = qualified.argmax(axis=1)  # the first of equals
    result = np.where(qualified.max(axis=1) > 0, best, NO_CLASS)
    result[~(shares > 0).any(axis=1)] = UNREACHED
    return result


def _cells(grid: Grid) -> Polygons:
    """Return the cells as boxes in pixels, row by row."""
    x, y = np.arange(grid.cols) * grid.stride_x, np.arange(grid.rows) * grid.stride_y
    right = np.minimum(x + grid.tile_width, grid.scene_width)
    bottom = np.minimum(y + grid.tile_height, grid.scene_height)
    lefts, tops = np.meshgrid(x, y)
    rights, bottoms = np.meshgrid(right, bottom)
    return np.asarray(shapely.box(lefts.ravel(), tops.ravel(), rights.ravel(), bottoms.ravel()), object)


def joined(kind: Kind, geometries: Polygons) -> Polygons:
    """Return the area that features of one class cover together, as polygons that do not overlap."""
    if kind == "lines":
        # Flat ends: a line that ends at a cell's edge is not in the next cell.
        geometries = shapely.buffer(geometries, _BUFFER, cap_style="flat")
    elif kind == "points":
        geometries = shapely.buffer(geometries, _BUFFER)
    parts = shapely.get_parts(shapely.union_all(geometries))
    return np.asarray(parts[shapely.get_type_id(parts) == 3], object)


def covered(cells: shapely.STRtree, parts: Polygons) -> npt.NDArray[np.float64]:
    """Return how much of each cell of a tree the parts cover, in the square of their unit; they must not overlap."""
    found = np.zeros(len(cells.geometries))
    if not len(parts):
        return found
    parts = _halved(parts)
    shapely.prepare(parts)
    part, cell = cells.query(parts, predicate="intersects")
    boxes = cells.geometries[cell]
    area = shapely.area(boxes)
    # Most cells of a large polygon lie within it: asked of the prepared polygon, this is far cheaper than to cut it.
    border = np.flatnonzero(~shapely.covers(parts[part], boxes))
    area[border] = shapely.area(shapely.intersection(parts[part[border]], boxes[border]))
    np.add.at(found, cell, area)
    return found


def _halved(parts: Polygons) -> Polygons:
    """Halve large polygons, and their halves: to cut a cell out of one costs as much as that has corners."""
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
