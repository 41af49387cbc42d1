"""What unfinished runs left beside an output, whichever engine looked at the tiles."""

from __future__ import annotations

import glob
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.errors import JournalError, OutputExistsError
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal_format import SUFFIX, journal_path
from bimors_cli.pipeline.checkpoint.lock import acquire_run_lock


@dataclass(frozen=True)
class UnfinishedRun:
    """Finished tiles at ``path``, of one shard or of a whole run; ``ray`` for those of that engine."""

    path: Path
    shard: Shard | None = None
    ray: bool = False

    def refusal(self, output: Path, *, own: bool, append: bool) -> OutputExistsError:
        """Say why a run cannot begin, or go on, beside it; ``own`` if this run would go on with it."""
        anew = f"remove {self.path.name} to start anew" if append else "start anew with --overwrite"
        if own:
            what = "a run" if self.shard is None else f"shard {self.shard}"
            return OutputExistsError(
                f"{self.path.name}: {what} of this output was not finished", f"go on with --resume, or {anew}"
            )
        if self.shard is not None:
            return OutputExistsError(
                f"{self.path.name}: shard {self.shard} of this output was not merged",
                f"when all {self.shard.count} are finished: {merge_command(output, self.shard.count)}; or {anew}",
            )
        how = "--engine ray --resume" if self.ray else "--resume, without --shard and --engine"
        who = "a run with --engine ray" if self.ray else "a run"
        return OutputExistsError(
            f"{self.path.name}: {who} of this output was not finished", f"go on with {how}, or {anew}"
        )


def merge_command(output: Path, count: int) -> str:
    """Return the command that makes a layer of so many shards."""
    quoted = shlex.quote(str(output))
    return f"bimors merge {quoted} {quoted}.*-of-{count}{SUFFIX}"


def blocks_path(output: Path) -> Path:
    """Return the folder in which the engine Ray keeps finished tiles."""
    return output.with_name(output.name + ".bimors-blocks")


def unfinished_runs(output: Path) -> list[UnfinishedRun]:
    """List what runs left of an output: its journal, the journals of its shards in their order, Ray's folder."""
    found = [UnfinishedRun(path) for path in [journal_path(output)] if path.exists()]
    found += sorted(_shards(output), key=lambda left: (left.shard.count, left.shard.number) if left.shard else (0, 0))
    return found + [UnfinishedRun(path, ray=True) for path in [blocks_path(output)] if path.exists()]


@contextmanager
def exclusive(output: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold an output as a whole run of it does.

    Raises
    ------
    JournalError
        Another run holds it, for all of the seconds to ``wait``; or its folder cannot be written.
    """
    with acquire_run_lock(journal_path(output), output.name, other="name a file elsewhere", wait=wait):
        yield


def remove(left: UnfinishedRun) -> None:
    """Remove finished tiles of an output that nobody wants any more; by who holds the output.

    Raises
    ------
    JournalError
        A run is at work there.
    """
    # A shard is written by whoever holds its journal, all else of an output by whoever holds that of the whole run.
    with nullcontext() if left.shard is None else acquire_run_lock(left.path, left.path.name):
        try:
            if left.path.is_dir():
                shutil.rmtree(left.path)
            else:
                left.path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"{left.path}: cannot be removed: {error.strerror or error}") from error


def _shards(output: Path) -> Iterator[UnfinishedRun]:
    named = re.compile(re.escape(output.name) + r"\.(\d{1,9})-of-(\d{1,9})" + re.escape(SUFFIX), re.ASCII)
    for path in output.parent.glob(f"{glob.escape(output.name)}.*-of-*{SUFFIX}"):
        match = named.fullmatch(path.name)
        if match is not None:
            yield UnfinishedRun(path, Shard(int(match[1]), int(match[2])))
