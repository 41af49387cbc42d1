"""What unfinished runs have left next to an output, whichever engine processed the tiles."""

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
    """Finished tiles at ``path``, of one shard or of a whole run; ``ray`` if the engine Ray wrote them."""

    path: Path
    shard: Shard | None = None
    ray: bool = False

    def refusal(self, output: Path, *, own: bool, append: bool) -> OutputExistsError:
        """Return the error of a run that cannot start because of it; ``own`` if that run could resume it."""
        restart = f"remove {self.path.name} to start from scratch" if append else "start from scratch with --overwrite"
        if own:
            what = "a run" if self.shard is None else f"shard {self.shard}"
            return OutputExistsError(
                f"{self.path.name}: {what} of this output was not finished", f"continue with --resume, or {restart}"
            )
        if self.shard is not None:
            return OutputExistsError(
                f"{self.path.name}: shard {self.shard} of this output was not merged",
                f"when all {self.shard.count} are finished: {merge_command(output, self.shard.count)}; or {restart}",
            )
        how = "--engine ray --resume" if self.ray else "--resume, without --shard and --engine"
        who = "a run with --engine ray" if self.ray else "a run"
        return OutputExistsError(
            f"{self.path.name}: {who} of this output was not finished", f"continue with {how}, or {restart}"
        )


def merge_command(output: Path, count: int) -> str:
    """Return the command that merges so many shards into the layer."""
    quoted = shlex.quote(str(output))
    return f"bimors merge {quoted} {quoted}.*-of-{count}{SUFFIX}"


def blocks_path(output: Path) -> Path:
    """Return the folder in which the engine Ray saves finished tiles."""
    return output.with_name(output.name + ".bimors-blocks")


def unfinished_runs(output: Path) -> list[UnfinishedRun]:
    """List what runs have left of an output: its journal, the journals of its shards in order, Ray's folder."""
    found = [UnfinishedRun(path) for path in [journal_path(output)] if path.exists()]
    found += sorted(_shards(output), key=lambda run: (run.shard.count, run.shard.number) if run.shard else (0, 0))
    return found + [UnfinishedRun(path, ray=True) for path in [blocks_path(output)] if path.exists()]


@contextmanager
def exclusive(output: Path, wait: float = 0.0) -> Iterator[None]:
    """Lock an output as a run of the whole output does; ``wait`` is in seconds.

    Raises
    ------
    JournalError
        Another run holds the lock, or the folder cannot be written.
    """
    with acquire_run_lock(journal_path(output), output.name, other="use another file name", wait=wait):
        yield


def delete_unfinished(run: UnfinishedRun) -> None:
    """Delete finished tiles that are not needed any more. The caller holds the lock of the output.

    Raises
    ------
    JournalError
        Another run is writing them, or they cannot be deleted.
    """
    # A shard's journal has its own lock; everything else is locked by the journal of the whole run.
    with nullcontext() if run.shard is None else acquire_run_lock(run.path, run.path.name):
        try:
            if run.path.is_dir():
                shutil.rmtree(run.path)
            else:
                run.path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"{run.path}: cannot be deleted: {error.strerror or error}") from error


def _shards(output: Path) -> Iterator[UnfinishedRun]:
    named = re.compile(re.escape(output.name) + r"\.(\d{1,9})-of-(\d{1,9})" + re.escape(SUFFIX), re.ASCII)
    for path in output.parent.glob(f"{glob.escape(output.name)}.*-of-*{SUFFIX}"):
        match = named.fullmatch(path.name)
        if match is not None:
            yield UnfinishedRun(path, Shard(int(match[1]), int(match[2])))
