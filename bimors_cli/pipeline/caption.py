"""The run of caption: the caption of each tile, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from bimors_cli.options.inference import CaptionOptions
from bimors_cli.output.classified_schema import TEXT, make_frame
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, caption_qml
from bimors_cli.pipeline.early_checks import check_output
from bimors_cli.pipeline.job import Job, TileFn
from bimors_cli.pipeline.make_plan import make_inference_plan
from bimors_cli.pipeline.plan import InferencePlan
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.run import run_job, warn_of_domain
from bimors_cli.pipeline.summary import RunSummary
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import is_multipart, provenance, tile_columns
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.scene.polygons import Polygons
from bimors_cli.steps import step

if TYPE_CHECKING:
    import geopandas

    from bimors_cli.model.frozen_models import FrozenModels

COLUMNS: Final = {**TILE_COLUMNS, "caption": TEXT, "reason": TEXT}


@dataclass(frozen=True, eq=False)
class _Captioning(Job):
    @classmethod
    def from_plan(cls, plan: InferencePlan, command: Sequence[str]) -> _Captioning:
        schema = TileSchema(
            plan.options.layer,
            plan.crs.to_wkt(),
            COLUMNS,
            Style("captions", caption_qml(), "what each tile shows, by bimors"),
            provenance(plan, command).to_metadata(),
            is_multipart(plan),
        )
        return cls(plan, schema, RunSummary(answered_as="captioned", unanswered_as="without a caption"))

    def load(self, models: FrozenModels) -> TileFn:
        from bimors_cli.pipeline.inference.predict import caption_tiles

        return partial(caption_tiles, self.plan, models)

    def to_frame(self, results: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        columns = {
            "caption": [result.caption for result in results],
            "reason": [result.reason for result in results],
        }
        return make_frame({**tile_columns(self.plan, results), **columns}, polygons, self.schema)


@keeps_warnings
def caption(
    options: CaptionOptions,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    command: Sequence[str] = ("bimors_cli.caption",),
) -> RunSummary:
    """Caption every tile of scenes and write the layer; parameters and errors as `run.run`."""
    check_output(options)
    with step("opening the scenes"):
        plan = make_inference_plan(options)
    warn_of_domain(plan)
    job = _Captioning.from_plan(plan, command)
    run_job(job, progress, stop)
    return job.summary
