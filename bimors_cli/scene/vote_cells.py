"""The cells of overlapping tiles: the scene divided at the strides of a grid.

Tile (row, col) starts where cell (row, col) does, contains it completely and overlaps some of the following cells. The
cells of the last rows and columns, where no further tile starts, are contained in the last tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimors_cli.scene.grid import Grid, Tile


def cells_of(grid: Grid) -> Grid:
    """Return the grid of the same scene with tiles of the size of the strides of ``grid``."""
    stride = (grid.stride_x, grid.stride_y)
    return Grid(grid.scene_width, grid.scene_height, *stride, *stride)


def cells_per_tile(grid: Grid) -> tuple[int, int]:
    """Return the largest number of rows and columns of cells that a tile overlaps."""
    return -(-grid.tile_height // grid.stride_y), -(-grid.tile_width // grid.stride_x)


def whole_cells(grid: Grid, tile: Tile) -> tuple[int, int]:
    """Return the number of rows and columns of cells that a tile contains completely, from its first pixel on."""
    return (
        _count_whole(tile.y, tile.height, grid.stride_y, grid.scene_height),
        _count_whole(tile.x, tile.width, grid.stride_x, grid.scene_width),
    )


def tiles_overlapping(grid: Grid, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which tiles overlap any of the chosen cells.

    Parameters
    ----------
    grid : Grid
        The tiles.
    chosen : bool array [cells]
        The chosen cells, in the order of `cells_of`.

    Returns
    -------
    bool array [tiles]
        True for tiles that overlap a chosen cell, in the order of the grid.
    """
    cells = cells_of(grid)
    rows, cols = cells_per_tile(grid)
    wanted = chosen.reshape(cells.rows, cells.cols)
    for axis, count, far in ((0, grid.rows, rows), (1, grid.cols, cols)):
        found = np.zeros_like(wanted.take(range(count), axis))
        for step in range(far):
            # The last tile, clipped at the edge of the scene, has fewer cells.
            part = wanted.take(range(step, min(count + step, wanted.shape[axis])), axis)
            found[tuple(map(slice, part.shape))] |= part
        wanted = found
    return wanted.reshape(-1)


def cell_valid_fractions(grid: Grid, tile: Tile, valid_fraction: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the fraction of valid pixels of each cell that a tile contains completely.

    Parameters
    ----------
    grid : Grid
        The tiles.
    tile : Tile
        One of the tiles.
    valid_fraction : float array [h, w]
        Valid fraction of each pixel of the tile's image, which may be smaller than the tile.

    Returns
    -------
    float array [rows, cols] of `whole_cells`
        0..1, exactly 0 without valid pixels and exactly 1 if all are valid. If the image is smaller than the tile, the
        valid fraction of its pixels is taken to be uniform within each.
    """
    rows, cols = whole_cells(grid, tile)
    down = _pixel_weights(rows, grid.stride_y, tile.height, valid_fraction.shape[0])
    along = _pixel_weights(cols, grid.stride_x, tile.width, valid_fraction.shape[1])
    valid = down @ valid_fraction.astype(np.float64) @ along.T
    invalid = down @ (1 - valid_fraction.astype(np.float64)) @ along.T
    return valid / (valid + invalid)


def _count_whole(begin: int, length: int, stride: int, scene: int) -> int:
    return -(-length // stride) if begin + length == scene else length // stride


def _pixel_weights(count: int, step: int, length: int, pixels: int) -> npt.NDArray[np.float64]:
    """Return [cells, pixels]: the length of each cell in each pixel of the image, in pixels of the scene."""
    begin = np.arange(count)[:, None] * step
    edges = np.arange(pixels + 1) * length / pixels
    common: npt.NDArray[np.float64] = np.minimum(np.minimum(begin + step, length), edges[1:])
    common -= np.maximum(begin, edges[:-1])
    return common.clip(min=0)
