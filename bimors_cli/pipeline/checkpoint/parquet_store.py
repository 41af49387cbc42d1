"""Finished tiles in files of many workers: what the journal is to a run in one process.

In their folder, beside the output or where --blocks says, lie ``run.json``, which tells the run, and ``tiles/``, with a
folder for each block of each session and in it as many files as its worker has written so far. A file appears whole or
not at all. Of a tile that is in several, the last session counts: it was tried again.
"""

from __future__ import annotations

import json
import logging
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
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask, read_records, read_state, to_parquet
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.plan import InferencePlan, TileIndices
from bimors_cli.pipeline.tile_result import TileResult

SCHEMA: Final = 1
RUN: Final = "run.json"
# Beside the output, where --blocks has them elsewhere: says where.
ELSEWHERE: Final = "elsewhere.txt"
TILES: Final = "tiles"
SUFFIX: Final = ".parquet"
# Files that are looked at side by side: a store answers each after some tens of milliseconds.
READERS: Final = 16
# Files whose records are in memory when the layer is written: tiles that were tried again lie between others.
OPEN_FILES: Final = 8
# How many workers may die over one block.
ATTEMPTS: Final = 5
_BEGUN: Final = "begun-"
_NOT_DONE: Final = -1
_OWN: Final = re.compile(rf"{TILES}/s\d+-\d+/")
_NAME: Final = re.compile(rf"{TILES}/s(?P<session>\d+)-\d+/(?P<scene>\d+)-\d+-\w+\{SUFFIX}")

log = logging.getLogger("bimors")


def blocks_place(plan: InferencePlan) -> ObjectStore:
    """Return where the blocks of a run lie. Raises InputError as `ObjectStore`."""
    return ObjectStore(plan.options.blocks or str(blocks_path(plan.output)))


class ParquetWriter:
    """Writes the files of one session, and knows which tiles of a block are in them; each worker has its own."""

    def __init__(self, place: ObjectStore, plan: InferencePlan, session: int) -> None:
        self._place, self._plan, self._session = place, plan, session

    def begin(self, block: TileTask) -> npt.NDArray[np.int64]:
        """Note that a worker begins a block, and return the places of the tiles that no file has.

        Of a worker that was killed some files may be there.

        Raises
        ------
        WorkerError
            Too many have begun it before: something in it kills them.
        OutputError
            The folder cannot be read or written.
        """
        folder = self._folder(block)
        names = self._place.names(folder, "")
        begun = sum(f"/{_BEGUN}" in name for name in names)
        if begun >= ATTEMPTS:
            raise WorkerError(
                f"{begun} workers died over the tiles {block.runs[0][0]:,} to {block.runs[-1][1] - 1:,} of a scene",
                "have they enough memory? Fewer --workers have more each; finished tiles are kept for --resume",
            )
        self._place.write(f"{folder}/{_BEGUN}{uuid.uuid4().hex[:8]}", b"")
        done = [np.empty(0, dtype=np.int64)]
        for name in names:
            state = _state(self._place, name) if name.endswith(SUFFIX) else None
            done += [] if state is None else [state[0]]
        return np.setdiff1d(block.places(), np.concatenate(done))

    def write(self, block: TileTask, records: Sequence[TileResult]) -> None:
        """Write a file of a block's records. Raises OutputError."""
        records = sorted(records, key=lambda record: record.index)
        # No two files have one name: who was given up for dead may still be writing.
        name = f"{block.scene:03d}-{records[0].index:010d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._place.write(f"{self._folder(block)}/{name}", to_parquet(self._plan, records))

    def _folder(self, block: TileTask) -> str:
        return f"{TILES}/s{self._session:03d}-{block.number:06d}"


class ParquetStore:
    """The blocks of one run, held against a second one on this machine.

    Parameters
    ----------
    plan : LookPlan
        The run; with --resume it goes on with what is there, else an unfinished run there is replaced if --overwrite
        was given.

    Attributes
    ----------
    path : Path
        For messages.
    session : int
        Counts from 1 how often this run was begun.

    Raises
    ------
    JournalError
        Another process writes this output, or the folder holds something else.
    InputError
        It belongs to a run with other options: they are named.
    OutputExistsError
        An unfinished run is there.
    OutputError
        The folder cannot be read or written.
    """

    def __init__(self, plan: InferencePlan) -> None:
        self.path = Path(plan.options.blocks or blocks_path(plan.output))
        self._place = blocks_place(plan)
        # Which file a tile's record is in, per scene: 4 bytes a tile, and one more.
        self._where = [np.full(len(scene.grid), _NOT_DONE, dtype=np.int32) for scene in plan.scenes]
        self._again = [np.zeros(len(scene.grid), dtype=bool) for scene in plan.scenes]
        self._names: list[str] = []
        self._told: dict[int, int] = {}
        beside = ObjectStore(str(blocks_path(plan.output)))
        self._beside = None if self._place.is_at(beside) else beside
        # That of the journal: no two runs write one output, whatever their engines.
        self._hold = acquire_run_lock(journal_path(plan.output), plan.output)
        try:
            self._is_new = not self._take_up(plan)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._is_new and self._hold.is_locked and not self._has_any():
            self.delete()  # nothing was finished: nothing to go on with
        self.close()

    def close(self) -> None:
        """Let go of the blocks and keep them."""
        self._hold.release()

    def delete(self) -> None:
        """Remove the blocks: the output holds everything."""
        self._place.remove(TILES, RUN)
        if self._beside is not None:
            self._beside.remove(ELSEWHERE)
        self.close()

    def note(self, block: int, done: int) -> int:
        """Note how many tiles of a block are in files; returns how many more than was known."""
        more = max(0, done - self._told.get(block, 0))
        self._told[block] = self._told.get(block, 0) + more
        return more

    def count(self) -> int:
        """Count the tiles that have a record."""
        done = zip(self._where, self._again, strict=True)
        return sum(int(((where != _NOT_DONE) & ~again).sum()) for where, again in done) + sum(self._told.values())

    def missing(self, todo: TileIndices) -> TileIndices:
        """Return the tiles that have no record, or are to be tried again."""
        return tuple(
            places[(where[places] == _NOT_DONE) | again[places]]
            for where, again, places in zip(self._where, self._again, todo, strict=True)
        )

    def absent(self, todo: TileIndices) -> TileIndices:
        """Return the tiles that have no record."""
        return tuple(places[where[places] == _NOT_DONE] for where, places in zip(self._where, todo, strict=True))

    def look(self) -> None:
        """Look which tiles the files hold. Raises OutputError."""
        known = set(self._names)
        new = [name for name in self._place.names(TILES, SUFFIX) if name not in known and _NAME.fullmatch(name)]
        new.sort(key=_session)  # what was tried again comes last
        with ThreadPoolExecutor(READERS) as readers:
            for name, state in zip(new, readers.map(lambda name: _state(self._place, name), new), strict=True):
                if state is not None:
                    self._note_file(name, *state)
        self._told.clear()

    def records(self) -> Iterator[TileResult]:
        """Yield all records, scene by scene, in the order of the grid. Raises JournalError."""
        read = lru_cache(OPEN_FILES)(self._records)
        for where in self._where:
            done = np.flatnonzero(where != _NOT_DONE)
            for place in done.tolist():
                yield read(int(where[place]))[place]

    def _records(self, number: int) -> dict[int, TileResult]:
        name = self._names[number]
        try:
            with self._place.open(name) as file:
                return read_records(file)
        except ValueError as error:
            raise JournalError(f"{self._place.name}/{name}: changed by somebody else meanwhile") from error

    def _has_any(self) -> bool:
        """Tell whether there is a record, or a file that no worker has told of yet."""
        return bool(self.count() or self._place.names(TILES, SUFFIX))

    def _take_up(self, plan: InferencePlan) -> bool:
        """Begin, or go on; tells whether a run was there."""
        run = plan.run_key()
        self._check_place()
        content = self._place.read(RUN)
        found = None if content is None else self._parse(content)
        if found is not None and not (plan.options.resume or plan.options.overwrite):
            raise OutputExistsError(
                f"{self._place.name}: a run of this output was not finished",
                "go on with --resume, or start anew with --overwrite",
            )
        self.session = 1
        if found is None and any(not _OWN.match(name) for name in self._place.names(TILES, "")):
            raise InputError(f"{self._place.name}: holds a folder {TILES} of somebody else", "use another folder")
        if found is None or not plan.options.resume:
            self._place.remove(TILES, RUN)
            if self._beside is not None:
                self._beside.write(ELSEWHERE, self._place.name.encode())
            self._place.write(RUN, json.dumps({"bimors_blocks": SCHEMA, "run": run}, ensure_ascii=False).encode())
            return False
        if differing := differences(found["run"], run):
            raise InputError(
                f"{self._place.name}: that run had other options: {'; '.join(differing)}",
                "resume with the same options, or remove it to start anew",
            )
        if self._beside is not None:
            self._beside.write(ELSEWHERE, self._place.name.encode())
        self.look()
        self.session = max(map(_session, self._names), default=0) + 1
        return True

    def _check_place(self) -> None:
        """Refuse to begin anew what was begun with blocks elsewhere."""
        beside = self._beside or self._place
        content = beside.read(ELSEWHERE)
        there = None if content is None else content.decode("utf-8", "replace")
        here = None if self._beside is None else self._place.name
        if there is not None and there != here:
            raise InputError(
                f"{beside.name}: the blocks of that run are in {there}", f"add --blocks {there}, or remove it"
            )
        if self._beside is not None and self._beside.read(RUN) is not None:
            raise InputError(f"{beside.name}: the blocks of that run are there", "leave --blocks out, or remove it")

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
            raise JournalError(f"{self._place.name}: not the blocks of a run of this bimors version", "use another one")
        return found

    def _note_file(self, name: str, tiles: npt.NDArray[np.int64], again: npt.NDArray[np.bool_]) -> None:
        match = _NAME.fullmatch(name)
        assert match is not None
        scene = int(match["scene"])
        if scene >= len(self._where) or (len(tiles) and not 0 <= tiles.min() <= tiles.max() < len(self._where[scene])):
            raise JournalError(f"{self._place.name}/{name}: holds what no run has written", "remove it to go on")
        self._where[scene][tiles] = len(self._names)
        self._again[scene][tiles] = again
        self._names.append(name)


def _session(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match["session"])


def _state(place: ObjectStore, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None:
    try:
        with place.open(name) as file:
            return read_state(file)
    except ValueError as error:
        log.warning("%s/%s cannot be read (%s): its tiles are done again", place.name, name, error)
        return None
