"""Neighbours on the map, against a search tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.refine import grid_neighbours as module
from bimors_cli.refine.grid_neighbours import NONE, map_neighbours
from bimors_cli.scene.grid import Grid


@pytest.mark.parametrize("block", [1, 7, 2**17])
@given(data=st.data())
def test_tiles_that_touch_and_were_answered(block: int, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    grid = Grid(width * 4, height * 4, 4, 4, 4, 4)
    answered = np.array(data.draw(st.lists(st.booleans(), min_size=len(grid), max_size=len(grid))))
    first = data.draw(st.integers(0, 5))  # rows of earlier scenes
    rows = np.where(answered, first + np.cumsum(answered) - 1, NONE)
    module._TILES_AT_ONCE, before = block, module._TILES_AT_ONCE
    try:
        found = np.concatenate(list(map_neighbours(rows.reshape(grid.rows, grid.cols))))
    finally:
        module._TILES_AT_ONCE = before
    places = {(tile.row, tile.col): int(row) for tile, row in zip(grid, rows, strict=True) if row != NONE}
    assert found.shape == (len(places), 8) and found.dtype == np.int64
    for (row, col), mine, near in zip(places, places.values(), found, strict=True):
        around = {places.get((row + y, col + x), NONE) for y in (-1, 0, 1) for x in (-1, 0, 1)} - {mine, NONE}
        assert set(near.tolist()) - {NONE} == around and len(near[near != NONE]) == len(around)


def test_a_corner_between_two_holes_is_a_touch_and_a_row_of_holes_is_none() -> None:
    # 0 .
    # . 1
    # (nothing)
    diagonal = np.array([[0, NONE], [NONE, 1], [NONE, NONE]])
    assert [sorted(set(near)) for near in next(map_neighbours(diagonal)).tolist()] == [[NONE, 1], [NONE, 0]]
    apart = np.array([[0, 1], [NONE, NONE], [2, 3]])
    assert [sorted(set(near)) for near in next(map_neighbours(apart)).tolist()] == [
        [NONE, 1], [NONE, 0], [NONE, 3], [NONE, 2],
    ]  # fmt: skip
