"""The journal as a file: lines with a checksum, the first of which tells the run, and the names of such files."""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bimors_cli.errors import JournalError
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.tile_result import TileResult

SCHEMA = 1
SUFFIX = ".bimors-journal"


def journal_path(output: Path, shard: Shard | None = None) -> Path:
    """Return the place of an output's journal, or of that of one of its shards."""
    return output.with_name(output.name + ("" if shard is None else shard.suffix) + SUFFIX)


@dataclass(frozen=True)
class ShardHeader:
    """What makes a shard's run again on another machine: which shard, the options as JSON values, and the command."""

    shard: Shard
    options: Mapping[str, Any]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Header:
    """The first line: everything that decides the rows, and for a shard where it comes from."""

    run: Mapping[str, Any]
    origin: ShardHeader | None = None

    def to_json(self) -> dict[str, Any]:
        """Make JSON values."""
        value: dict[str, Any] = {"bimors_journal": SCHEMA, "run": self.run}
        if self.origin is not None:
            value["shard"] = [self.origin.shard.number, self.origin.shard.count]
            value["options"], value["command"] = self.origin.options, self.origin.command
        return value

    @classmethod
    def from_json(cls, value: Any) -> Header:
        """Undo `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        if value["bimors_journal"] != SCHEMA or not isinstance(value["run"], dict):
            raise ValueError
        if "shard" not in value:
            return cls(value["run"])
        number, count = map(int, value["shard"])
        if not 1 <= number <= count or not isinstance(value["options"], dict):
            raise ValueError
        origin = ShardHeader(Shard(number, count), value["options"], tuple(map(str, value["command"])))
        return cls(value["run"], origin)


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read the first line of a journal that stands at its beginning.

    Raises
    ------
    JournalError
        The file is no journal, or one of another version.
    """
    try:
        return Header.from_json(parse(file.readline()))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path}: not a journal of this bimors version", "remove it to start anew") from error


def entries(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield where each line begins and its value; at last the end, or what a kill has torn, and None."""
    while True:
        offset = file.tell()
        value = parse(file.readline())
        yield offset, value
        if value is None:
            return


def to_record(value: Sequence[Any], sizes: Sequence[int], path: Path) -> TileResult:
    """Take a record out of a line whose checksum is right.

    Raises
    ------
    JournalError
        No run has written this.
    """
    try:
        record = TileResult.from_json(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise damaged(path) from error
    known = 0 <= record.scene < len(sizes) and 0 <= record.index < sizes[record.scene]
    if not known or not isinstance(record.reason, str | None) or not isinstance(record.caption, str | None):
        raise damaged(path)
    return record


def damaged(path: Path) -> JournalError:
    """Say that a journal cannot be trusted."""
    return JournalError(f"{path}: holds what no run has written", "remove it to start anew")


def records_at(path: Path, offsets: Iterable[int]) -> Iterator[TileResult]:
    """Read the records of a journal that begin at ``offsets``.

    Raises
    ------
    JournalError
        One is not there any more, or the journal cannot be read.
    """
    try:
        with path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                value = parse(file.readline())
                if not isinstance(value, list):
                    raise JournalError(f"{path}: changed by somebody else while the run was going on")
                yield TileResult.from_json(value)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error


def session() -> dict[str, Any]:
    """Tell who writes."""
    return {"session": {"pid": os.getpid(), "host": platform.node()}}


def line(value: Any) -> bytes:
    """Write a value as a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def parse(line: bytes) -> Any:
    """Return a line's value, or None for the end of the file and for a torn line."""
    if len(line) < 11 or not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
        return None
    try:
        return json.loads(line[9:-1])
    except (ValueError, RecursionError):
        return None


def lock_owner(path: Path) -> str:
    """Name the process that writes a journal, if it tells."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return ""
    sessions = [v["session"] for v in map(parse, lines[:10_000]) if isinstance(v, dict) and "session" in v]
    return f" (process {sessions[-1]['pid']} on {sessions[-1]['host']})" if sessions else ""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name what differs between two runs, with both values where they are short."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a != b:
            shown = f"{json.dumps(a, ensure_ascii=False)}, now {json.dumps(b, ensure_ascii=False)}"
            found.append(f"{key} ({shown})" if len(shown) <= 80 else key)
    return found


def ignoring_file_times(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two runs without what copies of one scene may differ in: machines may have copies of their own.

    That is when it was modified, and its size where one of them is asked of a server.
    """
    runs = [{**run, "scenes": [{**scene, "modified": None} for scene in run.get("scenes", ())]} for run in (old, new)]
    for pair in zip(runs[0]["scenes"], runs[1]["scenes"], strict=False):
        if any(scene.get("size") is None for scene in pair):
            for scene in pair:
                scene["size"] = None
    return runs[0], runs[1]
