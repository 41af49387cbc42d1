"""The protocol of what keeps finished tiles on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bimors_cli.pipeline.plan import TileIndices
from bimors_cli.pipeline.tile_result import TileResult


class TileStore(Protocol):
    """Results of finished tiles at ``path``, which survive a kill: a journal, those of all shards, Parquet files.

    Results are added by ``append(results)`` of `Journal`, and by that of `ParquetWriter`, one per worker.
    """

    path: Path

    def pending(self, tiles: TileIndices) -> TileIndices:
        """Return those of ``tiles`` that have no result yet, or are to be tried again."""

    def results(self) -> Iterator[TileResult]:
        """Yield all results, scene by scene, in the order of the grid."""

    def count(self) -> int:
        """Count the tiles that have a result."""

    def delete(self) -> None:
        """Delete all results from disk, once the output holds them."""
