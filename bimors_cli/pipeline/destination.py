"""Where the rows of a run go: what must be true of those files before it, and writing them after it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.output.atomic import scratch
from bimors_cli.output.formats import GPKG, STDOUT, check_layer, try_layer, write_layer, written_files
from bimors_cli.output.geopackage import append_geopackage, check_append, read_provenance
from bimors_cli.output.label_raster import check_raster, raster_files
from bimors_cli.output.rows import Layer
from bimors_cli.pipeline.journal_file import journal_path
from bimors_cli.pipeline.label_raster import LabelTable, check_one_scene, write_label_raster
from bimors_cli.pipeline.leftovers import Leftover, alone, leftovers, remove
from bimors_cli.pipeline.options import ClassifyOptions
from bimors_cli.pipeline.plan import LayerPlan, LookPlan, Plan
from bimors_cli.pipeline.record import TileRecord

if TYPE_CHECKING:
    import geopandas


class RasterBeside:
    """The label raster of a run of classify, at ``path``."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.path = path
        self._plan = plan
        self._table = LabelTable(plan.scenes[0].grid)

    def check(self) -> None:
        """Refuse now what would fail after hours; errors as `check_one_scene` and `check_raster`."""
        check_one_scene(self._plan)
        check_raster(self.path, self._plan.options.labels, overwrite=self._may_replace)
        with scratch(self.path.resolve()):
            pass

    def collect(self, records: Iterable[TileRecord]) -> Iterator[TileRecord]:
        """Pass records on, and keep what the raster shows of them."""
        return self._table.collect(records)

    def write(self, spec: Layer) -> None:
        """Write the raster."""
        write_label_raster(self.path, self._plan, self._table, spec, overwrite=self._may_replace)

    @property
    def _may_replace(self) -> bool:
        return self._plan.options.overwrite or self._plan.options.resume


def write_rows(
    plan: LayerPlan,
    spec: Layer,
    chunks: Iterable[geopandas.GeoDataFrame],
    features: Iterable[tuple[str, bytes]] = (),
    *,
    resume: bool = False,
) -> int:
    """Write the layer of a plan; returns the number of rows."""
    # What stands there now is either to be replaced or was written by an earlier session of this very run.
    if plan.options.append:
        replace = resume and _is_of_this_run(plan)
        return append_geopackage(plan.output, chunks, spec, replace=replace, features=features)
    replace = plan.options.overwrite or resume
    return write_layer(plan.output, chunks, plan.format, spec, overwrite=replace, features=features)


def is_finished(plan: LookPlan, kept_at: Path, raster: RasterBeside | None = None) -> bool:
    """Tell whether --resume finds nothing to do: the output is there, of this very run, and nothing at ``kept_at``.

    Raises
    ------
    OutputExistsError
        Something else is there, or the label raster is not.
    """
    options = plan.options
    if not options.resume or not plan.output.exists() or kept_at.exists():
        return False
    if _is_of_this_run(plan):
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
    spec: Layer,
    raster: RasterBeside | None = None,
    *,
    resume: bool = False,
    kept_at: Path | None = None,
    shards: int | None = None,
) -> None:
    """Refuse now what would fail after hours.

    ``kept_at`` is where this run keeps its finished tiles, beside the output if None. The journals of its other shards
    may be there, if it is one of so many ``shards``.

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
    _check_leftovers(plan, kept_at or journal_path(plan.output), shards, resume=resume)
    if options.append:
        check_append(plan.output, spec.name, replace=resume and _is_of_this_run(plan))
        try_layer(plan.output, plan.format, spec)
    else:
        check_layer(plan.output, plan.format, spec, overwrite=replace)


def _check_leftovers(plan: LayerPlan, kept_at: Path, shards: int | None, *, resume: bool) -> None:
    """Refuse a run beside what others have not finished, unless they go with --overwrite."""
    options = plan.options
    for left in leftovers(plan.output):
        own, of_this_run = left.path == kept_at, left.shard is not None and left.shard.count == shards
        if options.overwrite or (own and resume) or (of_this_run and not own):
            continue
        raise left.refusal(plan.output, own=own, append=options.append)


def remove_leftovers(output: Path, kept_at: Path, shards: int | None = None) -> None:
    """Remove what other runs of an output left, by who holds it; parameters as `check_output`, errors as `remove`."""
    for left in _of_others(output, kept_at, shards):
        remove(left)


def start_anew(output: Path, kept_at: Path, shards: int | None = None) -> None:
    """Remove what other runs of an output left, if nobody is at work there; parameters as `check_output`.

    Raises
    ------
    JournalError
        Another run is writing this output, or what is there cannot be removed.
    """
    if _of_others(output, kept_at, shards):
        # Shards that begin at once wait for each other.
        with alone(output, wait=0 if shards is None else 30):
            remove_leftovers(output, kept_at, shards)


def _of_others(output: Path, kept_at: Path, shards: int | None) -> list[Leftover]:
    return [
        left
        for left in leftovers(output)
        if left.path != kept_at and (left.shard is None or left.shard.count != shards)
    ]


def _check_names(plan: LayerPlan, raster: RasterBeside | None) -> None:
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


def _is_of_this_run(plan: LayerPlan) -> bool:
    """Tell whether the layer that is there was written by a run with the same rows."""
    if plan.format is not GPKG or not plan.output.exists():
        return False
    written = read_provenance(plan.output, plan.options.layer).get("run")
    return written is not None and json.loads(written) == plan.decides_rows()
