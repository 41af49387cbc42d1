"""The file of suggested tiles: a layer to correct, from which `bimors finetune` learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from rasterio.crs import CRS

from bimors_cli.output.atomic import replacing
from bimors_cli.output.checked import COLUMN
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.geopackage import build_geopackage
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, to_check_qml
from bimors_cli.provenance import RunProvenance
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

LAYER: Final = "suggestions"
COLUMNS: Final = {
    **TILE_COLUMNS,
    "rank": INTEGER,
    "label": TEXT,
    COLUMN: INTEGER,
    "confidence": REAL,
    "reason": TEXT,
    "unlike": REAL,
    "gain": REAL,
}


@dataclass(frozen=True)
class Suggestion:
    """A tile to label next.

    Attributes
    ----------
    rank : int
        From 1: the tile whose label says most.
    tile_id, scene : str
        Its id, and the name of its scene.
    row, col : int
        Its place in the grid of the scene, from 0.
    label, confidence, reason
        What the map says of it now: a label and its confidence 0..1, or why it has none.
    unlike : float
        How unlike the known tiles and those of lower rank it is, 0..1.
    gain : float
        By how much its label reduces the mean variance of the map, 0..1.
    """

    rank: int
    tile_id: str
    scene: str
    row: int
    col: int
    label: str | None
    confidence: float | None
    reason: str | None
    unlike: float
    gain: float


def write_suggestions(
    path: Path, found: Sequence[Suggestion], layer: ClassifiedLayer, command: Sequence[str], *, overwrite: bool
) -> None:
    """Write suggested tiles to a GeoPackage that appears whole or not at all.

    The layer records the run of the map, so that `bimors finetune` finds the scenes; the label of each tile is recorded
    as predicted, so that a change of it is a correction. ``checked`` is 0.

    Raises
    ------
    OutputExistsError
        The file exists, and ``overwrite`` is off.
    OutputError
        It cannot be written.
    """
    run = replace(
        RunProvenance.of_command(command),
        run_key=layer.run.run_key,
        scene_paths=layer.run.scene_paths,
        labels=layer.run.labels,
        warnings=(*(layer.run.warnings or ()), *warnings_so_far()) or None,
    )
    crs = CRS.from_user_input(layer.run_key["crs"])
    polygons = _polygons(found, layer, crs)
    schema = TileSchema(
        LAYER,
        crs.to_wkt(),
        COLUMNS,
        Style("to check", to_check_qml(layer.labels, tuple(COLUMNS)), "tiles to label next, by bimors"),
        run.to_metadata(),
        multipart=bool((shapely.get_type_id(polygons) == shapely.GeometryType.MULTIPOLYGON).any()),
    )
    columns: dict[str, Sequence[Any]] = {
        name: [getattr(one, name) for one in found] for name in schema.columns() if name != COLUMN
    }
    frame = make_frame({**columns, COLUMN: [0] * len(found)}, polygons, schema)
    with replacing(path, overwrite=overwrite) as built:
        build_geopackage(built, [frame], schema)


def _polygons(found: Sequence[Suggestion], layer: ClassifiedLayer, crs: CRS) -> Polygons:
    scenes = {recorded.name: recorded for recorded in layer.scenes}
    polygons: Polygons = np.full(len(found), None, object)
    for index, one in enumerate(found):
        scene = scenes[one.scene]
        tile = scene.grid.tile(one.row, one.col)
        polygons[index] = reproject(tile_polygons([tile], scene.transform), CRS.from_wkt(scene.crs_wkt), crs)[0]
    return polygons
