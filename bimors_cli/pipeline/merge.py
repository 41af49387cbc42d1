"""Shards become the layer: their journals are checked against each other and against the scenes, and written as one."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError, Interrupted, JournalError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.shard import Shard
from bimors_cli.output.formats import GEOJSONSEQ, STDOUT, guess_format, is_known_suffix
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
from bimors_cli.pipeline.output_checks import check_output, remove_unfinished
from bimors_cli.pipeline.plan import Plan, all_tiles, count
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.write_layer import write_layer
from bimors_cli.scene.gdal import file_name, is_local

GO_ON = "run the same command again"
# Of shards that are missing or unfinished, so many are named.
NAMED = 5

log = logging.getLogger("bimors")


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """What a user may choose when shards are merged.

    ``journals`` are those of all shards. ``scenes``, ``aoi``, ``model`` and ``adapter`` say where these are on this
    machine, if they are elsewhere; scenes go by their file names. ``format`` and ``layer`` are those of the shards, if
    None, unless the suffix of ``output`` says another format.
    """

    output: str
    journals: tuple[str, ...]
    format: str | None = None
    layer: str | None = None
    scenes: tuple[str, ...] = ()
    aoi: str | None = None
    model: str | None = None
    adapter: str | None = None
    overwrite: bool = False
    keep_journals: bool = False

    def __post_init__(self) -> None:
        if not self.journals:
            raise InputError("no journal given", "name those of all shards: out.gpkg.*-of-16.bimors-journal")
        if Path(self.output) == STDOUT:
            raise InputError("shards are merged into a file, not a stream", "name it: bimors merge out.gpkg …")


def merge(
    options: MergeOptions,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    command: Sequence[str] = ("bimors_cli.merge",),
) -> Summary:
    """Write the layer of a run that was done in shards, and remove their journals.

    Parameters
    ----------
    options : MergeOptions
        What the user chose.
    progress, stop, command : optional
        As `bimors_cli.pipeline.run.run`.

    Raises
    ------
    InputError
        A journal is not that of a shard; they are of different runs; one is missing, there twice, or not finished; a
        scene, the AOI or a model is not what it was; the output is there already.
    JournalError
        A shard is still at work, or its journal cannot be read.
    Interrupted
        ``stop`` asked for it; the journals are as they were.
    BimorsError
        The output cannot be written. The journals stay.
    """
    progress, stop = progress or NullProgress(), stop or NullProgress()
    clock = time.perf_counter()
    output = Path(options.output)
    journals = _journals(options.journals)
    with exclusive(output):
        state = merge_state(journals[0], output)
        if state == "written" and output.exists():
            delete_journals([journal.path for journal in journals])
            return Summary(output=options.output, finished_before=True)
        _check_whole(journals)
        # What an earlier merge was killed over is its own to replace.
        resume = state == "begun" and not options.overwrite
        plan = make_plan(_options(options, journals[0], resume=resume))
        _check_same(plan, journals)
        job = Classification(plan, command)
        shards = journals[0].shard.count
        check_output(plan, job.spec, job.raster, resume=resume, checkpoint_path=output, shards=shards)
        finished = _read(plan, journals, progress, stop, keep=options.keep_journals)
        job.summary.seconds["journals"] = time.perf_counter() - clock
        if options.overwrite:
            remove_unfinished(output, output, shards)
        else:
            finished.write_state("begun")
        write_layer(job, finished, stop, resume=resume, go_on=GO_ON)
    if job.summary.failed:
        job.summary.journal = None
        job.summary.then = _again(job.summary.failed, journals, finished.failed)
    return job.summary


def _journals(paths: Sequence[str]) -> list[ShardJournal]:
    """Open journals and sort them by their shards; two of one shard, or of different numbers of shards, do not go."""
    found: dict[Shard, ShardJournal] = {}
    for path in dict.fromkeys(Path(path).absolute() for path in paths):
        journal = open_journal(path)
        if not isinstance(journal, ShardJournal):
            raise InputError(
                f"{path.name}: the journal of a whole run, not of a shard",
                "go on with that run: the same with --resume",
            )
        other = found.setdefault(journal.shard, journal)
        if other is not journal:
            raise InputError(f"{other.path} and {path} are both of shard {journal.shard}", "leave one of them out")
        if is_locked(path):
            raise JournalError(
                f"{path.name}: shard {journal.shard} is still at work{lock_owner(path)}", "merge when all have ended"
            )
    journals = [found[shard] for shard in sorted(found)]
    first, last = journals[0], max(journals, key=lambda journal: journal.shard.count)
    if first.shard.count != last.shard.count:
        raise InputError(
            f"{first.path.name} is of {first.shard.count} shards, {last.path.name} of {last.shard.count}",
            "name those of one run only",
        )
    return journals


def _check_whole(journals: Sequence[ShardJournal]) -> None:
    """Check that all shards are there, and are of one run."""
    first, there = journals[0], {journal.shard.number for journal in journals}
    missing = [Shard(number, first.shard.count) for number in range(1, first.shard.count + 1) if number not in there]
    if missing:
        what = "shard {} is" if len(missing) == 1 else "shards {} are"
        raise InputError(
            f"{what.format(_listed(list(map(str, missing))))} not among the journals",
            f"one is made by: {shlex.join(command_of(first.shard_header, missing[0]))}",
        )
    for journal in journals[1:]:
        _compare(first.header.run, journal.header.run, f"{journal.path.name}: not of the run of {first.path.name}")


def _check_same(plan: Plan, journals: Sequence[ShardJournal]) -> None:
    """Check that the plan that was made again is that of the shards, whatever the layer is written as."""
    written_as = ("format", "layer", "crs")
    old, new = (
        {key: value for key, value in run.items() if key not in written_as}
        for run in (journals[0].header.run, plan.run_key())
    )
    _compare(old, new, "what the shards were made from is not what is here")
    if any(journal.header.run.get("scenes") != new["scenes"] for journal in journals):
        log.warning("the shards saw copies of a scene that were modified at other times; all else of them agrees")


def _compare(old: Any, new: Any, what: str) -> None:
    different = differences(*ignoring_file_times(old, new))
    if different:
        raise InputError(
            f"{what}: {'; '.join(different)}", "merge shards of one run, with the scenes and models that they had"
        )


def _options(options: MergeOptions, journal: ShardJournal, *, resume: bool) -> ClassifyOptions:
    """Make the options of the run again, with what is other on this machine."""
    origin = options_of(journal.shard_header.options, shard=None)
    form = options.format
    if form is None and not is_known_suffix(Path(options.output)):
        form = origin.format
    other: dict[str, Any] = {
        "output": options.output,
        "format": form,
        "rs": origin.rs and guess_format(Path(options.output), form).name == GEOJSONSEQ.name,
        "scenes": _scenes(origin.scenes, options.scenes),
        "overwrite": options.overwrite,
        "resume": resume,
        "device": "auto",
    }
    here: dict[str, Any] = {
        "layer": options.layer,
        "aoi": options.aoi,
        "model": options.model,
        "adapter": options.adapter,
    }
    return replace(origin, **other, **{name: value for name, value in here.items() if value is not None})


def _scenes(paths: Sequence[str], here: Sequence[str]) -> tuple[str, ...]:
    """Put scenes of this machine in the place of those of the same names."""
    places = {file_name(path): path for path in here}
    for name in places.keys() - {file_name(path) for path in paths}:
        raise InputError(
            f"--scene {places[name]}: no scene of the shards has this name",
            f"they are: {_listed([file_name(path) for path in paths])}",
        )
    found = tuple(places.get(file_name(path), path) for path in paths)
    for path in found:
        if is_local(path) and not os.path.exists(path):
            raise InputError(f"{path}: this scene of the shards is not here", "say where it is now: --scene PATH")
    return found


def _read(
    plan: Plan, journals: Sequence[ShardJournal], progress: Progress, stop: StopRequest, *, keep: bool
) -> ShardJournals:
    """Find the records of all tiles, and check that there are all of them."""
    todo = all_tiles(plan)
    sizes = [len(scene.grid) for scene in plan.scenes]
    finished = ShardJournals(journals, todo, sizes, plan.output, keep=keep)
    progress.begin(count(todo), 0)

    def advance(tiles: int) -> None:
        progress.advance(tiles)
        if stop.signal_number is not None:
            raise Interrupted(stop.signal_number, "interrupted; nothing was written", f"{GO_ON} to go on")

    finished.read(advance)
    missing = finished.unfinished()
    if missing:
        told = _listed([f"{journal.shard} lacks {lacks:,} of {shall:,} tiles" for journal, lacks, shall in missing])
        journal, _, _ = missing[0]
        raise InputError(
            f"not all shards are finished: {told}",
            f"go on with {'each' if len(missing) > 1 else 'it'}: "
            f"{shlex.join(command_of(journal.shard_header, journal.shard, '--resume'))}",
        )
    return finished


def _again(failed: int, journals: Sequence[ShardJournal], shards: set[Shard]) -> str:
    """Say how failed tiles are tried again."""
    journal = next(journal for journal in journals if journal.shard in shards)
    return (
        f"{failed:,} tiles failed, in shards {_listed(list(map(str, sorted(shards))))}: "
        "try each again, then merge again: "
        f"{shlex.join(command_of(journal.shard_header, journal.shard, '--resume'))}"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
