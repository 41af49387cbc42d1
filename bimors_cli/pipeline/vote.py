"""Overlapping tiles vote on the cells that they share: what a cell may say, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import JournalError
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.vote_cells import cells_of, cells_per_tile, whole_cells

NOBODY: Final = -1
# Why a cell has no answer: the first of these that is true of a tile that covers it.
REASONS: Final = ("read_error", "model_error", "nodata")
_ANSWERED: Final = len(REASONS)
_ABSENT: Final = _ANSWERED + 1
_UNREAD, _TOO_LITTLE, _ENOUGH = range(3)

_NUMBERS_AT_ONCE: Final = 2**20  # cells times labels: 8 MiB


def pack_cells(shares: npt.NDArray[np.float64], min_valid: float) -> bytes | None:
    """Return which cells of a tile hold enough data as a record keeps it; see `TileRecord.cells`."""
    enough = (shares >= min_valid) & (shares > 0)
    return None if enough.all() else np.packbits(enough).tobytes()


@dataclass(frozen=True)
class Votes:
    """What the tiles say of n cells.

    ``places`` int64 [n] are those of the cells. ``shares`` float64 [n, K] are their probabilities, undefined where
    there is a reason. ``nearest`` int64 [n] is the row of the answer of the tile whose centre is nearest. ``reasons``
    has n reasons, None for an answer.
    """

    places: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.int64]
    reasons: list[str | None]


class VoteAccumulator:
    """The cells of one scene, and what is known of them from its tiles: 10 bytes a tile."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._cells = cells_of(grid)
        self._rows = np.full(len(grid), NOBODY, np.int64)
        self._fates = np.full(len(grid), _ABSENT, np.uint8)
        self._data = np.full((self._cells.rows, self._cells.cols), _UNREAD, np.uint8)

    def add(self, record: TileResult, row: int) -> None:
        """Take in a tile of the scene, in the order of the grid; ``row`` is where its answer is kept, if it has one.

        Raises
        ------
        JournalError
            The record is not of this grid.
        """
        if record.reason == "outside_aoi":
            return
        self._rows[record.index] = NOBODY if record.shares is None else row
        if record.shares is not None:
            self._fates[record.index] = _ANSWERED
        elif record.reason in REASONS:
            self._fates[record.index] = REASONS.index(record.reason)
        if record.reason == "read_error":
            return
        tile = self._grid[record.index]
        rows, cols = whole_cells(self._grid, tile)
        # Tiles may differ in what they say of a cell, by how their pictures are reduced. The last one begins with it.
        self._data[tile.row : tile.row + rows, tile.col : tile.col + cols] = _unpacked(record, rows, cols)

    def count(self, places: npt.NDArray[np.int64], shares: npt.NDArray[Any]) -> Iterator[Votes]:
        """Count the votes for cells, block by block.

        The probabilities of a cell are the mean of those of the answered tiles that cover it, weighted by how much of
        the cell each covers. A cell has no answer where its own share of data is too small, where no tile that holds it
        as a whole could be read, and where no tile that covers it has an answer. Of tiles whose centres are equally
        near, in pixels, the earlier counts as the nearest.

        Parameters
        ----------
        places : int64 array
            Which cells.
        shares : float array [N, K]
            The answers of all tiles of the run.
        """
        block = max(1, _NUMBERS_AT_ONCE // shares.shape[1])
        for begin in range(0, len(places), block):
            yield self._count(places[begin : begin + block], shares)

    def _count(self, places: npt.NDArray[np.int64], shares: npt.NDArray[Any]) -> Votes:
        grid, size = self._grid, len(places)
        row, col = np.divmod(places, self._cells.cols)
        total, weight = np.zeros((size, shares.shape[1])), np.zeros(size, np.int64)
        nearest, distance = np.full(size, NOBODY), np.full(size, np.iinfo(np.int64).max)
        fate = np.full(size, _ABSENT, np.uint8)
        rows, cols = cells_per_tile(grid)
        # From the farthest to the cell's own: in the order of the grid.
        for back in reversed(range(rows)):
            high, down = _meet(row, row - back, grid.rows, grid.stride_y, grid.tile_height, grid.scene_height)
            for left in reversed(range(cols)):
                wide, right = _meet(col, col - left, grid.cols, grid.stride_x, grid.tile_width, grid.scene_width)
                covers = np.flatnonzero(high * wide)
                tile = ((row - back) * grid.cols + col - left)[covers]
                fate[covers] = np.minimum(fate[covers], self._fates[tile])
                answered = self._rows[tile] != NOBODY
                voted, answer = covers[answered], self._rows[tile[answered]]
                area = (high * wide)[voted]
                total[voted] += area[:, None] * shares[answer]
                weight[voted] += area
                away = (down**2 + right**2)[voted]
                nearer = away < distance[voted]
                nearest[voted[nearer]], distance[voted[nearer]] = answer[nearer], away[nearer]
        total /= np.maximum(weight, 1)[:, None]
        return Votes(places, total, nearest, self._reasons(self._data.flat[places], weight, fate))

    @staticmethod
    def _reasons(
        data: npt.NDArray[np.uint8], weight: npt.NDArray[np.int64], fate: npt.NDArray[np.uint8]
    ) -> list[str | None]:
        reasons = np.full(len(data), None, object)
        unanswered = weight == 0
        reasons[unanswered] = np.array(REASONS, object)[np.minimum(fate[unanswered], len(REASONS) - 1)]
        reasons[data == _UNREAD] = "read_error"
        reasons[data == _TOO_LITTLE] = "nodata"
        return list(reasons)


def _meet(
    cell: npt.NDArray[np.int64], tile: npt.NDArray[np.int64], count: int, step: int, size: int, scene: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Along one axis: how many pixels of cells are in tiles, and twice how far their centres are apart."""
    end = np.minimum((cell + 1) * step, scene)
    tile_end = np.minimum(tile * step + size, scene)
    common = np.where((tile >= 0) & (tile < count), np.minimum(end, tile_end) - cell * step, 0)
    return np.maximum(common, 0), np.abs(cell * step + end - tile * step - tile_end)


def _unpacked(record: TileResult, rows: int, cols: int) -> npt.NDArray[np.uint8]:
    if record.cells is None:
        return np.full((rows, cols), _ENOUGH, np.uint8)
    if len(record.cells) != -(-rows * cols // 8):
        raise JournalError(f"tile {record.index} of scene {record.scene}: its record is not of this run")
    enough = np.unpackbits(np.frombuffer(record.cells, np.uint8), count=rows * cols).reshape(rows, cols)
    return np.where(enough, _ENOUGH, _TOO_LITTLE).astype(np.uint8)
