"""Finished tiles in Parquet files of many workers: what the journal is to a run in one process.

Their folder, next to the output or at --blocks, has ``run.json``, which describes the run, ``warnings.json``, if there
are any, and ``tiles/``, with a
folder for each task of each session; in it are the files that its worker has written so far. A file appears whole or
not at all. If several files have a tile, the one of the last session counts: the tile was tried again.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError, JournalError, OutputExistsError, WorkerError
from bimors_cli.pipeline.checkpoint.journal_format import differences, journal_path
from bimors_cli.pipeline.checkpoint.lock import acquire_run_lock
from bimors_cli.pipeline.checkpoint.object_store import ObjectStore
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask, read_results, read_state, to_parquet
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.plan import InferencePlan, TileIndices
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.run_warnings import warn, warnings_so_far

SCHEMA: Final = 1
RUN: Final = "run.json"
WARNINGS: Final = "warnings.json"
# Next to the output, if --blocks names another folder: its name.
ELSEWHERE: Final = "elsewhere.txt"
TILES: Final = "tiles"
SUFFIX: Final = ".parquet"
# Files that are read in parallel: an object store answers each request after some tens of milliseconds.
READERS: Final = 16
# Files whose results are in memory while the layer is written: tiles that were tried again lie between others.
OPEN_FILES: Final = 8
# How many workers may die in one task.
ATTEMPTS: Final = 5
_BEGUN: Final = "begun-"
_NOT_DONE: Final = -1
_OWN: Final = re.compile(rf"{TILES}/s\d+-\d+/")
_NAME: Final = re.compile(rf"{TILES}/s(?P<session>\d+)-\d+/(?P<scene>\d+)-\d+-\w+\{SUFFIX}")


def blocks_store(plan: InferencePlan) -> ObjectStore:
    """Return the folder of a run's Parquet files. Raises InputError as `ObjectStore`."""
    return ObjectStore(plan.options.blocks or str(blocks_path(plan.output)))


class ParquetWriter:
    """Writes the files of one session, and finds the pending tiles of a task; each worker has its own."""

    def __init__(self, store: ObjectStore, plan: InferencePlan, session: int) -> None:
        self._store, self._plan, self._session = store, plan, session

    def begin(self, task: TileTask) -> npt.NDArray[np.int64]:
        """Record that a worker starts a task, and return the indices of its pending tiles.

        A worker that was killed may have written some of the tiles.

        Raises
        ------
        WorkerError
            Too many workers have started the task before: something in it kills them.
        OutputError
            The folder cannot be read or written.
        """
        folder = self._folder(task)
        names = self._store.list_files(folder, "")
        begun = sum(f"/{_BEGUN}" in name for name in names)
        if begun >= ATTEMPTS:
            raise WorkerError(
                f"{begun} workers died while processing tiles {task.runs[0][0]:,} to {task.runs[-1][1] - 1:,} of a "
                "scene",
                "use fewer --workers if memory is short, then run the same command with --resume",
            )
        self._store.write(f"{folder}/{_BEGUN}{uuid.uuid4().hex[:8]}", b"")
        done = [np.empty(0, dtype=np.int64)]
        for name in names:
            state = _state(self._store, name) if name.endswith(SUFFIX) else None
            done += [] if state is None else [state[0]]
        return np.setdiff1d(task.indices(), np.concatenate(done))

    def append(self, task: TileTask, results: Sequence[TileResult]) -> None:
        """Write a file of results of a task. Raises OutputError."""
        results = sorted(results, key=lambda result: result.index)
        # File names are unique: a worker that was given up may still be writing.
        name = f"{task.scene:03d}-{results[0].index:010d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._store.write(f"{self._folder(task)}/{name}", to_parquet(self._plan, results))

    def _folder(self, task: TileTask) -> str:
        return f"{TILES}/s{self._session:03d}-{task.number:06d}"


class ParquetStore:
    """The Parquet files of one run, locked against other runs on this machine.

    A `bimors_cli.pipeline.checkpoint.store.TileStore`; workers append to it by `ParquetWriter`.

    Parameters
    ----------
    plan : InferencePlan
        The run. With --resume, an unfinished run is continued; with --overwrite, it is replaced.

    Attributes
    ----------
    path : Path
        For messages.
    session : int
        Counts from 1 how often this run was started.

    Raises
    ------
    JournalError
        Another process is writing this output, or the folder holds other files.
    InputError
        The folder belongs to a run with other options, which are named.
    OutputExistsError
        An unfinished run exists.
    OutputError
        The folder cannot be read or written.
    """

    def __init__(self, plan: InferencePlan) -> None:
        self.path = Path(plan.options.blocks or blocks_path(plan.output))
        self._store = blocks_store(plan)
        # Number of the file that has a tile's result, per scene: 4 bytes per tile, and one more.
        self._file_numbers = [np.full(len(scene.grid), _NOT_DONE, dtype=np.int32) for scene in plan.scenes]
        self._retry = [np.zeros(len(scene.grid), dtype=bool) for scene in plan.scenes]
        self._names: list[str] = []
        self._reported: dict[int, int] = {}
        self._saved: tuple[str, ...] = ()
        default = ObjectStore(str(blocks_path(plan.output)))
        self._default = None if self._store.is_same_folder(default) else default
        # The lock of the journal: no two runs write one output, whatever their engines.
        self._lock = acquire_run_lock(journal_path(plan.output), plan.output)
        try:
            self._is_new = not self._open(plan)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._is_new and self._lock.is_held and not self._has_any():
            self.delete()  # no tile was finished: nothing to resume
        self.close()

    def close(self) -> None:
        """Release the lock; the files stay."""
        self._lock.release()

    def delete(self) -> None:
        """Delete the files, once the output holds everything."""
        self._store.remove(TILES, RUN, WARNINGS)
        if self._default is not None:
            self._default.remove(ELSEWHERE)
        self.close()

    def save_warnings(self) -> None:
        """Save what the run has warned of until now, for the layer that a later session writes. Raises OutputError."""
        texts = warnings_so_far()
        if texts != self._saved:
            self._store.write(WARNINGS, json.dumps(texts, ensure_ascii=False).encode())
            self._saved = texts

    def report(self, task: int, done: int) -> int:
        """Record how many tiles of a task are in files; return how many of them were not reported before."""
        more = max(0, done - self._reported.get(task, 0))
        self._reported[task] = self._reported.get(task, 0) + more
        return more

    def count(self) -> int:
        """Count the tiles that have a result."""
        done = zip(self._file_numbers, self._retry, strict=True)
        found = sum(int(((numbers != _NOT_DONE) & ~retry).sum()) for numbers, retry in done)
        return found + sum(self._reported.values())

    def pending(self, tiles: TileIndices) -> TileIndices:
        """Return those of ``tiles`` that have no result yet, or are to be tried again."""
        return tuple(
            indices[(numbers[indices] == _NOT_DONE) | retry[indices]]
            for numbers, retry, indices in zip(self._file_numbers, self._retry, tiles, strict=True)
        )

    def missing(self, tiles: TileIndices) -> TileIndices:
        """Return those of ``tiles`` that have no result, not even a failure."""
        return tuple(
            indices[numbers[indices] == _NOT_DONE] for numbers, indices in zip(self._file_numbers, tiles, strict=True)
        )

    def refresh(self) -> None:
        """Find the tiles of files that were written since. Raises OutputError."""
        known = set(self._names)
        new = [name for name in self._store.list_files(TILES, SUFFIX) if name not in known and _NAME.fullmatch(name)]
        new.sort(key=_session)  # tiles that were tried again come last
        with ThreadPoolExecutor(READERS) as readers:
            for name, state in zip(new, readers.map(lambda name: _state(self._store, name), new), strict=True):
                if state is not None:
                    self._add_file(name, *state)
        self._reported.clear()

    def results(self) -> Iterator[TileResult]:
        """Yield all results, scene by scene, in the order of the grid. Raises JournalError."""
        read = lru_cache(OPEN_FILES)(self._read_file)
        for numbers in self._file_numbers:
            for index in np.flatnonzero(numbers != _NOT_DONE).tolist():
                yield read(int(numbers[index]))[index]

    def _read_file(self, number: int) -> dict[int, TileResult]:
        name = self._names[number]
        try:
            with self._store.open(name) as file:
                return read_results(file)
        except ValueError as error:
            raise JournalError(f"{self._store.name}/{name}: changed by another program meanwhile") from error

    def _has_any(self) -> bool:
        """Tell whether there is a result, or a file that no worker has reported yet."""
        return bool(self.count() or self._store.list_files(TILES, SUFFIX))

    def _open(self, plan: InferencePlan) -> bool:
        """Start a run, or resume one; tell whether an unfinished run existed."""
        run = plan.run_key()
        self._check_folder()
        content = self._store.read(RUN)
        found = None if content is None else self._parse(content)
        if found is not None and not (plan.options.resume or plan.options.overwrite):
            raise OutputExistsError(
                f"{self._store.name}: a run of this output was not finished",
                "continue with --resume, or start from scratch with --overwrite",
            )
        self.session = 1
        if found is None and any(not _OWN.match(name) for name in self._store.list_files(TILES, "")):
            raise InputError(f"{self._store.name}: contains a folder {TILES} of another program", "use another folder")
        if found is None or not plan.options.resume:
            self._store.remove(TILES, RUN, WARNINGS)
            if self._default is not None:
                self._default.write(ELSEWHERE, self._store.name.encode())
            self._store.write(RUN, json.dumps({"bimors_blocks": SCHEMA, "run": run}, ensure_ascii=False).encode())
            return False
        if differing := differences(found["run"], run):
            raise InputError(
                f"{self._store.name}: the unfinished run has other options: {'; '.join(differing)}",
                "resume with the same options, or remove it to start from scratch",
            )
        if self._default is not None:
            self._default.write(ELSEWHERE, self._store.name.encode())
        self._warn_again()
        self.refresh()
        self.session = max(map(_session, self._names), default=0) + 1
        return True

    def _warn_again(self) -> None:
        """Warn of what earlier sessions have warned of."""
        content = self._store.read(WARNINGS)
        try:
            texts = [] if content is None else list(json.loads(content))
        except (ValueError, TypeError) as error:
            raise JournalError(
                f"{self._store.name}/{WARNINGS} is damaged: {error}", "remove it, then resume"
            ) from error
        for text in texts:
            warn(str(text))

    def _check_folder(self) -> None:
        """Check that an unfinished run has its files in the folder of this one."""
        default = self._default or self._store
        content = default.read(ELSEWHERE)
        found = None if content is None else content.decode("utf-8", "replace")
        expected = None if self._default is None else self._store.name
        if found is not None and found != expected:
            raise InputError(
                f"{default.name}: the blocks of the unfinished run are in {found}",
                f"add --blocks {found}, or remove it",
            )
        if self._default is not None and self._default.read(RUN) is not None:
            raise InputError(
                f"{default.name}: the blocks of the unfinished run are in this folder",
                "omit --blocks, or remove it",
            )

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if (
            not isinstance(found, dict)
            or found.get("bimors_blocks") != SCHEMA
            or not isinstance(found.get("run"), dict)
        ):
            raise JournalError(
                f"{self._store.name}: not the blocks of a run of this bimors version", "use another folder"
            )
        return found

    def _add_file(self, name: str, tiles: npt.NDArray[np.int64], retry: npt.NDArray[np.bool_]) -> None:
        match = _NAME.fullmatch(name)
        assert match is not None
        scene = int(match["scene"])
        known = scene < len(self._file_numbers)
        if not known or (len(tiles) and not 0 <= tiles.min() <= tiles.max() < len(self._file_numbers[scene])):
            raise JournalError(
                f"{self._store.name}/{name}: holds tiles that the scene does not have", "remove it, then resume"
            )
        self._file_numbers[scene][tiles] = len(self._names)
        self._retry[scene][tiles] = retry
        self._names.append(name)


def _session(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match["session"])


def _state(store: ObjectStore, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None:
    try:
        with store.open(name) as file:
            return read_state(file)
    except ValueError as error:
        warn("%s/%s cannot be read (%s): its tiles are processed again", store.name, name, error)
        return None
