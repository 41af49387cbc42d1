"""What differs between the runs that look at tiles: what a tile's record holds, and the row that it becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bimors_cli.output.rows import Layer
from bimors_cli.pipeline.destination import RasterBeside
from bimors_cli.pipeline.plan import LookPlan
from bimors_cli.pipeline.record import TileRecord
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.evidence import FrozenModels

Batches = Iterator[list[TileRecord]]
IsDone = Callable[[int, int], bool]
# Given which tiles are done, and where the time of each stage is counted, it looks at all others.
Work = Callable[[IsDone, dict[str, float]], Batches]


class Job(ABC):
    """One run over tiles: its plan, the layer to write, and the summary that is counted on the way.

    ``captions`` says whether it needs the captioner, ``keeps_features`` whether its records have image features that go
    beside the layer. ``raster``, where there is one, is written after the layer.
    """

    plan: LookPlan
    spec: Layer
    summary: RunSummary
    captions: bool = True
    keeps_features: bool = False
    raster: RasterBeside | None = None

    @abstractmethod
    def start(self, models: FrozenModels) -> Work:
        """Make ready to look at tiles with loaded models."""

    @abstractmethod
    def frame(self, records: Sequence[TileRecord], polygons: Polygons) -> geopandas.GeoDataFrame:
        """Make rows of records, in the columns of ``spec``."""

    def finish(self) -> None:
        """Write what goes beside the layer."""
        return

    def watch(self, records: Iterable[TileRecord]) -> Iterator[TileRecord]:
        """Pass finished tiles on, and count them."""
        counted = self.summary.count(records)
        return counted if self.raster is None else self.raster.collect(counted)
