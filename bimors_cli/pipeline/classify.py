"""The job of classify: the label of a tile, and its row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.options.shard import Shard
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader
from bimors_cli.pipeline.checkpoint.shard_header import shard_header
from bimors_cli.pipeline.job import Job, TileFn
from bimors_cli.pipeline.label_raster import LabelRasterWriter
from bimors_cli.pipeline.label_sets import promise_lines
from bimors_cli.pipeline.novelty import unlike_above
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.refine import refined
from bimors_cli.pipeline.stac_item import write_stac
from bimors_cli.pipeline.summary import Summary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import label_rows, layer_schema
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.frozen_models import FrozenModels


@dataclass(frozen=True, eq=False)
class Classification(Job):
    """Labels, and the label raster if ``--raster`` is given."""

    plan: Plan
    schema: ClassifiedSchema
    summary: Summary

    @classmethod
    def from_plan(cls, plan: Plan, command: Sequence[str]) -> Classification:
        """Make the job of a plan; ``command`` is the command line for the provenance."""
        options = plan.options
        return cls(
            plan=plan,
            schema=layer_schema(plan, command),
            summary=Summary(
                names=options.labels.names,
                unknown_words=plan.unknown_words(),
                adapter=None if plan.adapter is None else plan.adapter.name,
                new_labels=plan.new_labels(),
                answers_new_labels=plan.adapter is None or plan.adapter.views is None,
                caption_note=plan.captions.reason,
                captions_below=plan.captions.below,
                unlike_above=unlike_above(plan),
                promise=() if plan.label_sets is None else promise_lines(plan.label_sets, options.labels.names),
            ),
            captions=plan.captions.made,
            keeps_features=options.keep_features,
            raster=None if options.raster is None else LabelRasterWriter(plan.output_plan, Path(options.raster)),
            shard=None if options.shard is None else Shard.parse(options.shard),
            command=tuple(command),
            unused=plan.unused_parts,
            caches_features=plan.caches_features,
        )

    def load(self, models: FrozenModels) -> TileFn:
        from bimors_cli.pipeline.inference.predict import classify_tiles
        from bimors_cli.pipeline.inference.tile_classifier import make_tile_classifier

        plan = self.plan
        classifier = make_tile_classifier(models, plan)
        for name, words in self.summary.unknown_words.items():
            warn_of_one(
                "labels have words that the model was not trained on",
                "label %r: the model was not trained on %s: use other words, or bimors finetune",
                name,
                ", ".join(map(repr, words)),
            )
        return partial(classify_tiles, plan, classifier)

    def shard_header(self) -> ShardHeader | None:
        if self.shard is None:
            return None
        options = replace(self.plan.options, captions=self.plan.captions.mode)
        return shard_header(options, self.shard, self.command)

    @contextmanager
    def refine(self, results: Iterable[TileResult], check: Callable[[], None]) -> Iterator[Iterable[TileResult]]:
        """Refine the labels, and let overlapping tiles vote, if the options ask for it."""
        if self.plan.options.refine or self.plan.options.vote:
            with refined(self.plan, results, self.summary, check) as final:
                yield final
        else:
            yield results

    def to_frame(self, results: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        return label_rows(self.plan.output_plan, results, polygons, self.schema)

    def write_extras(self) -> None:
        if self.raster is not None:
            self.raster.write(self.schema)
            self.summary.raster = str(self.raster.path)
        if self.plan.options.stac:
            self.summary.stac = str(write_stac(self.plan))
