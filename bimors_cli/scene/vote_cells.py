"""The cells that overlapping tiles share: what the steps of a grid cut its scene into.

Tile (row, col) begins where cell (row, col) does and holds it as a whole, and covers some cells behind it. Those in the
last rows and columns, where no further tile begins, are held by the last tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimors_cli.scene.grid import Grid, Tile


def cells_of(grid: Grid) -> Grid:
    """Return the grid of the same scene whose tiles are as large as the step from one tile of ``grid`` to the next."""
    step = (grid.stride_x, grid.stride_y)
    return Grid(grid.scene_width, grid.scene_height, *step, *step)


def reach(grid: Grid) -> tuple[int, int]:
    """Return how many rows and columns of cells a tile covers at most, wholly or in part."""
    return -(-grid.tile_height // grid.stride_y), -(-grid.tile_width // grid.stride_x)


def held(grid: Grid, tile: Tile) -> tuple[int, int]:
    """Return how many rows and columns of cells lie in a tile as a whole, the first of them where it begins."""
    return (
        _held(tile.y, tile.height, grid.stride_y, grid.scene_height),
        _held(tile.x, tile.width, grid.stride_x, grid.scene_width),
    )


def covering(grid: Grid, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which tiles cover some of the cells that were chosen, wholly or in part.

    Parameters
    ----------
    grid : Grid
        The tiles.
    chosen : bool array [cells]
        In the order of `cells_of`.

    Returns
    -------
    bool array [tiles]
        In the order of the grid.
    """
    cells = cells_of(grid)
    rows, cols = reach(grid)
    wanted = chosen.reshape(cells.rows, cells.cols)
    for axis, count, far in ((0, grid.rows, rows), (1, grid.cols, cols)):
        found = np.zeros_like(wanted.take(range(count), axis))
        for step in range(far):
            # Where the last tile is cut off by the scene's edge there is no cell so far behind its first.
            part = wanted.take(range(step, min(count + step, wanted.shape[axis])), axis)
            found[tuple(map(slice, part.shape))] |= part
        wanted = found
    return wanted.reshape(-1)


def cell_shares(grid: Grid, tile: Tile, share: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return which share of each cell that lies in a tile as a whole holds data.

    Parameters
    ----------
    grid : Grid
        The tiles.
    tile : Tile
        One of them.
    share : float array [h, w]
        The share of data of each pixel of the tile's picture, which may be smaller than the tile.

    Returns
    -------
    float array [rows, cols] of `held`
        0..1, exactly 0 without and exactly 1 with nothing but data. As fine as the picture: where that is smaller than
        the tile, what a pixel holds is taken to be spread over it.
    """
    rows, cols = held(grid, tile)
    down = _parts(rows, grid.stride_y, tile.height, share.shape[0])
    along = _parts(cols, grid.stride_x, tile.width, share.shape[1])
    full = down @ share.astype(np.float64) @ along.T
    empty = down @ (1 - share.astype(np.float64)) @ along.T
    return full / (full + empty)


def _held(begin: int, length: int, step: int, scene: int) -> int:
    return -(-length // step) if begin + length == scene else length // step


def _parts(count: int, step: int, length: int, pixels: int) -> npt.NDArray[np.float64]:
    """Return [cells, pixels]: how much of each cell each pixel of the picture is, in pixels of the scene."""
    begin = np.arange(count)[:, None] * step
    edges = np.arange(pixels + 1) * length / pixels
    common: npt.NDArray[np.float64] = np.minimum(np.minimum(begin + step, length), edges[1:])
    common -= np.maximum(begin, edges[:-1])
    return common.clip(min=0)
