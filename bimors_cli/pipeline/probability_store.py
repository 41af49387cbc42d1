"""What the answered tiles of a run said, laid out on disk: a million of them need no memory of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import BimorsError, JournalError, OutputError
from bimors_cli.output.image_features import DTYPE as FEATURES
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.tile_result import PROBABILITIES, RETRIED, TileResult
from bimors_cli.pipeline.vote import VoteAccumulator
from bimors_cli.refine.grid_neighbours import NONE, SIDES, map_neighbours

_PLACE: Final = np.dtype("<i8")


@dataclass(frozen=True)
class ProbabilityStore:
    """The N answered tiles of a run, in its order; arrays are maps of files, and empty where they are not needed.

    Attributes
    ----------
    shares : float32 array [N, K]
        Probabilities of the labels.
    features : float16 array [N, D]
        Image features, to refine.
    neighbours : int64 array [N, 8]
        Rows of the tiles that touch on the map, see `map_neighbours`, to refine with them.
    captions, ends : bytes, int64 array [N]
        Sentences one behind the other, and where each ends, to vote.
    ballots : tuple of Ballot
        One for each scene, to vote.
    failed : int
        How many tiles of the run could not be read or computed.
    """

    shares: npt.NDArray[Any]
    features: npt.NDArray[Any]
    neighbours: npt.NDArray[Any]
    captions: npt.NDArray[Any]
    ends: npt.NDArray[Any]
    ballots: tuple[VoteAccumulator, ...]
    failed: int

    def caption(self, row: int) -> str | None:
        """Return the sentence about a tile."""
        if not len(self.ends):
            return None
        begin = int(self.ends[row - 1]) if row else 0
        return bytes(self.captions[begin : int(self.ends[row])]).decode()


def write_arrays(plan: Plan, records: Iterable[TileResult], folder: Path) -> ProbabilityStore:
    """Write what records say into files in a folder, and map them.

    Raises
    ------
    OutputError
        The disk refuses.
    JournalError
        A record is not of such a run.
    """
    try:
        return _lay_out(plan, records, folder)
    except BimorsError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{plan.output.parent}: no room to settle the tiles: {reason}", "is the disk full?"
        ) from error


def _lay_out(plan: Plan, records: Iterable[TileResult], folder: Path) -> ProbabilityStore:
    options = plan.options
    ballots = tuple(VoteAccumulator(scene.grid) for scene in plan.scenes) if options.vote else ()
    touching = plan.scenes if options.refine == "spatial" else ()
    rows = tuple(np.full(len(scene.grid), NONE, np.int64) for scene in touching)
    share_bytes, feature_bytes = len(options.labels) * PROBABILITIES.itemsize, 0
    failed = row = end = 0
    with _Columns(folder) as columns:
        for record in records:
            failed += record.reason in RETRIED
            if ballots:
                ballots[record.scene].add(record, row)
            if record.shares is None:
                continue
            _put(columns, "shares", record, record.shares, share_bytes)
            if options.refine:
                feature_bytes = feature_bytes or len(record.feature or b"")
                _put(columns, "features", record, record.feature, feature_bytes)
            if options.vote and options.captions:
                sentence = (record.caption or "").encode()
                end += len(sentence)
                columns.write("captions", sentence)
                columns.write("ends", end.to_bytes(_PLACE.itemsize, "little"))
            if rows:
                rows[record.scene][record.index] = row
            row += 1
        for scene, placed in zip(touching, rows, strict=True):
            for block in map_neighbours(placed.reshape(scene.grid.rows, scene.grid.cols)):
                columns.write("neighbours", block.astype(_PLACE).tobytes())
    return ProbabilityStore(
        columns.map("shares", PROBABILITIES, len(options.labels)),
        columns.map("features", FEATURES, max(1, feature_bytes // FEATURES.itemsize)),
        columns.map("neighbours", _PLACE, len(SIDES)),
        columns.map("captions", np.dtype(np.uint8), 1)[:, 0],
        columns.map("ends", _PLACE, 1)[:, 0],
        ballots,
        failed,
    )


def _put(columns: _Columns, name: str, record: TileResult, data: bytes | None, size: int) -> None:
    if data is None or len(data) != size or not size:
        raise JournalError(
            f"tile {record.index} of scene {record.scene}: its record is not of this run", "start anew with --overwrite"
        )
    columns.write(name, data)


class _Columns:
    """Files of a folder, each of which grows row by row, and is mapped when all are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> _Columns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def write(self, name: str, data: bytes) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.column").open("wb")
        # Not through a map: a full disk would end the program there.
        self._files[name].write(data)

    def map(self, name: str, dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
        """Return [rows, width]."""
        size = os.path.getsize(self._files[name].name) if name in self._files else 0
        if not size:
            return np.empty((0, width), dtype)
        shape = (size // (width * dtype.itemsize), width)
        return np.memmap(self._files[name].name, dtype, "r", shape=shape)
