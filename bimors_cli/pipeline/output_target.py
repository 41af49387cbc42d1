"""The files that a run writes: checks before the run, unfinished runs next to them, and the layer itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.atomic import check_target
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.formats import STDOUT, append_layer, check_layer, try_layer, write_layer, written_files
from bimors_cli.output.geopackage import check_append
from bimors_cli.output.label_raster import raster_files
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.checkpoint.unfinished import UnfinishedRun, delete_unfinished, exclusive, unfinished_runs
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.plan import InferencePlan, LayerPlan
from bimors_cli.pipeline.stac_item import stac_file
from bimors_cli.provenance import read_run

if TYPE_CHECKING:
    import geopandas


@dataclass(frozen=True)
class OutputTarget:
    """The output of a plan, with the label raster if there is one.

    ``checkpoint`` is where the run stores finished tiles, the journal next to the output if None. ``shards`` is the
    number of shards of the run, whose journals may exist; None for a run without shards.
    """

    plan: LayerPlan
    schema: LayerSchema
    raster: LabelRasterWriter | None = None
    checkpoint: Path | None = None
    shards: int | None = None

    def is_finished(self) -> bool:
        """Tell whether --resume has nothing to do: the output exists, from the same run, and no checkpoint does.

        Raises
        ------
        OutputExistsError
            The output is from another run, or the label raster or the STAC item is missing.
        """
        output = self.plan.output
        if not self._resume or not output.exists() or self._checkpoint.exists():
            return False
        if self.is_from_same_run():
            others = (None if self.raster is None else self.raster.path, stac_file(self.plan))
            for other in others:
                if other is not None and not other.exists():
                    raise OutputExistsError(
                        f"{output} is complete, but {other} was not found", "add --overwrite to write both again"
                    )
            return True
        if self.plan.options.append:
            return False
        raise OutputExistsError(
            f"{output} exists and is not known to be from the same run",
            "add --overwrite to replace it, or use another -o",
        )

    def is_from_same_run(self) -> bool:
        """Tell whether the existing layer was written by a run with the same rows."""
        if not self.plan.format.identifies_run or not self.plan.output.exists():
            return False
        return read_run(self.plan.output, self.plan.options.layer).run_key == self.plan.run_key()

    def check(self) -> None:
        """Check now what would fail at the end of the run.

        Raises
        ------
        InputError, OutputError
            An output is also an input or another output, exists, or cannot be written.
        """
        self._check_names()
        if self.raster is not None:
            self.raster.check()
        stac = stac_file(self.plan)
        if stac is not None:
            check_target(stac, overwrite=self._replaces)
        if self.plan.output == STDOUT:
            return
        self._check_unfinished()
        if self.plan.options.append:
            check_append(self.plan.output, self.schema.name, replace=self._replaces_layer())
            try_layer(self.plan.output, self.plan.format, self.schema)
        else:
            check_layer(self.plan.output, self.plan.format, self.schema, overwrite=self._replaces)

    def discard_unfinished(self) -> None:
        """Remove what other runs of this output left, if none of them is running.

        Raises
        ------
        JournalError
            Another run is writing this output, or a file cannot be removed.
        """
        if self._others():
            # Shards that start at the same time wait for each other.
            with exclusive(self.plan.output, wait=0 if self.shards is None else 30):
                self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove what other runs of this output left; the caller holds the lock."""
        for left in self._others():
            delete_unfinished(left)

    def write(self, chunks: Iterable[geopandas.GeoDataFrame], features: Iterable[tuple[str, bytes]] = ()) -> int:
        """Write the layer; returns the number of rows."""
        plan = self.plan
        if plan.options.append:
            replace = self._replaces_layer()
            return append_layer(plan.output, chunks, plan.format, self.schema, replace=replace, features=features)
        return write_layer(plan.output, chunks, plan.format, self.schema, overwrite=self._replaces, features=features)

    @property
    def _resume(self) -> bool:
        return isinstance(self.plan, InferencePlan) and self.plan.options.resume

    @property
    def _replaces(self) -> bool:
        # With --resume the existing file was written by an earlier session of the same run.
        return self.plan.options.overwrite or self._resume

    def _replaces_layer(self) -> bool:
        return self._resume and self.is_from_same_run()

    @property
    def _checkpoint(self) -> Path:
        return self.checkpoint or journal_path(self.plan.output)

    def _check_unfinished(self) -> None:
        """Refuse to start next to unfinished runs, unless --overwrite replaces them."""
        options = self.plan.options
        for left in unfinished_runs(self.plan.output):
            own = left.path == self._checkpoint
            same_run = left.shard is not None and left.shard.count == self.shards
            if options.overwrite or (own and self._resume) or (same_run and not own):
                continue
            raise left.refusal(self.plan.output, own=own, append=options.append)

    def _others(self) -> list[UnfinishedRun]:
        return [
            left
            for left in unfinished_runs(self.plan.output)
            if left.path != self._checkpoint and (left.shard is None or left.shard.count != self.shards)
        ]

    def _check_names(self) -> None:
        plan, raster = self.plan, self.raster
        outputs = [] if plan.output == STDOUT else [*written_files(plan.output, plan.format)]
        outputs += [] if raster is None else raster_files(raster.path)
        outputs += [] if (stac := stac_file(plan)) is None else [stac]
        sources = [("the scene", scene.info.path) for scene in plan.scenes]
        sources += [
            ("a file of the scene", file)
            for scene in plan.scenes
            for file in (() if scene.info.stac is None else scene.info.stac.local_files())
        ]
        if plan.options.aoi is not None and not plan.options.append:
            sources.append(("the area of interest", plan.options.aoi))
        if isinstance(plan.options, ClassifyOptions):
            sources.append(("the labels file", plan.options.labels.source))
            if plan.options.priors is not None:
                sources.append(("the table of priors", plan.options.priors.source))
        seen: set[Path] = set()
        for path in outputs:
            for what, source in sources:
                if _is_same_file(path, source):
                    raise InputError(f"{path}: the output is also {what}", "use another output name")
            if path.resolve() in seen:
                raise InputError(
                    f"{path}: the layer and the raster have the same file name", "use another name for one of them"
                )
            seen.add(path.resolve())


def _is_same_file(path: Path, source: str) -> bool:
    """Tell whether a source, which may be no file, is the file at ``path``, whatever its name."""
    try:
        return os.path.samefile(path, source)
    except (OSError, ValueError):
        return False
