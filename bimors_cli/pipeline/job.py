"""What differs between the runs that look at tiles: what a tile's record holds, and the row that it becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.options.engines import RAY
from bimors_cli.options.shard import Shard
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader, journal_path
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.plan import InferencePlan, TileIndices, all_tiles
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.evidence import FrozenModels

Batches = Iterator[list[TileResult]]
# Looks at tiles; the time of each stage is added to the dict.
Work = Callable[[TileIndices, dict[str, float]], Batches]


class Job(ABC):
    """One run over tiles: its plan, the layer to write, and the summary that is counted on the way.

    ``layer`` is the plan whose grid the rows of the layer are of: ``plan``, unless the answers are settled on another.
    ``captions`` says whether it needs the captioner, ``keeps_features`` whether its records have image features that go
    beside the layer. ``raster``, where there is one, is written after the layer. ``shard`` is the part of the tiles
    that is looked at, None for all of them; ``command`` is how the run was called.
    """

    plan: InferencePlan
    spec: LayerSchema
    summary: RunSummary
    captions: bool = True
    keeps_features: bool = False
    raster: LabelRasterWriter | None = None
    shard: Shard | None = None
    command: tuple[str, ...] = ()

    @abstractmethod
    def start(self, models: FrozenModels) -> Work:
        """Make ready to look at tiles with loaded models."""

    @abstractmethod
    def frame(self, records: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        """Make rows of records, in the columns of ``spec``."""

    def todo(self) -> TileIndices:
        """Return the tiles that there are records of when this run is finished."""
        tiles = all_tiles(self.plan)
        return tiles if self.shard is None else self.shard.of(tiles)

    @property
    def checkpoint_path(self) -> Path:
        """Where finished tiles are kept until the layer holds them."""
        if self.plan.options.engine == RAY:
            return blocks_path(self.plan.output)
        return journal_path(self.plan.output, self.shard)

    @property
    def layer(self) -> InferencePlan:
        return self.plan

    def origin(self) -> ShardHeader | None:
        """Return what the journal tells of where it comes from; None for a whole run."""
        return None

    @contextmanager
    def settle(self, records: Iterable[TileResult], check: Callable[[], None]) -> Iterator[Iterable[TileResult]]:
        """Give all tiles of the run together their final answers; what that takes is let go of at the context's end.

        ``records`` are those of all tiles, scene by scene in the order of the grid, and may be iterated over more than
        once. ``check`` is called now and then, and raises to end it. What is given is of the tiles of ``layer``, in
        that order, and is taken one by one.
        """
        yield records

    def finish(self) -> None:
        """Write what goes beside the layer."""
        return

    def watch(self, records: Iterable[TileResult]) -> Iterator[TileResult]:
        """Pass finished tiles on, and count them."""
        counted = self.summary.count(records)
        return counted if self.raster is None else self.raster.collect(counted)
