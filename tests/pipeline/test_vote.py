"""Votes on cells, against a count pixel by pixel with made-up answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import JournalError
from bimors_cli.pipeline.tile_result import PROBABILITIES, TileResult
from bimors_cli.pipeline.vote import NO_ROW, VoteAccumulator, pack_cells
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.vote_cells import cell_valid_fractions, cells_of, whole_cells
from tests.scene.test_vote_cells import grids

LABELS = 3
FATES = [None, None, None, "low_confidence", "nodata", "read_error", "model_error"]


class Scene:
    """Made-up answers of all tiles of a grid over a made-up mask of data."""

    def __init__(self, grid: Grid, seed: int, density: float, min_valid: float) -> None:
        random = np.random.default_rng(seed)
        self.grid, self.min_valid = grid, min_valid
        self.mask = random.random((grid.scene_height, grid.scene_width)) < density
        self.shares = random.dirichlet(np.ones(LABELS), len(grid)).astype(np.float32)
        self.fates = [FATES[i] for i in random.integers(0, len(FATES), len(grid))]
        self.records = []
        self.rows: list[int] = []
        answers = []
        for index, (tile, fate) in enumerate(zip(grid, self.fates, strict=True)):
            part = self.part(tile)
            enough = cell_valid_fractions(grid, tile, part.astype(np.float32))
            cells = None if fate == "read_error" else pack_cells(enough, min_valid)
            answered = fate in (None, "low_confidence")
            shares = self.shares[index].astype(PROBABILITIES).tobytes() if answered else None
            self.records.append(TileResult(0, index, fate, probability_bytes=shares, valid_cells=cells))
            self.rows.append(len(answers) if answered else NO_ROW)
            if answered:
                answers.append(self.shares[index])
        self.answers = np.array(answers, np.float32).reshape(-1, LABELS)

    def part(self, tile: Tile) -> np.ndarray:
        return self.mask[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]

    def expected(self, cell: Tile) -> tuple[str | None, np.ndarray | None, int]:
        pixels = np.zeros(len(self.grid))
        holds, near = [], []
        for index, tile in enumerate(self.grid):
            wide = min(cell.x + cell.width, tile.x + tile.width) - max(cell.x, tile.x)
            high = min(cell.y + cell.height, tile.y + tile.height) - max(cell.y, tile.y)
            if wide > 0 and high > 0:
                pixels[index] = wide * high
                if (wide, high) == (cell.width, cell.height):
                    holds.append(self.fates[index] != "read_error")
        share = self.part(cell).mean(dtype=np.float64)
        if any(holds) and (share < self.min_valid or share == 0):
            return "nodata", None, NO_ROW
        covering = {self.fates[i] for i in np.flatnonzero(pixels)}
        if not any(holds):
            return "read_error", None, NO_ROW
        votes = np.array([row != NO_ROW for row in self.rows]) * pixels
        if not votes.any():
            return next(r for r in ("read_error", "model_error", "nodata") if r in covering), None, NO_ROW
        for index in np.flatnonzero(votes):
            tile = self.grid[int(index)]
            x = tile.x + tile.width / 2 - cell.x - cell.width / 2
            y = tile.y + tile.height / 2 - cell.y - cell.height / 2
            near.append((x * x + y * y, int(index)))
        mean = (votes[:, None] * self.shares.astype(np.float64)).sum(axis=0) / votes.sum()
        return None, mean, self.rows[min(near)[1]]


def votes_of(scene: Scene) -> VoteAccumulator:
    accumulator = VoteAccumulator(scene.grid)
    for record, row in zip(scene.records, scene.rows, strict=True):
        accumulator.add(record, row)
    return accumulator


@given(grids(14), st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.7, 1.0]), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_mean_of_the_tiles_that_cover_a_cell(grid: Grid, seed: int, density: float, min_valid: float) -> None:
    scene = Scene(grid, seed, density, min_valid)
    cells = cells_of(grid)
    found = list(votes_of(scene).count(np.arange(len(cells)), scene.answers))
    reasons = [reason for votes in found for reason in votes.reasons]
    assert len(reasons) == len(cells)
    shares = np.concatenate([votes.probabilities for votes in found])
    nearest = np.concatenate([votes.nearest for votes in found])
    for cell, reason, share, near in zip(cells, reasons, shares, nearest, strict=True):
        says, mean, caption = scene.expected(cell)
        assert reason == says
        if mean is not None:
            np.testing.assert_allclose(share, mean, atol=1e-12)
            assert near == caption and share.sum() == pytest.approx(1, abs=1e-6)
            # Never a label where there is no data.
            assert scene.part(cell).any() and scene.part(cell).mean(dtype=np.float64) >= min_valid


@given(grids(14), st.integers(0, 2**32 - 1))
def test_some_cells_get_the_answers_that_all_get(grid: Grid, seed: int) -> None:
    scene = Scene(grid, seed, 0.8, 0.5)
    accumulator, cells = votes_of(scene), len(cells_of(grid))
    places = np.flatnonzero(np.random.default_rng(seed).random(cells) < 0.5)
    (whole,) = accumulator.count(np.arange(cells), scene.answers)
    some = list(accumulator.count(places, scene.answers))
    assert [reason for votes in some for reason in votes.reasons] == [whole.reasons[place] for place in places]
    for votes in some:
        np.testing.assert_array_equal(votes.probabilities, whole.probabilities[places])
        np.testing.assert_array_equal(votes.nearest, whole.nearest[places])


def test_blocks_are_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(Grid(40, 30, 8, 8, 3, 5), 0, 0.9, 0.5)
    accumulator, places = votes_of(scene), np.arange(len(cells_of(scene.grid)))
    (whole,) = accumulator.count(places, scene.answers)
    monkeypatch.setattr("bimors_cli.pipeline.vote._BLOCK_SIZE", 7 * LABELS)
    parts = list(accumulator.count(places, scene.answers))
    assert len(parts) == -(-len(places) // 7)
    np.testing.assert_array_equal(np.concatenate([part.probabilities for part in parts]), whole.probabilities)


def test_without_an_overlap_a_cell_is_its_tile() -> None:
    grid = Grid(40, 30, 8, 8, 8, 8)
    scene = Scene(grid, 3, 1.0, 0.5)
    (votes,) = votes_of(scene).count(np.arange(len(grid)), scene.answers)
    for index, (reason, share) in enumerate(zip(votes.reasons, votes.probabilities, strict=True)):
        if reason is None:
            np.testing.assert_array_equal(share.astype(np.float32), scene.shares[index])
        else:
            assert reason == scene.fates[index]


def test_a_voted_map_is_nearer_to_the_truth_than_tiles_are() -> None:
    """Tiles see shares of two classes, some wrongly; the boundary runs askew."""
    grid = Grid(960, 960, 96, 96, 24, 24)
    y, x = np.mgrid[:960, :960]
    truth = x + 0.3 * y + 60 * np.sin(y / 90) > 600
    random = np.random.default_rng(0)
    seen = np.array([truth[t.y : t.y + t.height, t.x : t.x + t.width].mean() for t in grid])
    seen = np.clip(seen + random.normal(0, 0.25, len(seen)), 0.01, 0.99)
    answers = np.stack([1 - seen, seen], axis=1).astype(np.float32)
    accumulator = VoteAccumulator(grid)
    for index in range(len(grid)):
        accumulator.add(TileResult(0, index, probability_bytes=b"1234"), index)
    cells = cells_of(grid)
    (votes,) = accumulator.count(np.arange(len(cells)), answers)
    voted = np.kron(votes.probabilities[:, 1].reshape(cells.rows, cells.cols) > 0.5, np.ones((24, 24), bool))
    plain = np.zeros_like(truth)
    coarse = Grid(960, 960, 96, 96, 96, 96)
    for tile in coarse:
        index = grid.index(grid.tile(tile.row * 4, tile.col * 4))
        plain[tile.y : tile.y + 96, tile.x : tile.x + 96] = seen[index] > 0.5
    right_voted, right_plain = (voted == truth).mean(), (plain == truth).mean()
    print(f"\nright: {right_voted:.4f} of the voted map, {right_plain:.4f} of the plain one")
    assert right_voted > right_plain + 0.02


def test_a_record_of_another_grid_is_refused() -> None:
    grid = Grid(64, 64, 32, 32, 8, 8)
    ballot = VoteAccumulator(grid)
    assert whole_cells(grid, grid[0]) == (4, 4)
    with pytest.raises(JournalError, match="not from this run"):
        ballot.add(TileResult(0, 0, valid_cells=b"1"), 0)
