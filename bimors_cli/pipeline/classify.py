"""A run of classify: what it makes of a tile, and its row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader
from bimors_cli.pipeline.checkpoint.shard_header import shard_header
from bimors_cli.pipeline.job import Job, Work
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.refine import refined
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import label_rows, layer_spec
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.evidence import FrozenModels

log = logging.getLogger("bimors")


class Classification(Job):
    """Labels, and the label raster where one was asked for."""

    plan: Plan
    summary: Summary

    def __init__(self, plan: Plan, command: Sequence[str]) -> None:
        options = plan.options
        self.plan = plan
        self._layer = plan.layer
        self.spec = self._spec = layer_spec(plan, command)
        self.command = tuple(command)
        self.shard = None if options.shard is None else Shard.parse(options.shard)
        self.captions = options.captions
        self.keeps_features = options.keep_features
        self.raster = None if options.raster is None else LabelRasterWriter(self._layer, Path(options.raster))
        self.summary = Summary(
            names=options.labels.names,
            unknown_words=plan.unknown_words(),
            adapter=None if plan.adapter is None else plan.adapter.name,
            new_labels=plan.new_labels(),
        )

    def start(self, models: FrozenModels) -> Work:
        from bimors_cli.pipeline.inference.load import make_classifier
        from bimors_cli.pipeline.inference.predict import classify_tiles

        plan = self.plan
        classifier = make_classifier(models, plan.adapter, plan.options.labels, plan.templates)
        for name, words in self.summary.unknown_words.items():
            log.warning("label %r: this model never saw %s", name, ", ".join(map(repr, words)))
        return partial(classify_tiles, plan, classifier)

    def origin(self) -> ShardHeader | None:
        return None if self.shard is None else shard_header(self.plan.options, self.shard, self.command)

    @property
    def layer(self) -> Plan:
        return self._layer

    @contextmanager
    def settle(self, records: Iterable[TileResult], check: Callable[[], None]) -> Iterator[Iterable[TileResult]]:
        """Refine the answers, and let overlapping tiles vote, where that was asked for."""
        if self.plan.options.refine or self.plan.options.vote:
            with refined(self.plan, records, self.summary, check) as final:
                yield final
        else:
            yield records

    def frame(self, records: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        return label_rows(self._layer, records, polygons, self._spec)

    def finish(self) -> None:
        if self.raster is not None:
            self.raster.write(self._spec)
            self.summary.raster = str(self.raster.path)
