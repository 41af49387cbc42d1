"""The journal: an append-only record of finished tiles beside the output, which survives a kill.

One line a tile: a CRC-32 in hex, a space, JSON, a line feed. The first line tells the run; a line that starts a session
tells who is writing. A batch is one write and one fsync. A line that does not match its checksum, and all behind it,
was torn by the kill: it is cut off and its tiles are done again.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from bimors_cli.errors import InputError, JournalError
from bimors_cli.pipeline.record import RETRIED, TileRecord

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
        try:
            if resume and path.exists():
                self._file: BinaryIO = path.open("r+b")
                self._take_up(run)
            else:
                self._file = path.open("w+b")
                self._write([{"bimors_journal": SCHEMA, "run": run}])
            self._write([{"session": {"pid": os.getpid(), "host": platform.node()}}])
        except OSError as error:
            self._release()
            raise JournalError(f"{path}: cannot be written: {error.strerror or error}", "use another -o") from error
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._file.closed and not self.count():
            self.delete()  # nothing was finished: nothing to go on with
        self.close()

    def close(self) -> None:
        """Let go of the journal and keep it."""
        if not self._file.closed:
            self._file.close()
            self._release()

    def delete(self) -> None:
        """Remove the journal: the output holds everything."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self._release()

    def append(self, records: Sequence[TileRecord]) -> None:
        """Add finished tiles; they are on disk when this returns. Raises JournalError when the disk refuses."""
        try:
            offsets = self._write([record.to_json() for record in records])
        except OSError as error:
            raise JournalError(
                f"{self.path}: {error.strerror or error}", "make room there, then run the same command with --resume"
            ) from error
        for record, offset in zip(records, offsets, strict=True):
            self._offsets[record.scene][record.index] = offset

    def is_done(self, scene: int, index: int) -> bool:
        """Tell whether a tile has a record."""
        return bool(self._offsets[scene][index] != _NOT_DONE)

    def count(self) -> int:
        """Count the tiles that have a record."""
        return sum(int((offsets != _NOT_DONE).sum()) for offsets in self._offsets)

    def records(self) -> Iterator[TileRecord]:
        """Yield all records, scene by scene, in the order of the grid."""
        for offsets in self._offsets:
            for offset in offsets[offsets != _NOT_DONE].tolist():
                self._file.seek(offset)
                value = _parse(self._file.readline())
                if value is None:
                    raise JournalError(f"{self.path}: changed by somebody else while the run was going on")
                yield TileRecord.from_json(value)

    def _write(self, values: Sequence[Any]) -> list[int]:
        lines = [_line(value) for value in values]
        begin = self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(lines))
        self._file.flush()
        os.fsync(self._file.fileno())
        return [begin, *(begin + np.cumsum([len(line) for line in lines[:-1]], dtype=np.int64)).tolist()][: len(lines)]

    def _take_up(self, run: Mapping[str, Any]) -> None:
        header = _parse(self._file.readline())
        if not isinstance(header, dict) or header.get("bimors_journal") != SCHEMA:
            raise JournalError(f"{self.path}: not a journal of this bimors version", "start anew with --overwrite")
        differences = _differences(header["run"], run)
        if differences:
            raise InputError(
                f"{self.path.name}: that run had other options: {'; '.join(differences)}",
                "resume with the same options, or start anew with --overwrite",
            )
        while True:
            offset = self._file.tell()
            value = _parse(self._file.readline())
            if value is None:
                break
            if isinstance(value, list):
                record = TileRecord.from_json(value)
                redo = record.reason in RETRIED
                self._offsets[record.scene][record.index] = _NOT_DONE if redo else offset
        self._file.truncate(offset)

    def _release(self) -> None:
        # Removed while it is still held: whoever comes next makes a new one.
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


def _line(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """Return a line's value, or None for the end of the file and for a torn line."""
    if len(line) < 11 or not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
        return None
    return json.loads(line[9:-1])


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
