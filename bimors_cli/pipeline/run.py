"""A whole run of classify: plan, models, tiles, journal, layer."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bimors_cli.errors import InputError, Interrupted, OutputExistsError
from bimors_cli.output.formats import GPKG, STDOUT, check_layer, write_layer
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.output.rows import LayerSpec
from bimors_cli.output.sequence import write_sequence
from bimors_cli.pipeline.caption_cache import open_caption_cache
from bimors_cli.pipeline.journal import Journal, journal_path
from bimors_cli.pipeline.layer import frames, layer_spec
from bimors_cli.pipeline.options import ClassifyOptions
from bimors_cli.pipeline.plan import Plan, make_plan
from bimors_cli.pipeline.record import TileRecord
from bimors_cli.pipeline.summary import Summary

if TYPE_CHECKING:
    import geopandas

log = logging.getLogger("bimors")


class Progress(Protocol):
    """Who shows how far a run is."""

    def begin(self, total: int, done: int) -> None:
        """Start: ``total`` tiles, of which ``done`` are done."""

    def advance(self, tiles: int) -> None:
        """Count finished tiles."""


class Stop(Protocol):
    """Who asks a run to end early: ``signal_number`` is that of the signal, None to go on."""

    signal_number: int | None


class Silent:
    """Shows nothing and never asks to stop."""

    signal_number: int | None = None

    def begin(self, total: int, done: int) -> None:
        """Show nothing."""

    def advance(self, tiles: int) -> None:
        """Show nothing."""


def run(
    options: ClassifyOptions,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    command: Sequence[str] = ("bimors_cli.classify",),
) -> Summary:
    """Classify scenes and write the layer.

    Parameters
    ----------
    options : ClassifyOptions
        What the user chose.
    progress, stop : optional
        See there.
    command : sequence of str
        Goes into the provenance.

    Raises
    ------
    InputError
        See `make_plan`; the output is there already.
    Interrupted
        ``stop`` asked for it; finished tiles are in the journal.
    BimorsError
        Models, journal or output fail.
    """
    progress, stop = progress or Silent(), stop or Silent()
    clock = time.perf_counter()
    plan = make_plan(options)
    spec = layer_spec(plan, command)
    summary = Summary(
        unknown_words=plan.unknown_words(),
        adapter=None if plan.adapter is None else plan.adapter.name,
        new_labels=plan.new_labels(),
    )
    if plan.output == STDOUT:
        summary.seconds["plan"] = time.perf_counter() - clock
        return _stream(plan, spec, progress, stop, summary)
    if _is_finished(plan):
        return replace(summary, output=str(plan.output), finished_before=True)
    _check_output(plan, spec)
    summary.seconds["plan"] = time.perf_counter() - clock
    sizes = [len(scene.grid) for scene in plan.scenes]
    with Journal(journal_path(plan.output), plan.decides_rows(), sizes, resume=options.resume) as journal:
        summary.resumed = journal.count()
        for records in _batches(plan, journal.is_done, summary.resumed, progress, summary):
            journal.append(records)
            _stop_here(stop, journal)
        clock = time.perf_counter()
        summary.rows = _write(plan, spec, summary.count(_watched(journal, stop), options.labels.names))
        summary.seconds["layer"] = time.perf_counter() - clock
        summary.output = str(plan.output)
        if summary.failed:
            summary.journal = str(journal.path)
        else:
            journal.delete()
    if not summary.rows:
        log.warning("%s holds no rows: no tile holds enough data", plan.output)
    return summary


def _batches(
    plan: Plan, is_done: Callable[[int, int], bool], resumed: int, progress: Progress, summary: Summary
) -> Iterator[list[TileRecord]]:
    # A resumed run that lacks only its layer needs no model; torch takes seconds to import.
    total = _count(plan)
    progress.begin(total, resumed)
    if resumed >= total:
        return
    clock = time.perf_counter()
    from bimors_cli.pipeline.models import load_models, make_classifier
    from bimors_cli.pipeline.tiles import classify_tiles

    options = plan.options
    with open_caption_cache(keep=options.caption_cache and options.captions) as cache:
        models = load_models(plan.bundle, options.device, captions=options.captions, caption_cache=cache)
        classifier = make_classifier(models, plan.bundle, plan.adapter, options.labels)
        summary.seconds["loading the model"] = time.perf_counter() - clock
        models.seconds = summary.seconds
        for name, words in summary.unknown_words.items():
            log.warning("label %r: this model never saw %s", name, ", ".join(map(repr, words)))
        for records in classify_tiles(plan, classifier, is_done, summary.seconds):
            summary.captions_known, summary.captions_described = cache.known, cache.described
            yield records
            progress.advance(len(records))


def _count(plan: Plan) -> int:
    """Count the records that a finished journal has."""
    return sum(len(scene.grid) if plan.options.keep_empty else len(scene) for scene in plan.scenes)


def _stream(plan: Plan, spec: LayerSpec, progress: Progress, stop: Stop, summary: Summary) -> Summary:
    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        for batch in _batches(plan, lambda _scene, _index: False, 0, progress, summary):
            yield from frames(plan, summary.count(batch, plan.options.labels.names), spec)
            if stop.signal_number is not None:
                raise Interrupted(stop.signal_number, "interrupted")

    summary.rows = write_sequence(sys.stdout, chunks(), spec, rs=plan.format.rs)
    return summary


def _write(plan: Plan, spec: LayerSpec, records: Iterable[TileRecord]) -> int:
    # What stands there now is either to be replaced or was written by an earlier session of this very run.
    overwrite = plan.options.overwrite or plan.options.resume
    return write_layer(plan.output, frames(plan, records, spec), plan.format, spec, overwrite=overwrite)


def _watched(journal: Journal, stop: Stop) -> Iterator[TileRecord]:
    for record in journal.records():
        _stop_here(stop, journal)
        yield record


def _stop_here(stop: Stop, journal: Journal) -> None:
    if stop.signal_number is not None:
        raise Interrupted(
            stop.signal_number,
            f"interrupted; {journal.count():,} finished tiles are in {journal.path.name}",
            "run the same command with --resume to go on",
        )


def _is_finished(plan: Plan) -> bool:
    """Tell whether --resume finds nothing to do: the output is there, of this very run, and no journal is."""
    if not plan.options.resume or not plan.output.exists() or journal_path(plan.output).exists():
        return False
    if plan.format is GPKG:
        written = read_provenance(plan.output).get("run")
        if written is not None and json.loads(written) == plan.decides_rows():
            return True
    raise OutputExistsError(
        f"{plan.output} exists, and is not known to be of this run", "replace it with --overwrite, or use another -o"
    )


def _check_output(plan: Plan, spec: LayerSpec) -> None:
    """Refuse now what would fail after hours."""
    scenes = {Path(scene.info.path).resolve() for scene in plan.scenes}
    if plan.output.resolve() in scenes:
        raise InputError(f"{plan.output} is the scene itself", "use another -o")
    journal = journal_path(plan.output)
    options = plan.options
    if journal.exists() and not (options.resume or options.overwrite):
        raise OutputExistsError(
            f"{journal.name}: a run of this output was not finished",
            "go on with --resume, or start anew with --overwrite",
        )
    check_layer(plan.output, plan.format, spec, overwrite=options.overwrite or options.resume)
