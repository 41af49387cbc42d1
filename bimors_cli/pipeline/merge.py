"""Merges the journals of all shards into one layer, after checking them against each other and against the scenes."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError, Interrupted, JournalError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.options.shard import Shard
from bimors_cli.output.formats import GEOJSONSEQ, guess_format, is_known_suffix
from bimors_cli.pipeline.checkpoint.journal_format import differences, ignoring_file_times, lock_owner
from bimors_cli.pipeline.checkpoint.lock import is_locked
from bimors_cli.pipeline.checkpoint.shard_header import command_of, options_of
from bimors_cli.pipeline.checkpoint.shard_journals import (
    ShardJournal,
    ShardJournals,
    delete_journals,
    merge_state,
    open_journal,
)
from bimors_cli.pipeline.checkpoint.unfinished import exclusive
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.plan import Plan, all_tiles, num_tiles
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.run import warn_of_plan
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.write_layer import write_layer
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.scene.gdal import file_name, is_local
from bimors_cli.steps import step

RESUME_HINT = "run the same command again"
# Messages name at most so many shards.
MAX_NAMED = 5


@keeps_warnings
def merge(
    options: MergeOptions,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    command: Sequence[str] = ("bimors_cli.merge",),
) -> Summary:
    """Write the layer of a run in shards, and remove their journals.

    Parameters
    ----------
    options : MergeOptions
        The options of `bimors merge`.
    progress, stop, command : optional
        As `bimors_cli.pipeline.run.run`.

    Raises
    ------
    InputError
        A journal is not one of a shard; the journals are from different runs; a shard is missing, given twice, or not
        finished; a scene, the AOI or a model has changed; the output exists.
    JournalError
        A shard is still running, or its journal cannot be read.
    Interrupted
        ``stop`` was requested; the journals are unchanged.
    BimorsError
        The output cannot be written. The journals stay.
    """
    progress, stop = progress or NullProgress(), stop or NullProgress()
    clock = time.perf_counter()
    options.check_required()
    output = Path(options.output)
    with step("opening the journals"):
        journals = _journals(options.journals)
    with exclusive(output):
        state = merge_state(journals[0], output)
        if state == "written" and output.exists():
            delete_journals([journal.path for journal in journals])
            return Summary(output=options.output, finished_before=True)
        _check_complete(journals)
        # After a killed merge the output is its own to replace.
        resume = state == "begun" and not options.overwrite
        with step("opening the scenes"):
            plan = make_plan(_options(options, journals[0], resume=resume))
        _check_same_run(plan, journals)
        warn_of_plan(plan)
        job = Classification.from_plan(plan, command)
        target = OutputTarget(plan, job.schema, job.raster, output, journals[0].shard.count)
        target.check()
        store = _read(plan, journals, progress, stop, keep=options.keep_journals)
        job.summary.seconds["journals"] = time.perf_counter() - clock
        if options.overwrite:
            target.remove_unfinished()
        else:
            store.write_state("begun")
        write_layer(job, target, store, stop, resume_hint=RESUME_HINT)
    if job.summary.failed:
        job.summary.journal = None
        job.summary.next_step = _retry_hint(job.summary.failed, journals, store.failed)
    job.summary.warnings = warnings_so_far()
    return job.summary


def _journals(paths: Sequence[str]) -> list[ShardJournal]:
    """Open journals and sort them by shard; refuse two of one shard, or of runs with other numbers of shards."""
    found: dict[Shard, ShardJournal] = {}
    for path in dict.fromkeys(Path(path).absolute() for path in paths):
        journal = open_journal(path)
        if not isinstance(journal, ShardJournal):
            raise InputError(
                f"{path.name} is the journal of a run without --shard",
                "continue that run with --resume",
            )
        other = found.setdefault(journal.shard, journal)
        if other is not journal:
            raise InputError(
                f"{other.path} and {path} are both journals of shard {journal.shard}", "leave out one of them"
            )
        if is_locked(path):
            raise JournalError(
                f"{path.name}: shard {journal.shard} is still running{lock_owner(path)}",
                "merge when all shards have ended",
            )
    journals = [found[shard] for shard in sorted(found)]
    first, last = journals[0], max(journals, key=lambda journal: journal.shard.count)
    if first.shard.count != last.shard.count:
        raise InputError(
            f"{first.path.name} is from a run of {first.shard.count} shards, {last.path.name} from one of "
            f"{last.shard.count}",
            "give the journals of one run only",
        )
    return journals


def _check_complete(journals: Sequence[ShardJournal]) -> None:
    """Check that the journals of all shards are given, and are from one run."""
    first, given = journals[0], {journal.shard.number for journal in journals}
    missing = [Shard(number, first.shard.count) for number in range(1, first.shard.count + 1) if number not in given]
    if missing:
        what = "shard" if len(missing) == 1 else "shards"
        raise InputError(
            f"no journal given of {what} {_join(list(map(str, missing)))}",
            f"run shard {missing[0]} with: {shlex.join(command_of(first.shard_header, missing[0]))}",
        )
    for journal in journals[1:]:
        _compare(first.header.run, journal.header.run, f"{journal.path.name} is not from the run of {first.path.name}")


def _check_same_run(plan: Plan, journals: Sequence[ShardJournal]) -> None:
    """Check that the plan on this machine is that of the shards, but for the format of the layer."""
    written_as = ("format", "layer", "crs")
    old, new = (
        {key: value for key, value in run.items() if key not in written_as}
        for run in (journals[0].header.run, plan.run_key())
    )
    _compare(old, new, "the scenes, models or options differ from those of the shards")
    if any(journal.header.run.get("scenes") != new["scenes"] for journal in journals):
        warn("the copies of a scene that the shards used have other modification times: check that they are the same")


def _compare(old: Any, new: Any, what: str) -> None:
    different = differences(*ignoring_file_times(old, new))
    if different:
        raise InputError(
            f"{what}: {'; '.join(different)}", "merge the shards of one run, with the same scenes and models"
        )


def _options(options: MergeOptions, journal: ShardJournal, *, resume: bool) -> ClassifyOptions:
    """Return the options of the run, with the paths of this machine."""
    origin = options_of(journal.shard_header.options, shard=None)
    form = options.format
    if form is None and not is_known_suffix(Path(options.output)):
        form = origin.format
    changed: dict[str, Any] = {
        "output": options.output,
        "format": form,
        "rs": origin.rs and guess_format(Path(options.output), form).name == GEOJSONSEQ.name,
        "scenes": _scenes(origin.scenes, options.scenes),
        "overwrite": options.overwrite,
        "resume": resume,
        "device": "auto",
    }
    given: dict[str, Any] = {
        "layer": options.layer,
        "aoi": options.aoi,
        "model": options.model,
        "adapter": options.adapter,
    }
    return replace(origin, **changed, **{name: value for name, value in given.items() if value is not None})


def _scenes(paths: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Replace the paths of scenes by those given with the same file names."""
    by_name = {file_name(path): path for path in given}
    for name in by_name.keys() - {file_name(path) for path in paths}:
        raise InputError(
            f"--scene {by_name[name]}: no scene of the shards has this name",
            f"the scenes are: {_join([file_name(path) for path in paths])}",
        )
    found = tuple(by_name.get(file_name(path), path) for path in paths)
    for path in found:
        if is_local(path) and not os.path.exists(path):
            raise InputError(f"{path}: scene of the shards not found", "give its path on this machine: --scene PATH")
    return found


def _read(
    plan: Plan, journals: Sequence[ShardJournal], progress: Progress, stop: StopRequest, *, keep: bool
) -> ShardJournals:
    """Find the results of all tiles in the journals, and check that none is missing."""
    tiles = all_tiles(plan)
    sizes = [len(scene.grid) for scene in plan.scenes]
    store = ShardJournals(journals, tiles, sizes, plan.output, keep=keep)
    progress.begin(num_tiles(tiles), 0)

    def advance(count: int) -> None:
        progress.advance(count)
        if stop.signal_number is not None:
            raise Interrupted(stop.signal_number, "interrupted; nothing was written", f"{RESUME_HINT} to continue")

    store.read(advance)
    missing = store.unfinished()
    if missing:
        counts = _join([f"shard {journal.shard} lacks {lack:,} of {total:,} tiles" for journal, lack, total in missing])
        journal, _, _ = missing[0]
        raise InputError(
            f"not all shards are finished: {counts}",
            f"continue {'each shard' if len(missing) > 1 else 'it'} with: "
            f"{shlex.join(command_of(journal.shard_header, journal.shard, '--resume'))}",
        )
    return store


def _retry_hint(failed: int, journals: Sequence[ShardJournal], shards: set[Shard]) -> str:
    """Return how to try failed tiles again."""
    journal = next(journal for journal in journals if journal.shard in shards)
    return (
        f"{failed:,} tiles failed, in shards {_join(list(map(str, sorted(shards))))}: "
        "run each of them again, then merge again: "
        f"{shlex.join(command_of(journal.shard_header, journal.shard, '--resume'))}"
    )


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
