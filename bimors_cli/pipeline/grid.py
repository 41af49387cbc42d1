"""The grid as a layer: the tiles that classify would look at, before it does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bimors_cli.options.classify import LayerOptions
from bimors_cli.output.classified_schema import make_frame
from bimors_cli.output.formats import STDOUT
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.sequence import write_sequence
from bimors_cli.output.style import Style, outline_qml
from bimors_cli.pipeline.make_plan import make_layer_plan
from bimors_cli.pipeline.output_checks import check_output
from bimors_cli.pipeline.plan import LayerPlan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, is_multipart, places, provenance
from bimors_cli.pipeline.write_layer import write_rows
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas


def write_grid(options: LayerOptions, command: Sequence[str] = ("bimors_cli.tiles",)) -> LayerPlan:
    """Write the tiles of scenes as a layer of empty polygons; no pixel is read.

    Parameters
    ----------
    options : LayerOptions
        What the user chose.
    command : sequence of str
        Goes into the provenance.

    Returns
    -------
    LayerPlan
        What was written: its length is the number of rows.

    Raises
    ------
    InputError
        See `make_layer_plan`; the output is there already.
    OutputError
        It cannot be written.
    """
    plan = make_layer_plan(options)
    spec = TileSchema(
        options.layer,
        plan.crs.to_wkt(),
        TILE_COLUMNS,
        Style("tiles", outline_qml(), "outlines, by bimors"),
        provenance(plan, command).to_metadata(),
        is_multipart(plan),
    )

    def frame(records: Sequence[TileResult], polygons: Polygons) -> geopandas.GeoDataFrame:
        return make_frame(places(plan, records), polygons, spec)

    check_output(plan, spec)
    chunks = frames(plan, _records(plan), frame)
    if plan.output == STDOUT:
        write_sequence(sys.stdout, chunks, spec, rs=plan.format.rs)
    else:
        write_rows(plan, spec, chunks)
    return plan


def _records(plan: LayerPlan) -> Iterator[TileResult]:
    for number, scene in enumerate(plan.scenes):
        yield from (TileResult(number, index) for index in range(len(scene.grid)) if scene.is_inside(index))
