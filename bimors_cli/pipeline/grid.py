"""The grid as a layer: the tiles that classify would process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bimors_cli.options.layer import LayerOptions
from bimors_cli.output.classified_schema import make_frame
from bimors_cli.output.formats import STDOUT
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.sequence import write_sequence
from bimors_cli.output.style import Style, outline_qml
from bimors_cli.pipeline.make_plan import make_layer_plan
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.plan import LayerPlan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, is_multipart, provenance, tile_columns
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.scene.polygons import Polygons
from bimors_cli.steps import step

if TYPE_CHECKING:
    import geopandas


@keeps_warnings
def write_grid(options: LayerOptions, command: Sequence[str] = ("bimors_cli.tiles",)) -> LayerPlan:
    """Write the tiles of scenes as a layer of empty polygons; no pixel is read.

    Parameters
    ----------
    options : LayerOptions
        The options of `bimors tiles`.
    command : sequence of str
        Command line for the provenance.

    Returns
    -------
    LayerPlan
        The plan of the layer: its length is the number of rows.

    Raises
    ------
    InputError
        As `make_layer_plan`; or the output exists.
    OutputError
        The output cannot be written.
    """
    with step("opening the scenes"):
        plan = make_layer_plan(options)
    schema = TileSchema(
        options.layer,
        plan.crs.to_wkt(),
        TILE_COLUMNS,
        Style("tiles", outline_qml(), "outlines, by bimors"),
        provenance(plan, command).to_metadata(),
        is_multipart(plan),
    )

    def to_frame(results: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        return make_frame(tile_columns(plan, results), polygons, schema)

    target = OutputTarget(plan, schema)
    target.check()
    chunks = frames(plan, _empty_results(plan), to_frame)
    if plan.output == STDOUT:
        write_sequence(sys.stdout, chunks, schema, rs=plan.format.rs)
    else:
        with step(f"writing {plan.output.name}"):
            target.write(chunks)
    return plan


def _empty_results(plan: LayerPlan) -> Iterator[TileResult]:
    for number, scene in enumerate(plan.scenes):
        yield from (TileResult(number, index) for index in range(len(scene.grid)) if scene.is_inside(index))
