"""The journals of all shards of a run, read as one store; only the process that merges them writes to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from bimors_cli.errors import JournalError
from bimors_cli.locks import acquire_lock
from bimors_cli.options.shard import Shard
from bimors_cli.output.classified_schema import RETRIED
from bimors_cli.pipeline.checkpoint.journal import NOT_DONE
from bimors_cli.pipeline.checkpoint.journal_format import (
    SUFFIX,
    Header,
    ShardHeader,
    damaged,
    entries,
    line,
    parse,
    parse_result,
    read_header,
    results_at,
    warnings_of,
)
from bimors_cli.pipeline.checkpoint.lock import acquire_run_lock, lock_file
from bimors_cli.pipeline.plan import TileIndices, num_tiles
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.run_warnings import warn

# State of a merge: it has begun to write the layer, or the layer is complete and the journals are being deleted.
State = Literal["begun", "written"]

_STATE: Final = "merge"
# Progress is reported after so many tiles.
REPORT_EVERY: Final = 1000


@dataclass(frozen=True)
class ShardJournal:
    """A shard's journal and its header."""

    path: Path
    header: Header
    shard_header: ShardHeader

    @property
    def shard(self) -> Shard:
        return self.shard_header.shard


class ShardJournals:
    """A `bimors_cli.pipeline.checkpoint.store.TileStore` of all shards of a run.

    Parameters
    ----------
    journals : sequence of ShardJournal
        One per shard, in order.
    tiles : TileIndices
        All tiles of the run.
    sizes : sequence of int
        Number of tiles of each scene's grid.
    output : Path
        The file that they are merged into.
    keep : bool
        Neither change nor delete the journals.

    Attributes
    ----------
    path : Path
        A pattern of their names, for messages.
    failed : set of Shard
        Shards with tiles that --resume tries again; known once `read` has returned.
    """

    def __init__(
        self, journals: Sequence[ShardJournal], tiles: TileIndices, sizes: Sequence[int], output: Path, *, keep: bool
    ) -> None:
        first = journals[0]
        self.path = first.path.with_name(_pattern(first))
        self.failed: set[Shard] = set()
        self._journals, self._output, self._keep = journals, output, keep
        self._parts = [journal.shard.of(tiles) for journal in journals]
        # Offset of each tile's line in the journal of its shard: 8 bytes per tile.
        self._offsets = [np.full(size, NOT_DONE, dtype=np.int64) for size in sizes]
        self._end = 0  # of the first journal's complete lines

    def read(self, advance: Callable[[int], None]) -> None:
        """Find the result of every tile; ``advance`` is called with numbers of further tiles, and may raise an error.

        Raises
        ------
        JournalError
            A journal cannot be read, or is damaged.
        """
        for journal, part in zip(self._journals, self._parts, strict=True):
            try:
                end = self._read(journal, part, advance)
            except OSError as error:
                raise JournalError(f"{journal.path}: {error.strerror or error}") from error
            if journal is self._journals[0]:
                self._end = end

    def pending(self, tiles: TileIndices) -> TileIndices:
        """Return those of ``tiles`` that have no result yet."""
        return tuple(
            indices[offsets[indices] == NOT_DONE] for offsets, indices in zip(self._offsets, tiles, strict=True)
        )

    def unfinished(self) -> list[tuple[ShardJournal, int, int]]:
        """Return the journals of unfinished shards, with their numbers of pending tiles and of all tiles."""
        pending = [num_tiles(self.pending(part)) for part in self._parts]
        found = zip(self._journals, pending, map(num_tiles, self._parts), strict=True)
        return [(journal, number, total) for journal, number, total in found if number]

    def count(self) -> int:
        """Count the tiles that have a result."""
        return sum(int((offsets != NOT_DONE).sum()) for offsets in self._offsets)

    def results(self) -> Iterator[TileResult]:
        """Yield all results, scene by scene, in the order of the grid: that of the shards."""
        for journal, part in zip(self._journals, self._parts, strict=True):
            done = (int(offset) for scene, tiles in enumerate(part) for offset in self._offsets[scene][tiles])
            yield from results_at(journal.path, done)

    def delete(self) -> None:
        """Delete the journals, once the output holds everything; one that another run has locked stays."""
        if self._keep:
            return
        self.write_state("written")
        delete_journals([journal.path for journal in self._journals])

    def write_state(self, state: State) -> None:
        """Write the state of the merge to the first journal, so that it can be resumed after a kill."""
        if self._keep:
            return
        path = self._journals[0].path
        # If the state cannot be written, a merge that is killed starts from scratch.
        with suppress(OSError, JournalError), acquire_run_lock(path, path.name), path.open("r+b") as file:
            file.truncate(self._end)  # cuts off what a kill has torn
            file.seek(self._end)
            file.write(line({_STATE: [state, str(self._output.absolute())]}))
            file.flush()
            os.fsync(file.fileno())
            self._end = file.tell()

    def _read(self, journal: ShardJournal, part: TileIndices, advance: Callable[[int], None]) -> int:
        """Find the results of one shard; return the end of its last complete line."""
        sizes = [len(offsets) for offsets in self._offsets]
        bounds = [(indices[0], indices[-1]) if len(indices) else (0, -1) for indices in part]
        retry: set[tuple[int, int]] = set()
        found = 0
        with journal.path.open("rb") as file:
            for offset, value in entries(file):
                for text in warnings_of(value):
                    warn(text)
                if not isinstance(value, list):
                    continue
                result = parse_result(value, sizes, journal.path)
                first, last = bounds[result.scene]
                if not first <= result.index <= last:
                    raise damaged(journal.path)
                tile = (result.scene, result.index)
                (retry.add if result.reason in RETRIED else retry.discard)(tile)
                found += int(self._offsets[result.scene][result.index] == NOT_DONE)
                self._offsets[result.scene][result.index] = offset
                if found == REPORT_EVERY:
                    advance(found)
                    found = 0
        advance(found)
        if retry:
            self.failed.add(journal.shard)
        return offset


def open_journal(path: Path) -> ShardJournal | Header:
    """Read the first line of a journal. Returns a `Header` if the journal is of a whole run.

    Raises
    ------
    JournalError
        The file cannot be read, or is not a journal of this version.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error
    return header if header.shard_header is None else ShardJournal(path, header, header.shard_header)


def merge_state(journal: ShardJournal, output: Path) -> State | None:
    """Return the state of a merge into ``output`` that `ShardJournals.write_state` wrote; None if it has not begun."""
    state: State | None = None
    with journal.path.open("rb") as file:
        for raw in file:
            if raw[9:].startswith(b'{"' + _STATE.encode()):
                value = parse(raw)
                if isinstance(value, dict) and value.get(_STATE, [None])[-1] == str(output.absolute()):
                    state = value[_STATE][0]
    return state


def delete_journals(paths: Sequence[Path]) -> None:
    """Delete merged journals, the one with the state last; one that another run has locked stays."""
    for path in reversed(paths):
        try:
            with suppress(JournalError), acquire_lock(lock_file(path), JournalError, f"{path.name}: in use"):
                path.unlink(missing_ok=True)
        except OSError as error:  # the layer is complete
            warn("%s cannot be deleted: %s; the layer is complete, delete it by hand", path, error.strerror or error)


def _pattern(journal: ShardJournal) -> str:
    shard = journal.shard
    return journal.path.name.removesuffix(f"{shard.suffix}{SUFFIX}") + f".*-of-{shard.count}{SUFFIX}"
