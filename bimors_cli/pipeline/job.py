"""What differs between runs over tiles: the result of a tile, and the row that it becomes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from bimors_cli.options.shard import Shard
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.plan import InferencePlan, TileIndices, all_tiles
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.provenance import with_warnings
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.frozen_models import FrozenModels

# Computes tiles batch by batch; the time of each stage is added to the dict.
TileFn = Callable[[TileIndices, dict[str, float]], Iterator[list[TileResult]]]


@dataclass(frozen=True, eq=False)
class Job(ABC):
    """One run over tiles: its plan, the schema of its layer, and the summary that is counted during the run.

    ``captions`` says whether the captioner is needed, ``unused`` which other parts of the bundle are not, and
    ``caches_features`` whether image features are cached even without captions. ``keeps_features`` whether image
    features are written to the layer. ``raster``, if any, is written after the layer. ``shard`` is the part of the
    tiles to compute, None for all of them; ``command`` is the command line of the run.
    """

    plan: InferencePlan
    schema: LayerSchema
    summary: RunSummary
    captions: bool = True
    keeps_features: bool = False
    raster: LabelRasterWriter | None = None
    shard: Shard | None = None
    command: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()
    caches_features: bool = False

    @abstractmethod
    def load(self, models: FrozenModels) -> TileFn:
        """Return the function that computes tiles with loaded models."""

    @abstractmethod
    def to_frame(self, results: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        """Make rows of results, in the columns of ``schema``."""

    @property
    def output_plan(self) -> InferencePlan:
        """The plan whose grid gives the rows: ``plan``, or that of the cells where tiles vote."""
        return self.plan.output_plan

    def tiles(self) -> TileIndices:
        """Return the tiles that have a result when this run is finished."""
        tiles = all_tiles(self.plan)
        return tiles if self.shard is None else self.shard.of(tiles)

    def for_worker(self, device: str) -> Self:
        """Return the job as a worker on ``device`` gets it, with a summary of its own.

        The label raster is left out: it is a table of all tiles, which only the layer needs.
        """
        plan = replace(self.plan, options=replace(self.plan.options, device=device))
        return replace(self, plan=plan, summary=copy.deepcopy(self.summary), raster=None)

    def with_warnings(self) -> Self:
        """Return the job with what the run has warned of until now in the provenance of its layer."""
        metadata = with_warnings(self.schema.metadata, warnings_so_far())
        return replace(self, schema=self.schema.with_metadata(metadata))

    def shard_header(self) -> ShardHeader | None:
        """Return what the journal of a shard records about the run; None for a whole run."""
        return None

    @contextmanager
    def refine(self, results: Iterable[TileResult], check: Callable[[], None]) -> Iterator[Iterable[TileResult]]:
        """Compute the final answers from all tiles together; scratch files are removed when the context ends.

        ``results`` are those of all tiles, scene by scene in grid order, and may be iterated over more than once.
        ``check`` is called from time to time, and raises to stop. Yields an iterable of the tiles of ``output_plan``,
        in the same order.
        """
        yield results

    def write_extras(self) -> None:
        """Write the files next to the layer."""
        return

    def count_results(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results unchanged, and count them for the summary and the label raster."""
        counted = self.summary.count(results)
        return counted if self.raster is None else self.raster.collect(counted)
