"""Where the rows of a run go: what must be true of those files before a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.formats import GPKG, STDOUT, check_layer, try_layer, written_files
from bimors_cli.output.geopackage import check_append, read_provenance
from bimors_cli.output.label_raster import raster_files
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.checkpoint.unfinished import UnfinishedRun, delete_unfinished, exclusive, unfinished_runs
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.plan import InferencePlan, LayerPlan


def is_finished(plan: InferencePlan, checkpoint_path: Path, raster: LabelRasterWriter | None = None) -> bool:
    """Tell whether --resume finds nothing to do: the output exists, from the same run, nothing at ``checkpoint_path``.

    Raises
    ------
    OutputExistsError
        Something else is there, or the label raster is not.
    """
    options = plan.options
    if not options.resume or not plan.output.exists() or checkpoint_path.exists():
        return False
    if is_of_this_run(plan):
        if raster is not None and not raster.path.exists():
            raise OutputExistsError(
                f"{plan.output} is finished, and {raster.path} is not there", "make both with --overwrite"
            )
        return True
    if options.append:
        return False
    raise OutputExistsError(
        f"{plan.output} exists, and is not known to be of this run", "replace it with --overwrite, or use another -o"
    )


def check_output(
    plan: LayerPlan,
    spec: LayerSchema,
    raster: LabelRasterWriter | None = None,
    *,
    resume: bool = False,
    checkpoint_path: Path | None = None,
    shards: int | None = None,
) -> None:
    """Refuse now what would fail after hours.

    ``checkpoint_path`` is where this run keeps its finished tiles, next to the output if None. Journals of its other
    shards may be there, if it is one of so many ``shards``.

    Raises
    ------
    InputError, OutputError
        An output is a scene or another output, is there already, or cannot be written.
    """
    options = plan.options
    replace = options.overwrite or resume
    _check_names(plan, raster)
    if raster is not None:
        raster.check()
    if plan.output == STDOUT:
        return
    _check_leftovers(plan, checkpoint_path or journal_path(plan.output), shards, resume=resume)
    if options.append:
        check_append(plan.output, spec.name, replace=resume and is_of_this_run(plan))
        try_layer(plan.output, plan.format, spec)
    else:
        check_layer(plan.output, plan.format, spec, overwrite=replace)


def _check_leftovers(plan: LayerPlan, checkpoint_path: Path, shards: int | None, *, resume: bool) -> None:
    """Refuse a run beside what others have not finished, unless they go with --overwrite."""
    options = plan.options
    for left in unfinished_runs(plan.output):
        own, of_this_run = left.path == checkpoint_path, left.shard is not None and left.shard.count == shards
        if options.overwrite or (own and resume) or (of_this_run and not own):
            continue
        raise left.refusal(plan.output, own=own, append=options.append)


def remove_unfinished(output: Path, checkpoint_path: Path, shards: int | None = None) -> None:
    """Remove what other runs of an output left, by who holds it; parameters as `check_output`, errors as `remove`."""
    for left in _of_others(output, checkpoint_path, shards):
        delete_unfinished(left)


def discard_unfinished(output: Path, checkpoint_path: Path, shards: int | None = None) -> None:
    """Remove what other runs of an output left, if nobody is at work there; parameters as `check_output`.

    Raises
    ------
    JournalError
        Another run is writing this output, or what is there cannot be removed.
    """
    if _of_others(output, checkpoint_path, shards):
        # Shards that begin at once wait for each other.
        with exclusive(output, wait=0 if shards is None else 30):
            remove_unfinished(output, checkpoint_path, shards)


def _of_others(output: Path, checkpoint_path: Path, shards: int | None) -> list[UnfinishedRun]:
    return [
        left
        for left in unfinished_runs(output)
        if left.path != checkpoint_path and (left.shard is None or left.shard.count != shards)
    ]


def _check_names(plan: LayerPlan, raster: LabelRasterWriter | None) -> None:
    outputs = [] if plan.output == STDOUT else [*written_files(plan.output, plan.format)]
    outputs += [] if raster is None else raster_files(raster.path)
    sources = [("the scene", scene.info.path) for scene in plan.scenes]
    if plan.options.aoi is not None and not plan.options.append:
        sources.append(("the area of interest", plan.options.aoi))
    if isinstance(plan.options, ClassifyOptions):
        sources.append(("the labels file", plan.options.labels.source))
    seen: set[Path] = set()
    for path in outputs:
        for what, source in sources:
            if _is_one_file(path, source):
                raise InputError(f"{path} is {what} itself", "use another name")
        if path.resolve() in seen:
            raise InputError(f"{path} would be written twice: for the layer and for the raster", "rename one of them")
        seen.add(path.resolve())


def _is_one_file(path: Path, source: str) -> bool:
    """Tell whether a source, which need be no file, is the file at ``path``, by whatever name."""
    try:
        return os.path.samefile(path, source)
    except (OSError, ValueError):
        return False


def is_of_this_run(plan: LayerPlan) -> bool:
    """Tell whether the layer that is there was written by a run with the same rows."""
    if plan.format is not GPKG or not plan.output.exists():
        return False
    written = read_provenance(plan.output, plan.options.layer).get("run")
    return written is not None and json.loads(written) == plan.run_key()
