"""A run of caption: what the captioner says of each tile, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from bimors_cli.options.classify import InferenceOptions
from bimors_cli.output.classified_schema import TEXT, make_frame
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, caption_qml
from bimors_cli.pipeline.job import Job, Work
from bimors_cli.pipeline.make_plan import make_inference_plan
from bimors_cli.pipeline.plan import InferencePlan
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.run import run_job
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import is_multipart, places, provenance
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.evidence import FrozenModels


class _Captioning(Job):
    def __init__(self, plan: InferencePlan, command: Sequence[str]) -> None:
        self.plan = plan
        self.summary = RunSummary(answered_as="described", unanswered_as="without a caption")
        self.spec = TileSchema(
            plan.options.layer,
            plan.crs.to_wkt(),
            {**TILE_COLUMNS, "caption": TEXT, "reason": TEXT},
            Style("captions", caption_qml(), "what each tile shows, by bimors"),
            provenance(plan, command).to_metadata(),
            is_multipart(plan),
        )

    def start(self, models: FrozenModels) -> Work:
        from bimors_cli.pipeline.inference.predict import caption_tiles

        return partial(caption_tiles, self.plan, models)

    def frame(self, records: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        said = {
            "caption": [record.caption for record in records],
            "reason": [record.reason for record in records],
        }
        return make_frame({**places(self.plan, records), **said}, polygons, self.spec)


def caption(
    options: InferenceOptions,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    command: Sequence[str] = ("bimors_cli.caption",),
) -> RunSummary:
    """Describe every tile of scenes, and write the layer; parameters and errors are those of `run.run`."""
    job = _Captioning(make_inference_plan(options), command)
    run_job(job, progress, stop)
    return job.summary
