"""Overlapping tiles vote on the labels of the cells that they share."""

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

NO_ROW: Final = -1
# Reasons of a cell without a label: the first one that a tile over the cell has.
REASONS: Final = ("read_error", "model_error", "nodata")
_LABELLED: Final = len(REASONS)
_ABSENT: Final = _LABELLED + 1
_UNREAD, _TOO_LITTLE, _ENOUGH = range(3)

_BLOCK_SIZE: Final = 2**20  # cells times labels: 8 MiB


def pack_cells(valid_fractions: npt.NDArray[np.float64], min_valid: float) -> bytes | None:
    """Return `TileResult.valid_cells` of a tile, from the valid fraction of each of its cells."""
    enough = (valid_fractions >= min_valid) & (valid_fractions > 0)
    return None if enough.all() else np.packbits(enough).tobytes()


@dataclass(frozen=True)
class CellVotes:
    """The result of the vote on n cells.

    ``indices`` int64 [n] are those of the cells. ``probabilities`` float64 [n, K] are undefined where there is a
    reason. ``nearest`` int64 [n] is the row of the labelled tile whose centre is nearest. ``reasons`` has n reasons,
    None for a cell with a label.
    """

    indices: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.int64]
    reasons: list[str | None]


class VoteAccumulator:
    """Collects the tiles of one scene, and computes the votes on its cells; takes 10 bytes per tile."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._cells = cells_of(grid)
        self._rows = np.full(len(grid), NO_ROW, np.int64)
        self._tile_states = np.full(len(grid), _ABSENT, np.uint8)
        self._cell_states = np.full((self._cells.rows, self._cells.cols), _UNREAD, np.uint8)

    def add(self, result: TileResult, row: int) -> None:
        """Add a tile of the scene, in grid order; ``row`` is the row of its probabilities, if it is labelled.

        Raises
        ------
        JournalError
            The result does not fit this grid.
        """
        if result.reason == "outside_aoi":
            return
        self._rows[result.index] = NO_ROW if result.probability_bytes is None else row
        if result.probability_bytes is not None:
            self._tile_states[result.index] = _LABELLED
        elif result.reason in REASONS:
            self._tile_states[result.index] = REASONS.index(result.reason)
        if result.reason == "read_error":
            return
        tile = self._grid[result.index]
        rows, cols = whole_cells(self._grid, tile)
        # Valid fractions of a cell may differ by tile, as each image is resampled. The last tile starts with the cell.
        self._cell_states[tile.row : tile.row + rows, tile.col : tile.col + cols] = _unpack(result, rows, cols)

    def count(self, indices: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> Iterator[CellVotes]:
        """Count the votes on cells, block by block.

        The probabilities of a cell are the mean of those of the labelled tiles over it, weighted by the area of the
        cell that each covers. A cell has no label if its own valid fraction is too small, if no tile that contains the
        whole cell could be read, or if no tile over it has a label. Of tiles whose centres are equally near, in pixels,
        the earlier counts as the nearest.

        Parameters
        ----------
        indices : int64 array
            Cells to vote on.
        probabilities : float array [N, K]
            Probabilities of all labelled tiles of the run.
        """
        block = max(1, _BLOCK_SIZE // probabilities.shape[1])
        for begin in range(0, len(indices), block):
            yield self._count(indices[begin : begin + block], probabilities)

    def _count(self, indices: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> CellVotes:
        grid, size = self._grid, len(indices)
        row, col = np.divmod(indices, self._cells.cols)
        total, weight = np.zeros((size, probabilities.shape[1])), np.zeros(size, np.int64)
        nearest, distance = np.full(size, NO_ROW), np.full(size, np.iinfo(np.int64).max)
        state = np.full(size, _ABSENT, np.uint8)
        rows, cols = cells_per_tile(grid)
        # From the farthest tile to the cell's own: in grid order.
        for up in reversed(range(rows)):
            high, down = _overlap(row, row - up, grid.rows, grid.stride_y, grid.tile_height, grid.scene_height)
            for left in reversed(range(cols)):
                wide, right = _overlap(col, col - left, grid.cols, grid.stride_x, grid.tile_width, grid.scene_width)
                covers = np.flatnonzero(high * wide)
                tile = ((row - up) * grid.cols + col - left)[covers]
                state[covers] = np.minimum(state[covers], self._tile_states[tile])
                labelled = self._rows[tile] != NO_ROW
                voted, voter = covers[labelled], self._rows[tile[labelled]]
                area = (high * wide)[voted]
                total[voted] += area[:, None] * probabilities[voter]
                weight[voted] += area
                squared = (down**2 + right**2)[voted]
                nearer = squared < distance[voted]
                nearest[voted[nearer]], distance[voted[nearer]] = voter[nearer], squared[nearer]
        total /= np.maximum(weight, 1)[:, None]
        return CellVotes(indices, total, nearest, self._reasons(self._cell_states.flat[indices], weight, state))

    @staticmethod
    def _reasons(
        cells: npt.NDArray[np.uint8], weight: npt.NDArray[np.int64], tiles: npt.NDArray[np.uint8]
    ) -> list[str | None]:
        reasons = np.full(len(cells), None, object)
        unlabelled = weight == 0
        reasons[unlabelled] = np.array(REASONS, object)[np.minimum(tiles[unlabelled], len(REASONS) - 1)]
        reasons[cells == _UNREAD] = "read_error"
        reasons[cells == _TOO_LITTLE] = "nodata"
        return list(reasons)


def _overlap(
    cell: npt.NDArray[np.int64], tile: npt.NDArray[np.int64], count: int, step: int, size: int, scene: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Along one axis: the pixels of cells that are in tiles, and twice the distance of their centres."""
    end = np.minimum((cell + 1) * step, scene)
    tile_end = np.minimum(tile * step + size, scene)
    common = np.where((tile >= 0) & (tile < count), np.minimum(end, tile_end) - cell * step, 0)
    return np.maximum(common, 0), np.abs(cell * step + end - tile * step - tile_end)


def _unpack(result: TileResult, rows: int, cols: int) -> npt.NDArray[np.uint8]:
    if result.valid_cells is None:
        return np.full((rows, cols), _ENOUGH, np.uint8)
    if len(result.valid_cells) != -(-rows * cols // 8):
        raise JournalError(f"tile {result.index} of scene {result.scene}: its result is not from this run")
    enough = np.unpackbits(np.frombuffer(result.valid_cells, np.uint8), count=rows * cols).reshape(rows, cols)
    return np.where(enough, _ENOUGH, _TOO_LITTLE).astype(np.uint8)
