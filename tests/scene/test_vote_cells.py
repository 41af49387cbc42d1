"""The cells that overlapping tiles share, against pixels that are counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.scene.vote_cells import cell_valid_fractions, cells_of, cells_per_tile, tiles_overlapping, whole_cells
from tests.scene.reading import reader_of, rgb


@st.composite
def grids(draw: st.DrawFn, most: int = 40) -> Grid:
    width, height, tile_width, tile_height = (draw(st.integers(1, most)) for _ in range(4))
    steps = draw(st.integers(1, tile_width)), draw(st.integers(1, tile_height))
    return Grid(width, height, tile_width, tile_height, *steps)


def pixels(tile: Tile) -> set[tuple[int, int]]:
    return {(y, x) for y in range(tile.y, tile.y + tile.height) for x in range(tile.x, tile.x + tile.width)}


@given(grids(12))
def test_what_tiles_hold_and_cover(grid: Grid) -> None:
    cells = cells_of(grid)
    assert set().union(*map(pixels, cells)) == set().union(*map(pixels, grid))
    for tile in grid:
        inside = pixels(tile)
        whole = {(cell.row, cell.col) for cell in cells if pixels(cell) <= inside}
        rows, cols = whole_cells(grid, tile)
        assert whole == {(tile.row + y, tile.col + x) for y in range(rows) for x in range(cols)}
        touched = {(cell.row, cell.col) for cell in cells if pixels(cell) & inside}
        high, wide = cells_per_tile(grid)
        assert all(0 <= row - tile.row < high and 0 <= col - tile.col < wide for row, col in touched)
    # Each cell has a tile that begins with it, or is whole_cells by the last one.
    for cell in cells:
        assert pixels(cell) <= pixels(grid.tile(min(cell.row, grid.rows - 1), min(cell.col, grid.cols - 1)))


@given(grids(12), st.data())
def test_tiles_that_cover_a_chosen_cell(grid: Grid, data: st.DataObject) -> None:
    cells = list(cells_of(grid))
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells))))
    wanted = set().union(*(pixels(cell) for cell, here in zip(cells, chosen, strict=True) if here), set())
    assert tiles_overlapping(grid, chosen).tolist() == [bool(pixels(tile) & wanted) for tile in grid]


@given(grids(), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_shares_of_cells_are_those_of_their_pixels(grid: Grid, seed: int, density: float) -> None:
    scene = np.random.default_rng(seed).random((grid.scene_height, grid.scene_width)) < density
    cells = cells_of(grid)
    for tile in grid:
        share = scene[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].astype(np.float32)
        found = cell_valid_fractions(grid, tile, share)
        assert found.shape == whole_cells(grid, tile)
        for (y, x), value in np.ndenumerate(found):
            cell = cells.tile(tile.row + y, tile.col + x)
            part = scene[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width]
            assert value == part.mean(dtype=np.float64)  # to the last bit: --min-valid is compared with it


@given(grids(), st.data())
def test_nothing_and_everything_are_exact_in_a_reduced_picture(grid: Grid, data: st.DataObject) -> None:
    for tile in grid:
        shape = data.draw(st.integers(1, tile.height)), data.draw(st.integers(1, tile.width))
        assert (cell_valid_fractions(grid, tile, np.zeros(shape, np.float32)) == 0).all()
        assert (cell_valid_fractions(grid, tile, np.ones(shape, np.float32)) == 1).all()


def test_a_pixel_of_a_reduced_picture_is_spread_over_what_it_stands_for() -> None:
    grid = Grid(12, 12, 12, 12, 4, 12)
    share = np.array([[0.5, 1.0]], np.float32)  # columns 0 to 5, and 6 to 11
    np.testing.assert_allclose(cell_valid_fractions(grid, grid[0], share), [[0.5, 0.75, 1.0]])


def stepping(path: str, tile: int, step: int) -> SceneReader:
    plain = reader_of(path, tile, nodata=Nodata("value", 0))
    grid = Grid(plain.info.width, plain.info.height, tile, tile, step, step)
    return SceneReader(plain.info, grid, plain.bands, plain.stretch, plain.nodata)


@pytest.mark.parametrize("limit", [1000, 20])
def test_a_tile_that_is_read_tells_of_its_cells_when_it_is_asked(make_raster, limit: int) -> None:  # type: ignore[no-untyped-def]
    data = rgb(60, 60)
    data[:, :20, :20] = 0
    data[:, 40:, 40:50] = 0
    with stepping(make_raster(data), 40, 20) as reader:
        assert read_tile(reader, reader.grid[0], limit).cells is None
        one, other, third, last = (read_tile(reader, tile, limit, cells=True).cells for tile in reader.grid)
    assert one is not None and one.tolist() == [[0, 1], [1, 1]]
    assert other is None and third is None  # full of data
    assert last is not None and last.tolist() == [[1, 1], [1, 0.5]]
