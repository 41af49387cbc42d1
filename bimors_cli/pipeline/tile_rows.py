"""From records to the rows and polygons of the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame
from bimors_cli.pipeline.plan import GriddedScene, InferencePlan, LayerPlan, Plan
from bimors_cli.pipeline.tile_result import EMPTY, TileResult
from bimors_cli.provenance import RunProvenance, lasting_path
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons
from bimors_cli.scene.vector import footprint

if TYPE_CHECKING:
    import geopandas

ROWS_AT_ONCE = 20_000

MakeRows = Callable[[Sequence[TileResult], Polygons], "geopandas.GeoDataFrame"]


def layer_spec(plan: Plan, command: Sequence[str]) -> ClassifiedSchema:
    """Describe the layer of a plan of classify, with its provenance."""
    options = plan.options
    colours = {label.name: label.colour for label in options.labels.items}
    return ClassifiedSchema(
        name=options.layer,
        crs_wkt=plan.crs.to_wkt(),
        labels=options.labels,
        top_k=options.top_k,
        probabilities=options.probabilities,
        multipart=is_multipart(plan),
        metadata=replace(provenance(plan, command), labels=colours).to_metadata(),
    )


def provenance(plan: LayerPlan, command: Sequence[str]) -> RunProvenance:
    """Return the provenance of the layer of a plan."""
    return replace(
        RunProvenance.of_command(command),
        run_key=plan.run_key(),
        scene_paths=tuple(lasting_path(scene.info.path) for scene in plan.scenes),
    )


def is_multipart(plan: LayerPlan) -> bool:
    """Whether a tile may be a MultiPolygon: one across the antimeridian has two polygons in longitudes."""
    return plan.crs.is_geographic and any(_moves(plan, scene) for scene in plan.scenes)


def with_rows(plan: InferencePlan, records: Iterable[TileResult]) -> Iterator[TileResult]:
    """Leave out the records of empty tiles, unless --keep-empty."""
    return (record for record in records if plan.options.keep_empty or record.reason not in EMPTY)


def frames(plan: LayerPlan, records: Iterable[TileResult], make: MakeRows) -> Iterator[geopandas.GeoDataFrame]:
    """Turn records, ordered by scene, into frames of the layer, which ``make`` makes of some of them."""
    records = iter(records)
    while chunk := list(islice(records, ROWS_AT_ONCE)):
        yield make(chunk, _polygons(plan, chunk))


def places(plan: LayerPlan, records: Sequence[TileResult]) -> dict[str, Sequence[Any]]:
    """Return the columns that say which tiles these are: tile_id, scene, row and col."""
    scenes = [plan.scenes[record.scene].info for record in records]
    tiles = [tile for _, tiles in _by_scene(plan, records) for tile in tiles]
    return {
        "tile_id": [tile.id(scene.stem) for scene, tile in zip(scenes, tiles, strict=True)],
        "scene": [scene.name for scene in scenes],
        "row": [tile.row for tile in tiles],
        "col": [tile.col for tile in tiles],
    }


def _by_scene(plan: LayerPlan, records: Sequence[TileResult]) -> Iterator[tuple[GriddedScene, list[Tile]]]:
    """Yield the tiles of records, ordered by scene, scene by scene."""
    for number, group in groupby(records, key=lambda record: record.scene):
        scene = plan.scenes[number]
        yield scene, scene.grid.take(record.index for record in group)


def tile_id(plan: LayerPlan, record: TileResult) -> str:
    """Return the id of a record's tile."""
    scene = plan.scenes[record.scene]
    return scene.grid[record.index].id(scene.info.stem)


def label_rows(
    plan: Plan, records: Sequence[TileResult], polygons: Polygons, spec: ClassifiedSchema
) -> geopandas.GeoDataFrame:
    """Make the rows of classify."""
    return to_frame([_row(plan, record) for record in records], polygons, spec)


def _row(plan: Plan, record: TileResult) -> TileRow:
    scene = plan.scenes[record.scene]
    tile = scene.grid[record.index]
    names = plan.options.labels.names
    best, *others = record.ranked or ((None, None),)
    return TileRow(
        tile_id=tile.id(scene.info.stem),
        scene=scene.info.name,
        row=tile.row,
        col=tile.col,
        label=None if best[0] is None else names[best[0]],
        confidence=best[1],
        reason=record.reason,
        runners_up=tuple((names[label], share) for label, share in others),
        caption=record.caption,
        probabilities=record.probabilities,
    )


def _moves(plan: LayerPlan, scene: GriddedScene) -> bool:
    """Whether a scene's polygons are others in the layer. A scene in degrees may go on past 180; GeoJSON may not."""
    if scene.info.crs != plan.crs:
        return True
    left, _, right, _ = footprint(scene.info).bounds
    return plan.format.wgs84 and not -180 <= left <= right <= 180


def _polygons(plan: LayerPlan, records: Sequence[TileResult]) -> Polygons:
    parts = []
    for scene, tiles in _by_scene(plan, records):
        polygons = tile_polygons(tiles, scene.info.transform)
        if _moves(plan, scene):
            polygons = reproject(polygons, scene.info.crs, plan.crs)
        parts.append(polygons)
    return np.concatenate(parts)
