"""The journal: an append-only file of finished tiles next to the output, which survives a kill.

One line per tile: a CRC-32 in hex, a space, JSON, a line feed. The first line describes the run; a line that starts a
session names the process that writes; others hold what the run warned of, for the layer that a later session writes. A
batch is one write and one fsync. A line that does not match its checksum, and
all lines after it, were torn by a kill: they are cut off and their tiles are processed again. The journal itself
appears with its first lines or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from bimors_cli.errors import InputError, JournalError
from bimors_cli.output.atomic import sync
from bimors_cli.output.classified_schema import RETRIED
from bimors_cli.pipeline.checkpoint.journal_format import (
    WARNINGS,
    Header,
    ShardHeader,
    differences,
    entries,
    ignoring_file_times,
    line,
    parse_result,
    read_header,
    results_at,
    session,
    warnings_of,
)
from bimors_cli.pipeline.checkpoint.lock import acquire_run_lock
from bimors_cli.pipeline.plan import TileIndices
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.run_warnings import warn, warnings_so_far

NOT_DONE = -1


class Journal:
    """The journal of one run, locked against other runs: a `bimors_cli.pipeline.checkpoint.store.TileStore`.

    Parameters
    ----------
    path : Path
        See `bimors_cli.pipeline.checkpoint.journal_format.journal_path`.
    run : mapping
        Everything that determines the rows, as JSON values. Two runs with equal rows have equal mappings.
    sizes : sequence of int
        Number of tiles of each scene's grid.
    resume : bool
        Continue an existing journal; a missing one is created. If False, an existing one is replaced.
    shard_header : ShardHeader, optional
        Shard, options and command, for the journal of a shard. Another machine may then continue it with its own copy
        of a scene: modification times are not compared.

    Raises
    ------
    JournalError
        Another process holds the lock, or the journal cannot be written.
    InputError
        The journal belongs to a run with other options, which are named.
    """

    def __init__(
        self,
        path: Path,
        run: Mapping[str, Any],
        sizes: Sequence[int],
        *,
        resume: bool,
        shard_header: ShardHeader | None = None,
    ) -> None:
        self.path = path
        self._header = Header(run, shard_header)
        # Offset of each tile's line in the file, per scene: 8 bytes per tile, whatever the caption's length.
        self._offsets = [np.full(size, NOT_DONE, dtype=np.int64) for size in sizes]
        self._part = path.with_name(path.name + ".part")
        what = "this output" if shard_header is None else f"shard {shard_header.shard} of this output"
        self._lock = acquire_run_lock(path, path.name, what)
        self._file: int | None = None
        self._warned: set[str] = set()
        self._is_new = not (resume and path.exists())
        try:
            if self._is_new:
                self._create()
            # Written without Python's buffers: what the disk refuses is not tried once more when the file is closed.
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            if not self._is_new:
                self._load()
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
        if error is not None and self._is_new and self._lock.is_held and not self.count():
            self.delete()  # no tile was finished: nothing to resume
        self.close()

    def close(self) -> None:
        """Close the journal and release its lock; the file stays."""
        if not self._lock.is_held:
            return
        self._close_file()
        self._lock.release()

    def delete(self) -> None:
        """Delete the journal, once the output holds everything."""
        self._close_file()
        self.path.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)  # of a run that was killed when it started
        self.close()

    def append(self, results: Sequence[TileResult]) -> None:
        """Add results of finished tiles. They are on disk when this returns.

        Raises
        ------
        JournalError
            The disk is full, or cannot be written.
        """
        try:
            new = [text for text in warnings_so_far() if text not in self._warned]
            lines = [{WARNINGS: new}] if new else []
            offsets = self._write([*lines, *(result.to_json() for result in results)])[len(lines) :]
        except OSError as error:
            raise JournalError(
                f"{self.path}: {error.strerror or error}; {self.count():,} finished tiles are saved",
                "free disk space, then run the same command with --resume",
            ) from error
        self._warned.update(new)
        for result, offset in zip(results, offsets, strict=True):
            self._offsets[result.scene][result.index] = offset

    def is_done(self, scene: int, index: int) -> bool:
        """Tell whether a tile has a result."""
        return bool(self._offsets[scene][index] != NOT_DONE)

    def pending(self, tiles: TileIndices) -> TileIndices:
        """Return those of ``tiles`` that have no result yet."""
        return tuple(
            indices[offsets[indices] == NOT_DONE] for offsets, indices in zip(self._offsets, tiles, strict=True)
        )

    def count(self) -> int:
        """Count the tiles that have a result."""
        return sum(int((offsets != NOT_DONE).sum()) for offsets in self._offsets)

    def results(self) -> Iterator[TileResult]:
        """Yield all results, scene by scene, in the order of the grid."""
        done = (int(offset) for offsets in self._offsets for offset in offsets[offsets != NOT_DONE])
        yield from results_at(self.path, done)

    def _create(self) -> None:
        """Create a journal without results; an existing one is replaced once the new one is complete."""
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
        """Append lines, and return the offset of each."""
        assert self._file is not None
        lines = [line(value) for value in values]
        begin = os.fstat(self._file).st_size
        rest = b"".join(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, begin)
            raise
        return [begin, *(begin + np.cumsum([len(each) for each in lines[:-1]], dtype=np.int64)).tolist()][: len(lines)]

    def _load(self) -> None:
        """Read an existing journal, and cut off what a kill has torn."""
        with self.path.open("rb") as file:
            self._check(read_header(file, self.path))
            end = self._index_results(file)
        assert self._file is not None
        os.ftruncate(self._file, end)

    def _check(self, found: Header) -> None:
        """Check that the journal is of the same run, and of the same shard."""
        old, new = ({**header.run, "shard": _shard(header)} for header in (found, self._header))
        if found.shard_header is not None and self._header.shard_header is not None:
            changed = old != new
            old, new = ignoring_file_times(old, new)
            if changed and old == new:
                warn(
                    "%s: the shard was started with another copy of a scene (the modification times differ)",
                    self.path.name,
                )
        different = differences(old, new)
        if different:
            raise InputError(
                f"{self.path.name}: the unfinished run has other options: {'; '.join(different)}",
                "resume with the same options, or remove it to start from scratch",
            )

    def _index_results(self, file: BinaryIO) -> int:
        """Record where each tile's line is; return the end of the last complete line."""
        sizes = [len(offsets) for offsets in self._offsets]
        for offset, value in entries(file):
            for text in warnings_of(value):
                self._warned.add(text)
                warn(text)
            if isinstance(value, list):
                result = parse_result(value, sizes, self.path)
                retry = result.reason in RETRIED
                self._offsets[result.scene][result.index] = NOT_DONE if retry else offset
        return offset

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None


def _shard(header: Header) -> str | None:
    return None if header.shard_header is None else str(header.shard_header.shard)
