"""The file format of journals: lines with a checksum, the first of which describes the run; and names of journals."""

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
WARNINGS = "warnings"


def journal_path(output: Path, shard: Shard | None = None) -> Path:
    """Return the path of an output's journal, or of the journal of one of its shards."""
    return output.with_name(output.name + ("" if shard is None else shard.suffix) + SUFFIX)


@dataclass(frozen=True)
class ShardHeader:
    """What another machine needs to repeat a shard's run: the shard, the options as JSON values, and the command."""

    shard: Shard
    options: Mapping[str, Any]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Header:
    """The first line: everything that determines the rows, and for a shard its options and command."""

    run: Mapping[str, Any]
    shard_header: ShardHeader | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        value: dict[str, Any] = {"bimors_journal": SCHEMA, "run": self.run}
        if (header := self.shard_header) is not None:
            value["shard"] = [header.shard.number, header.shard.count]
            value["options"], value["command"] = header.options, header.command
        return value

    @classmethod
    def from_json(cls, value: Any) -> Header:
        """Invert `to_json`. Raises ValueError, KeyError or TypeError if ``value`` is not a header."""
        if value["bimors_journal"] != SCHEMA or not isinstance(value["run"], dict):
            raise ValueError
        if "shard" not in value:
            return cls(value["run"])
        number, count = map(int, value["shard"])
        if not 1 <= number <= count or not isinstance(value["options"], dict):
            raise ValueError
        header = ShardHeader(Shard(number, count), value["options"], tuple(map(str, value["command"])))
        return cls(value["run"], header)


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read the first line of a journal; ``file`` is at its start.

    Raises
    ------
    JournalError
        The file is not a journal, or is of another version.
    """
    try:
        return Header.from_json(parse(file.readline()))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(
            f"{path}: not a journal of this bimors version", "remove it to start from scratch"
        ) from error


def entries(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield offset and value of each line; last the offset of the end, or of a torn line, and None."""
    while True:
        offset = file.tell()
        value = parse(file.readline())
        yield offset, value
        if value is None:
            return


def parse_result(value: Sequence[Any], sizes: Sequence[int], path: Path) -> TileResult:
    """Return the result that a line with a correct checksum holds.

    Raises
    ------
    JournalError
        The value is not a result of this run.
    """
    try:
        result = TileResult.from_json(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise damaged(path) from error
    known = 0 <= result.scene < len(sizes) and 0 <= result.index < sizes[result.scene]
    if not known or not isinstance(result.reason, str | None) or not isinstance(result.caption, str | None):
        raise damaged(path)
    return result


def damaged(path: Path) -> JournalError:
    """Return the error for a journal with an invalid line."""
    return JournalError(f"{path}: the journal is damaged", "remove it to start from scratch")


def results_at(path: Path, offsets: Iterable[int]) -> Iterator[TileResult]:
    """Yield the results of a journal at ``offsets``.

    Raises
    ------
    JournalError
        The file was changed meanwhile, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                value = parse(file.readline())
                if not isinstance(value, list):
                    raise JournalError(f"{path}: changed by another program during the run")
                yield TileResult.from_json(value)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error


def session() -> dict[str, Any]:
    """Return the entry that names the process that writes."""
    return {"session": {"pid": os.getpid(), "host": platform.node()}}


def warnings_of(value: Any) -> list[str]:
    """Return the texts of a line that holds warnings; none for any other line."""
    found = value.get(WARNINGS, []) if isinstance(value, dict) else []
    return [str(text) for text in found] if isinstance(found, list) else []


def line(value: Any) -> bytes:
    """Return a value as a line."""
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
    """Name the process that writes a journal, for messages; empty if unknown."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return ""
    sessions = [v["session"] for v in map(parse, lines[:10_000]) if isinstance(v, dict) and "session" in v]
    return f" (process {sessions[-1]['pid']} on {sessions[-1]['host']})" if sessions else ""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List what differs between two runs, with both values where they are short."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a != b:
            shown = f"{json.dumps(a, ensure_ascii=False)}, now {json.dumps(b, ensure_ascii=False)}"
            found.append(f"{key} ({shown})" if len(shown) <= 80 else key)
    return found


def ignoring_file_times(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two runs without what may differ between copies of one scene on several machines.

    That is the modification time, and the file size where one of the copies is read from a server.
    """
    runs = [{**run, "scenes": [{**scene, "modified": None} for scene in run.get("scenes", ())]} for run in (old, new)]
    for pair in zip(runs[0]["scenes"], runs[1]["scenes"], strict=False):
        if any(scene.get("size") is None for scene in pair):
            for scene in pair:
                scene["size"] = None
    return runs[0], runs[1]
