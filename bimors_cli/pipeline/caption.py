"""A run of caption: what the captioner says of each tile, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from bimors_cli.options.classify import LookOptions
from bimors_cli.output.classified_schema import TEXT, make_frame
from bimors_cli.output.layer_schema import PLACE, PlainLayer
from bimors_cli.output.style import Style, caption_qml
from bimors_cli.pipeline.job import Job, Work
from bimors_cli.pipeline.make_plan import look_plan
from bimors_cli.pipeline.plan import LookPlan
from bimors_cli.pipeline.progress import Progress, Stop
from bimors_cli.pipeline.run import run_job
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileRecord
from bimors_cli.pipeline.tile_rows import is_multipart, places, provenance
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.evidence import FrozenModels


class _Captioning(Job):
    def __init__(self, plan: LookPlan, command: Sequence[str]) -> None:
        self.plan = plan
        self.summary = RunSummary(answered_as="described", unanswered_as="without a caption")
        self.spec = PlainLayer(
            plan.options.layer,
            plan.crs.to_wkt(),
            {**PLACE, "caption": TEXT, "reason": TEXT},
            Style("captions", caption_qml(), "what each tile shows, by bimors"),
            provenance(plan, command),
            is_multipart(plan),
        )

    def start(self, models: FrozenModels) -> Work:
        from bimors_cli.pipeline.inference.predict import caption_tiles

        return partial(caption_tiles, self.plan, models)

    def frame(self, records: Sequence[TileRecord], polygons: Polygons) -> geopandas.GeoDataFrame:
        said = {
            "caption": [record.caption for record in records],
            "reason": [record.reason for record in records],
        }
        return make_frame({**places(self.plan, records), **said}, polygons, self.spec)


def caption(
    options: LookOptions,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    command: Sequence[str] = ("bimors_cli.caption",),
) -> RunSummary:
    """Describe every tile of scenes, and write the layer; parameters and errors are those of `run.run`."""
    job = _Captioning(look_plan(options), command)
    run_job(job, progress, stop)
    return job.summary
