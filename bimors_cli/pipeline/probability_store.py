"""The probabilities and features of all labelled tiles of a run, in memory-mapped files: millions of tiles fit."""

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
from bimors_cli.output.classified_schema import RETRIED
from bimors_cli.output.image_features import DTYPE as FEATURES
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.tile_result import PROBABILITIES, TileResult
from bimors_cli.pipeline.vote import VoteAccumulator
from bimors_cli.refine.grid_neighbours import NONE, SIDES, map_neighbours

_INDEX: Final = np.dtype("<i8")


@dataclass(frozen=True)
class ProbabilityStore:
    """The N labelled tiles of a run, in its order. Arrays are memory maps, and empty if the options do not need them.

    Attributes
    ----------
    probabilities : float32 array [N, K]
        Probabilities of the labels.
    features : float16 array [N, D]
        Image features, for ``--refine`` without an adapter of views.
    neighbours : int64 array [N, 8]
        Rows of the adjacent tiles, see `map_neighbours`, for ``--refine spatial``, unless a view shows these.
    captions, ends : bytes, int64 array [N]
        Concatenated captions and the end of each, for ``--vote``.
    votes : tuple of VoteAccumulator
        One for each scene, for ``--vote``.
    failed : int
        Number of tiles that could not be read or computed.
    """

    probabilities: npt.NDArray[Any]
    features: npt.NDArray[Any]
    neighbours: npt.NDArray[Any]
    captions: npt.NDArray[Any]
    ends: npt.NDArray[Any]
    votes: tuple[VoteAccumulator, ...]
    failed: int

    def caption(self, row: int) -> str | None:
        """Return the caption of a tile; None if captions are not stored."""
        if not len(self.ends):
            return None
        begin = int(self.ends[row - 1]) if row else 0
        return bytes(self.captions[begin : int(self.ends[row])]).decode()


def write_arrays(plan: Plan, results: Iterable[TileResult], folder: Path) -> ProbabilityStore:
    """Write the arrays of tile results to files in a folder, and map them.

    Raises
    ------
    OutputError
        The files cannot be written.
    JournalError
        A result is not from this run.
    """
    try:
        return _write(plan, results, folder)
    except BimorsError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{plan.output.parent}: cannot write the scratch files of --refine or --vote: {reason}", "is the disk full?"
        ) from error


def _write(plan: Plan, results: Iterable[TileResult], folder: Path) -> ProbabilityStore:
    options = plan.options
    votes = tuple(VoteAccumulator(scene.grid) for scene in plan.scenes) if options.vote else ()
    # The answers of views are refined without features, and without neighbours where a view shows these.
    views = None if plan.adapter is None else plan.adapter.views
    keeps_features = options.refine is not None and views is None
    is_mapped = options.refine == "spatial" and (views is None or not views.around)
    mapped = plan.scenes if is_mapped else ()
    rows = tuple(np.full(len(scene.grid), NONE, np.int64) for scene in mapped)
    probability_size, feature_size = len(options.labels) * PROBABILITIES.itemsize, 0
    failed = row = end = 0
    with _Columns(folder) as columns:
        for result in results:
            failed += result.reason in RETRIED
            if votes:
                votes[result.scene].add(result, row)
            if result.probability_bytes is None:
                continue
            _put(columns, "probabilities", result, result.probability_bytes, probability_size)
            if keeps_features:
                feature_size = feature_size or len(result.feature or b"")
                _put(columns, "features", result, result.feature, feature_size)
            if options.vote and any(plan.captions.written):
                caption = (result.caption or "").encode()
                end += len(caption)
                columns.write("captions", caption)
                columns.write("ends", end.to_bytes(_INDEX.itemsize, "little"))
            if rows:
                rows[result.scene][result.index] = row
            row += 1
        for scene, scene_rows in zip(mapped, rows, strict=True):
            for block in map_neighbours(scene_rows.reshape(scene.grid.rows, scene.grid.cols)):
                columns.write("neighbours", block.astype(_INDEX).tobytes())
    return ProbabilityStore(
        columns.map("probabilities", PROBABILITIES, len(options.labels)),
        columns.map("features", FEATURES, max(1, feature_size // FEATURES.itemsize)),
        columns.map("neighbours", _INDEX, len(SIDES)),
        columns.map("captions", np.dtype(np.uint8), 1)[:, 0],
        columns.map("ends", _INDEX, 1)[:, 0],
        votes,
        failed,
    )


def _put(columns: _Columns, name: str, result: TileResult, data: bytes | None, size: int) -> None:
    if data is None or len(data) != size or not size:
        raise JournalError(
            f"tile {result.index} of scene {result.scene}: its result is not from this run",
            "start from scratch with --overwrite",
        )
    columns.write(name, data)


class _Columns:
    """Files in a folder that are written row by row, and memory-mapped when all are written."""

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
        # Not through a memory map: on a full disk the process would be killed.
        self._files[name].write(data)

    def map(self, name: str, dtype: np.dtype[Any], width: int) -> npt.NDArray[Any]:
        """Map a file as an array [rows, width]."""
        size = os.path.getsize(self._files[name].name) if name in self._files else 0
        if not size:
            return np.empty((0, width), dtype)
        shape = (size // (width * dtype.itemsize), width)
        return np.memmap(self._files[name].name, dtype, "r", shape=shape)
