"""What the engines keep finished tiles in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bimors_cli.pipeline.tile_result import TileResult


class TileStore(Protocol):
    """Records of finished tiles on disk, such as a `Journal`: what is in ``path`` outlives a kill."""

    path: Path

    def count(self) -> int:
        """Count the tiles that have a record."""

    def records(self) -> Iterator[TileResult]:
        """Yield all records, scene by scene, in the order of the grid."""

    def delete(self) -> None:
        """Remove them: the output holds everything."""
