"""The grid covers the scene, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.scene.grid import Grid, Tile


@st.composite
def grids(draw: st.DrawFn, largest: int = 60) -> Grid:
    """Grids of any scene, tile and overlap."""
    scene_w, scene_h = (draw(st.integers(1, largest)) for _ in "xy")
    tile_w, tile_h = (draw(st.integers(1, largest + 20)) for _ in "xy")
    stride_x, stride_y = draw(st.integers(1, tile_w)), draw(st.integers(1, tile_h))
    return Grid(scene_w, scene_h, tile_w, tile_h, stride_x, stride_y)


@given(grids())
def test_tiles_cover_the_scene_and_nothing_else(grid: Grid) -> None:
    """Each pixel is in a tile, none outside; without overlap in exactly one."""
    hits = np.zeros((grid.scene_height, grid.scene_width), int)
    for tile in grid:
        assert tile.width >= 1 and tile.height >= 1
        part = hits[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        assert part.shape == (tile.height, tile.width)  # a window outside the scene would be cut by numpy
        part += 1
    assert hits.min() >= 1
    if (grid.stride_x, grid.stride_y) == (grid.tile_width, grid.tile_height):
        assert hits.max() == 1


@given(grids())
def test_no_tile_is_superfluous(grid: Grid) -> None:
    """The last column and row each add pixels that the ones before did not have."""
    last = grid.tile(grid.rows - 1, grid.cols - 1)
    assert last.x + last.width == grid.scene_width
    assert last.y + last.height == grid.scene_height
    if grid.cols > 1:
        assert grid.tile(0, grid.cols - 2).x + grid.tile_width < grid.scene_width
    if grid.rows > 1:
        assert grid.tile(grid.rows - 2, 0).y + grid.tile_height < grid.scene_height


@given(grids(largest=25))
def test_order_index_and_ids(grid: Grid) -> None:
    """Iteration is row-major, `index` and `[]` undo each other, ids are unique."""
    tiles = list(grid)
    assert len(tiles) == len(grid) == grid.rows * grid.cols
    assert [(t.row, t.col) for t in tiles] == [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    assert [grid.index(t) for t in tiles] == list(range(len(grid)))
    assert [grid[i] for i in range(len(grid))] == tiles
    assert len({t.id("s") for t in tiles}) == len(tiles)


@given(grids(), st.integers(1, 60), st.integers(1, 60))
def test_a_tile_does_not_move_when_the_scene_grows(grid: Grid, more_x: int, more_y: int) -> None:
    """Anchored at the first pixel: a longer scene changes no whole tile."""
    longer = Grid(
        grid.scene_width + more_x,
        grid.scene_height + more_y,
        grid.tile_width,
        grid.tile_height,
        grid.stride_x,
        grid.stride_y,
    )
    for tile in grid:
        same = longer.tile(tile.row, tile.col)
        assert (same.x, same.y) == (tile.x, tile.y)
        if (tile.width, tile.height) == (grid.tile_width, grid.tile_height):
            assert same == tile


def test_known_grid() -> None:
    """A scene of 10 x 7 in tiles of 4 with overlap 1, worked out by hand."""
    grid = Grid(10, 7, 4, 4, 3, 3)
    assert (grid.rows, grid.cols, len(grid)) == (2, 3, 6)
    assert list(grid)[2] == Tile(0, 2, 6, 0, 4, 4)
    assert list(grid)[5] == Tile(1, 2, 6, 3, 4, 4)
    assert Grid(11, 7, 4, 4, 4, 4).tile(1, 2) == Tile(1, 2, 8, 4, 3, 3)
    assert Grid(10, 7, 4, 4, 3, 3).tile(1, 2).id("scene") == "scene/1/2"
    window = Tile(1, 2, 8, 4, 3, 2).window
    assert (window.col_off, window.row_off, window.width, window.height) == (8, 4, 3, 2)


def test_a_large_grid_costs_nothing() -> None:
    """Length and any tile of a grid of a thousand million tiles are computed, not listed."""
    grid = Grid(2_000_000, 2_000_000, 64, 64, 60, 60)
    assert len(grid) == grid.rows * grid.cols > 10**9
    assert grid.index(grid[len(grid) - 1]) == len(grid) - 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((10, 10, 0, 4, 1, 1), "invalid tile size"),
        ((10, 10, 4, 0, 1, 1), "invalid tile size"),
        ((10, 10, 4, 4, 0, 4), "too large"),
        ((10, 10, 4, 4, 4, -1), "too large"),
        ((10, 10, 4, 4, 5, 4), "gaps"),
        ((0, 10, 4, 4, 4, 4), "scene"),
    ],
)
def test_refused(sizes: tuple[int, ...], message: str) -> None:
    """A grid without tiles, without steps or with gaps is not made."""
    with pytest.raises(InputError, match=message):
        Grid(*sizes)


def test_outside_the_grid() -> None:
    """No tile is made up beyond the last one."""
    grid = Grid(10, 10, 5, 5, 5, 5)
    for row, col in ((2, 0), (0, 2), (-1, 0)):
        with pytest.raises(IndexError):
            grid.tile(row, col)
    for index in (4, -1):
        with pytest.raises(IndexError):
            grid[index]
        with pytest.raises(IndexError):
            grid.take([0, index])


def test_many_tiles_are_those_of_one_after_the_other() -> None:
    grid = Grid(23, 17, 5, 4, 4, 3)
    assert grid.take(range(len(grid))) == list(grid) == [grid[index] for index in range(len(grid))]
    assert grid.take([7, 0, 7]) == [grid[7], grid[0], grid[7]] and grid.take([]) == []
