"""The journal: an append-only record of finished tiles beside the output, which survives a kill.

One line a tile: a CRC-32 in hex, a space, JSON, a line feed. The first line tells the run; a line that starts a session
tells who is writing. A batch is one write and one fsync. A line that does not match its checksum, and all behind it,
was torn by the kill: it is cut off and its tiles are done again. The journal itself appears with its first lines or not
at all.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from bimors_cli.errors import InputError, JournalError
from bimors_cli.output.atomic import sync
from bimors_cli.pipeline.record import RETRIED, TileRecord
from bimors_cli.pipeline.todo import Todo

SCHEMA = 1
_NOT_DONE = -1


def journal_path(output: Path) -> Path:
    """Return the place of an output's journal."""
    return output.with_name(output.name + ".bimors-journal")


class Journal:
    """The journal of one run, locked against a second one.

    Parameters
    ----------
    path : Path
        See `journal_path`.
    run : mapping
        Everything that decides the rows, as JSON values; the same run has the same.
    sizes : sequence of int
        Number of tiles of each scene's grid.
    resume : bool
        Go on with what is there (a missing journal starts a new one); without, an existing one is replaced.

    Raises
    ------
    JournalError
        Another process holds it, or it cannot be written.
    InputError
        It belongs to a run with other options: they are named.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], sizes: Sequence[int], *, resume: bool) -> None:
        self.path = path
        # Where a tile's line begins, per scene: 8 bytes a tile, whatever the caption's length.
        self._offsets = [np.full(size, _NOT_DONE, dtype=np.int64) for size in sizes]
        self._part = path.with_name(path.name + ".part")
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise JournalError(
                f"{path.name}: another run is writing this output{_holder(path)}", "wait for it, or use another -o"
            ) from None
        except OSError as error:
            raise JournalError(
                f"{path.parent}: cannot be written: {error.strerror or error}", "use another -o"
            ) from error
        self._end: int | None = None
        self._is_new = not (resume and path.exists())
        try:
            if self._is_new:
                self._begin(run)
            # Written past Python's buffers: what the disk refuses is not tried once more when the file is closed.
            self._end = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            if not self._is_new:
                self._take_up(run)
                self._write([_session()])
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
        if error is not None and self._is_new and self._lock.is_locked and not self.count():
            self.delete()  # nothing was finished: nothing to go on with
        self.close()

    def close(self) -> None:
        """Let go of the journal and keep it."""
        if not self._lock.is_locked:
            return
        self._close_file()
        # Removed while it is still held: whoever comes next makes a new one.
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def delete(self) -> None:
        """Remove the journal: the output holds everything."""
        self._close_file()
        self.path.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)  # of a run that was killed when it began
        self.close()

    def append(self, records: Sequence[TileRecord]) -> None:
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
        return bool(self._offsets[scene][index] != _NOT_DONE)

    def missing(self, todo: Todo) -> Todo:
        """Return the tiles that have no record."""
        return tuple(places[offsets[places] == _NOT_DONE] for offsets, places in zip(self._offsets, todo, strict=True))

    def count(self) -> int:
        """Count the tiles that have a record."""
        return sum(int((offsets != _NOT_DONE).sum()) for offsets in self._offsets)

    def records(self) -> Iterator[TileRecord]:
        """Yield all records, scene by scene, in the order of the grid."""
        places = (int(offset) for offsets in self._offsets for offset in offsets[offsets != _NOT_DONE])
        try:
            with self.path.open("rb") as file:
                for offset in places:
                    file.seek(offset)
                    value = _parse(file.readline())
                    if value is None:
                        raise JournalError(f"{self.path}: changed by somebody else while the run was going on")
                    yield TileRecord.from_json(value)
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror or error}") from error

    def _begin(self, run: Mapping[str, Any]) -> None:
        """Put a journal without records in its place; an earlier one stays until this is whole."""
        part = self._part
        try:
            part.write_bytes(_line({"bimors_journal": SCHEMA, "run": run}) + _line(_session()))
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
        lines = [_line(value) for value in values]
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
        return [begin, *(begin + np.cumsum([len(line) for line in lines[:-1]], dtype=np.int64)).tolist()][: len(lines)]

    def _take_up(self, run: Mapping[str, Any]) -> None:
        with self.path.open("rb") as file:
            whole = self._read(file, run)
        assert self._end is not None
        os.ftruncate(self._end, whole)

    def _record(self, value: Sequence[Any]) -> TileRecord:
        """Take a record out of a line whose checksum is right. Raises JournalError for one that no run has written."""
        try:
            record = TileRecord.from_json(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise self._damaged() from error
        known = 0 <= record.scene < len(self._offsets) and 0 <= record.index < len(self._offsets[record.scene])
        if not known or not isinstance(record.reason, str | None) or not isinstance(record.caption, str | None):
            raise self._damaged()
        return record

    def _damaged(self) -> JournalError:
        return JournalError(f"{self.path}: holds what no run has written", "remove it to start anew")

    def _read(self, file: BinaryIO, run: Mapping[str, Any]) -> int:
        """Note what is done; returns where the whole lines end."""
        header = _parse(file.readline())
        schema = header.get("bimors_journal") if isinstance(header, dict) else None
        if schema != SCHEMA or not isinstance(header.get("run"), dict):
            raise JournalError(f"{self.path}: not a journal of this bimors version", "remove it to start anew")
        differences = _differences(header["run"], run)
        if differences:
            raise InputError(
                f"{self.path.name}: that run had other options: {'; '.join(differences)}",
                "resume with the same options, or remove it to start anew",
            )
        while True:
            offset = file.tell()
            value = _parse(file.readline())
            if value is None:
                return offset
            if isinstance(value, list):
                record = self._record(value)
                redo = record.reason in RETRIED
                self._offsets[record.scene][record.index] = _NOT_DONE if redo else offset

    def _close_file(self) -> None:
        if self._end is not None:
            os.close(self._end)
        self._end = None


def _session() -> dict[str, Any]:
    return {"session": {"pid": os.getpid(), "host": platform.node()}}


def _line(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """Return a line's value, or None for the end of the file and for a torn line."""
    if len(line) < 11 or not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
        return None
    try:
        return json.loads(line[9:-1])
    except (ValueError, RecursionError):
        return None


def _holder(path: Path) -> str:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return ""
    sessions = [v["session"] for v in map(_parse, lines[:10_000]) if isinstance(v, dict) and "session" in v]
    return f" (process {sessions[-1]['pid']} on {sessions[-1]['host']})" if sessions else ""


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name what differs between two runs, with both values where they are short."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a != b:
            shown = f"{json.dumps(a, ensure_ascii=False)}, now {json.dumps(b, ensure_ascii=False)}"
            found.append(f"{key} ({shown})" if len(shown) <= 80 else key)
    return found
