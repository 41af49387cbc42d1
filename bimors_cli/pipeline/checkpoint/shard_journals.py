"""The journals of all shards of a run, read as one; nobody writes in them meanwhile but who merges them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import Timeout

from bimors_cli.errors import JournalError
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal import NOT_DONE
from bimors_cli.pipeline.checkpoint.journal_format import (
    SUFFIX,
    Header,
    ShardHeader,
    damaged,
    entries,
    line,
    parse,
    read_header,
    records_at,
    to_record,
)
from bimors_cli.pipeline.checkpoint.lock import RunLock
from bimors_cli.pipeline.plan import TileIndices, num_tiles
from bimors_cli.pipeline.tile_result import RETRIED, TileResult

log = logging.getLogger("bimors")

# How far a merge is: it has begun to write the layer, or the layer holds everything and the journals are being removed.
State = Literal["begun", "written"]

_NOTE = "merge"
# So many tiles are found between two looks at whether to end.
TOLD_AT_ONCE = 1000


@dataclass(frozen=True)
class ShardJournal:
    """A shard's journal and what it tells of itself."""

    path: Path
    header: Header
    origin: ShardHeader

    @property
    def shard(self) -> Shard:
        return self.origin.shard


class ShardJournals:
    """A `bimors_cli.pipeline.checkpoint.store.TileStore` of all shards of a run.

    Parameters
    ----------
    journals : sequence of ShardJournal
        One of each shard, in their order.
    todo : Todo
        All tiles of the run.
    sizes : sequence of int
        Number of tiles of each scene's grid.
    output : Path
        What they are merged into.
    keep : bool
        Leave them as they are, to the letter.

    Attributes
    ----------
    path : Path
        A pattern of their names, for messages.
    failed : set of Shard
        Those with tiles that --resume would try again; known when all was read.
    """

    def __init__(
        self, journals: Sequence[ShardJournal], todo: TileIndices, sizes: Sequence[int], output: Path, *, keep: bool
    ) -> None:
        first = journals[0]
        self.path = first.path.with_name(_pattern(first))
        self.failed: set[Shard] = set()
        self._journals, self._output, self._keep = journals, output, keep
        self._shares = [journal.shard.of(todo) for journal in journals]
        # Where a tile's line begins in the journal of its shard: 8 bytes a tile.
        self._offsets = [np.full(size, NOT_DONE, dtype=np.int64) for size in sizes]
        self._end = 0  # of the first journal's whole lines

    def read(self, advance: Callable[[int], None]) -> None:
        """Find every tile's record; ``advance`` is told of so many more tiles, and may end it by an error.

        Raises
        ------
        JournalError
            A journal cannot be read, or holds what its shard has not written.
        """
        for journal, share in zip(self._journals, self._shares, strict=True):
            try:
                end = self._read(journal, share, advance)
            except OSError as error:
                raise JournalError(f"{journal.path}: {error.strerror or error}") from error
            if journal is self._journals[0]:
                self._end = end

    def missing(self) -> list[tuple[ShardJournal, int, int]]:
        """Return the journals that are not finished, with how many tiles they lack and how many they shall have."""
        found = []
        for journal, share in zip(self._journals, self._shares, strict=True):
            lacks = sum(
                int((offsets[places] == NOT_DONE).sum()) for offsets, places in zip(self._offsets, share, strict=True)
            )
            if lacks:
                found.append((journal, lacks, num_tiles(share)))
        return found

    def count(self) -> int:
        """Count the tiles that have a record."""
        return sum(int((offsets != NOT_DONE).sum()) for offsets in self._offsets)

    def records(self) -> Iterator[TileResult]:
        """Yield all records, scene by scene, in the order of the grid: that of the shards."""
        for journal, share in zip(self._journals, self._shares, strict=True):
            places = (int(offset) for scene, tiles in enumerate(share) for offset in self._offsets[scene][tiles])
            yield from records_at(journal.path, places)

    def delete(self) -> None:
        """Remove them: the output holds everything. One that somebody has taken up again stays."""
        if self._keep:
            return
        self.note("written")
        remove([journal.path for journal in self._journals])

    def note(self, state: State) -> None:
        """Note in the first journal how far the merge is, so that it can go on after a kill."""
        if self._keep:
            return
        # Where nothing can be written, a merge that was killed begins anew.
        with suppress(OSError, Timeout), RunLock(self._journals[0].path), self._journals[0].path.open("r+b") as file:
            file.truncate(self._end)  # what a kill has torn
            file.seek(self._end)
            file.write(line({_NOTE: [state, str(self._output.absolute())]}))
            file.flush()
            os.fsync(file.fileno())
            self._end = file.tell()

    def _read(self, journal: ShardJournal, share: TileIndices, advance: Callable[[int], None]) -> int:
        sizes = [len(offsets) for offsets in self._offsets]
        bounds = [(places[0], places[-1]) if len(places) else (0, -1) for places in share]
        again: set[tuple[int, int]] = set()
        found = 0
        with journal.path.open("rb") as file:
            for offset, value in entries(file):
                if not isinstance(value, list):
                    continue
                record = to_record(value, sizes, journal.path)
                first, last = bounds[record.scene]
                if not first <= record.index <= last:
                    raise damaged(journal.path)
                place = (record.scene, record.index)
                (again.add if record.reason in RETRIED else again.discard)(place)
                found += int(self._offsets[record.scene][record.index] == NOT_DONE)
                self._offsets[record.scene][record.index] = offset
                if found == TOLD_AT_ONCE:
                    advance(found)
                    found = 0
        advance(found)
        if again:
            self.failed.add(journal.shard)
        return offset


def open_journal(path: Path) -> ShardJournal | Header:
    """Read the first line of a journal; a `Header` if it is that of a whole run.

    Raises
    ------
    JournalError
        It cannot be read, or is no journal of this version.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error
    return header if header.origin is None else ShardJournal(path, header, header.origin)


def merge_state(journal: ShardJournal, output: Path) -> State | None:
    """Return how far a merge of these journals into ``output`` is, as `ShardJournals.note` has it; None before it."""
    state: State | None = None
    with journal.path.open("rb") as file:
        for raw in file:
            if raw[9:].startswith(b'{"' + _NOTE.encode()):
                value = parse(raw)
                if isinstance(value, dict) and value.get(_NOTE, [None])[-1] == str(output.absolute()):
                    state = value[_NOTE][0]
    return state


def remove(paths: Sequence[Path]) -> None:
    """Remove merged journals, that with the note last; what somebody has taken up again stays."""
    for path in reversed(paths):
        try:
            with suppress(Timeout), RunLock(path):
                path.unlink(missing_ok=True)
        except OSError as error:  # the layer is there
            log.warning("%s cannot be removed: %s", path, error.strerror or error)


def _pattern(journal: ShardJournal) -> str:
    shard = journal.shard
    return journal.path.name.removesuffix(f"{shard.suffix}{SUFFIX}") + f".*-of-{shard.count}{SUFFIX}"
