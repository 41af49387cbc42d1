"""The journal: an append-only record of finished tiles beside the output, which survives a kill.

One line a tile: a CRC-32 in hex, a space, JSON, a line feed. The first line tells the run; a line that starts a session
tells who is writing. A batch is one write and one fsync. A line that does not match its checksum, and all behind it,
was torn by the kill: it is cut off and its tiles are done again. The journal itself appears with its first lines or not
at all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from bimors_cli.errors import InputError, JournalError
from bimors_cli.output.atomic import sync
from bimors_cli.pipeline.checkpoint.journal_format import (
    Header,
    ShardHeader,
    differences,
    entries,
    ignoring_file_times,
    line,
    read_header,
    records_at,
    session,
    to_record,
)
from bimors_cli.pipeline.checkpoint.lock import acquire_run_lock
from bimors_cli.pipeline.plan import TileIndices
from bimors_cli.pipeline.tile_result import RETRIED, TileResult

NOT_DONE = -1

log = logging.getLogger("bimors")


class Journal:
    """The journal of one run, locked against a second one.

    Parameters
    ----------
    path : Path
        See `bimors_cli.pipeline.checkpoint.journal_format.journal_path`.
    run : mapping
        Everything that decides the rows, as JSON values; the same run has the same.
    sizes : sequence of int
        Number of tiles of each scene's grid.
    resume : bool
        Go on with what is there (a missing journal starts a new one); without, an existing one is replaced.
    origin : ShardOrigin, optional
        Where the run comes from, for the journal of a shard. One machine may then go on with what another has begun on
        its own copy of a scene: when that was modified does not count.

    Raises
    ------
    JournalError
        Another process holds it, or it cannot be written.
    InputError
        It belongs to a run with other options: they are named.
    """

    def __init__(
        self,
        path: Path,
        run: Mapping[str, Any],
        sizes: Sequence[int],
        *,
        resume: bool,
        origin: ShardHeader | None = None,
    ) -> None:
        self.path = path
        self._header = Header(run, origin)
        # Where a tile's line begins, per scene: 8 bytes a tile, whatever the caption's length.
        self._offsets = [np.full(size, NOT_DONE, dtype=np.int64) for size in sizes]
        self._part = path.with_name(path.name + ".part")
        what = "this output" if origin is None else f"shard {origin.shard} of this output"
        self._hold = acquire_run_lock(path, path.name, what)
        self._end: int | None = None
        self._is_new = not (resume and path.exists())
        try:
            if self._is_new:
                self._begin()
            # Written past Python's buffers: what the disk refuses is not tried once more when the file is closed.
            self._end = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            if not self._is_new:
                self._take_up()
                self._write([session()])
        except OSError as error:
            self.close()
            raise JournalError(f"{path}: cannot be written: {error.strerror or error}", "use another -o") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._is_new and self._hold.is_locked and not self.count():
            self.delete()  # nothing was finished: nothing to go on with
        self.close()

    def close(self) -> None:
        """Let go of the journal and keep it."""
        if not self._hold.is_locked:
            return
        self._close_file()
        self._hold.release()

    def delete(self) -> None:
        """Remove the journal: the output holds everything."""
        self._close_file()
        self.path.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)  # of a run that was killed when it began
        self.close()

    def append(self, records: Sequence[TileResult]) -> None:
        """Add finished tiles; they are on disk when this returns. Raises JournalError when the disk refuses."""
        try:
            offsets = self._write([record.to_json() for record in records])
        except OSError as error:
            raise JournalError(
                f"{self.path}: {error.strerror or error}; it holds {self.count():,} finished tiles",
                "make room there, then run the same command with --resume",
            ) from error
        for record, offset in zip(records, offsets, strict=True):
            self._offsets[record.scene][record.index] = offset

    def is_done(self, scene: int, index: int) -> bool:
        """Tell whether a tile has a record."""
        return bool(self._offsets[scene][index] != NOT_DONE)

    def missing(self, todo: TileIndices) -> TileIndices:
        """Return the tiles that have no record."""
        return tuple(places[offsets[places] == NOT_DONE] for offsets, places in zip(self._offsets, todo, strict=True))

    def count(self) -> int:
        """Count the tiles that have a record."""
        return sum(int((offsets != NOT_DONE).sum()) for offsets in self._offsets)

    def records(self) -> Iterator[TileResult]:
        """Yield all records, scene by scene, in the order of the grid."""
        places = (int(offset) for offsets in self._offsets for offset in offsets[offsets != NOT_DONE])
        yield from records_at(self.path, places)

    def _begin(self) -> None:
        """Put a journal without records in its place; an earlier one stays until this is whole."""
        part = self._part
        try:
            part.write_bytes(line(self._header.to_json()) + line(session()))
            sync(part)
            os.replace(part, self.path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        with suppress(OSError):  # Windows cannot
            sync(self.path.parent)

    def _write(self, values: Sequence[Any]) -> list[int]:
        assert self._end is not None
        lines = [line(value) for value in values]
        begin = os.fstat(self._end).st_size
        rest = b"".join(lines)
        try:
            while rest:
                rest = rest[os.write(self._end, rest) :]
            os.fsync(self._end)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._end, begin)
            raise
        return [begin, *(begin + np.cumsum([len(each) for each in lines[:-1]], dtype=np.int64)).tolist()][: len(lines)]

    def _take_up(self) -> None:
        with self.path.open("rb") as file:
            self._check(read_header(file, self.path))
            whole = self._read(file)
        assert self._end is not None
        os.ftruncate(self._end, whole)

    def _check(self, found: Header) -> None:
        """Check that it is of the same run, and of the same shard."""
        old, new = ({**header.run, "shard": _shard(header)} for header in (found, self._header))
        if found.origin is not None and self._header.origin is not None:
            changed = old != new
            old, new = ignoring_file_times(old, new)
            if changed and old == new:
                log.warning("%s was begun on another copy of a scene: it was modified at another time", self.path.name)
        different = differences(old, new)
        if different:
            raise InputError(
                f"{self.path.name}: that run had other options: {'; '.join(different)}",
                "resume with the same options, or remove it to start anew",
            )

    def _read(self, file: BinaryIO) -> int:
        """Note what is done; returns where the whole lines end."""
        sizes = [len(offsets) for offsets in self._offsets]
        for offset, value in entries(file):
            if isinstance(value, list):
                record = to_record(value, sizes, self.path)
                redo = record.reason in RETRIED
                self._offsets[record.scene][record.index] = NOT_DONE if redo else offset
        return offset

    def _close_file(self) -> None:
        if self._end is not None:
            os.close(self._end)
        self._end = None


def _shard(header: Header) -> str | None:
    return None if header.origin is None else str(header.origin.shard)
