"""From tile results to the rows and polygons of the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from bimors_cli.output.classified_schema import EMPTY, ClassifiedSchema, TileRow
from bimors_cli.output.classified_schema import to_frame as make_classified_frame
from bimors_cli.pipeline.plan import GriddedScene, InferencePlan, LayerPlan, Plan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.provenance import RunProvenance, lasting_path
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.around import footprint
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

if TYPE_CHECKING:
    import geopandas

CHUNK_ROWS = 20_000

ToFrame = Callable[[Sequence[TileResult], Polygons], "geopandas.GeoDataFrame"]


def layer_schema(plan: Plan, command: Sequence[str]) -> ClassifiedSchema:
    """Return the schema of the layer of a run of classify, with its provenance."""
    options = plan.options
    colours = {label.name: label.colour for label in options.labels.items}
    return ClassifiedSchema(
        name=options.layer,
        crs_wkt=plan.crs.to_wkt(),
        labels=options.labels,
        top_k=options.top_k,
        probabilities=options.probabilities,
        novelty=options.novelty,
        label_sets=options.coverage is not None,
        multipart=is_multipart(plan),
        metadata=replace(provenance(plan, command), labels=colours, examples=_examples(plan)).to_metadata(),
    )


def _examples(plan: Plan) -> tuple[Mapping[str, Any], ...] | None:
    """Return the tiles that the adapter learned from; None without one, and where it does not record them."""
    if plan.adapter is None:
        return None
    return () if plan.options.adapter is None else plan.adapter.examples


def provenance(plan: LayerPlan, command: Sequence[str]) -> RunProvenance:
    """Return the provenance of the layer of a plan."""
    return replace(
        RunProvenance.of_command(command),
        warnings=warnings_so_far() or None,
        run_key=plan.run_key(),
        scene_paths=tuple(lasting_path(scene.info.path) for scene in plan.scenes),
    )


def is_multipart(plan: LayerPlan) -> bool:
    """Whether a tile may be a MultiPolygon: across the antimeridian it has two polygons in geographic coordinates."""
    return plan.crs.is_geographic and any(_is_reprojected(plan, scene) for scene in plan.scenes)


def without_empty(plan: InferencePlan, results: Iterable[TileResult]) -> Iterator[TileResult]:
    """Leave out the results of empty tiles, unless --keep-empty is given."""
    return (result for result in results if plan.options.keep_empty or result.reason not in EMPTY)


def frames(plan: LayerPlan, results: Iterable[TileResult], to_frame: ToFrame) -> Iterator[geopandas.GeoDataFrame]:
    """Turn results, ordered by scene, into frames of up to `CHUNK_ROWS` rows, each made by ``to_frame``."""
    results = iter(results)
    while chunk := list(islice(results, CHUNK_ROWS)):
        yield to_frame(chunk, _polygons(plan, chunk))


def tile_columns(plan: LayerPlan, results: Sequence[TileResult]) -> dict[str, Sequence[Any]]:
    """Return the columns that identify the tiles: tile_id, scene, row and col."""
    scenes = [plan.scenes[result.scene].info for result in results]
    tiles = [tile for _, tiles in _by_scene(plan, results) for tile in tiles]
    return {
        "tile_id": [tile.id(scene.stem) for scene, tile in zip(scenes, tiles, strict=True)],
        "scene": [scene.name for scene in scenes],
        "row": [tile.row for tile in tiles],
        "col": [tile.col for tile in tiles],
    }


def _by_scene(plan: LayerPlan, results: Sequence[TileResult]) -> Iterator[tuple[GriddedScene, list[Tile]]]:
    """Yield each scene with the tiles of its results; ``results`` are ordered by scene."""
    for number, group in groupby(results, key=lambda result: result.scene):
        scene = plan.scenes[number]
        yield scene, scene.grid.take(result.index for result in group)


def tile_id(plan: LayerPlan, result: TileResult) -> str:
    """Return the id of the tile of a result."""
    scene = plan.scenes[result.scene]
    return scene.grid[result.index].id(scene.info.stem)


def label_rows(
    plan: Plan, results: Sequence[TileResult], polygons: Polygons, schema: ClassifiedSchema
) -> geopandas.GeoDataFrame:
    """Make the rows of classify."""
    return make_classified_frame([_row(plan, result) for result in results], polygons, schema)


def _row(plan: Plan, result: TileResult) -> TileRow:
    scene = plan.scenes[result.scene]
    tile = scene.grid[result.index]
    names = plan.options.labels.names
    best, *others = result.ranking or ((None, None),)
    return TileRow(
        tile_id=tile.id(scene.info.stem),
        scene=scene.info.name,
        row=tile.row,
        col=tile.col,
        label=None if best[0] is None else names[best[0]],
        confidence=best[1],
        reason=result.reason,
        runners_up=tuple((names[label], probability) for label, probability in others),
        caption=result.caption,
        probabilities=result.probabilities,
        novelty=result.novelty,
        label_set=None if result.label_set is None else tuple(names[label] for label in result.label_set),
    )


def _is_reprojected(plan: LayerPlan, scene: GriddedScene) -> bool:
    """Whether the polygons of a scene change in the layer. A scene in degrees may exceed 180; GeoJSON may not."""
    if scene.info.crs != plan.crs:
        return True
    left, _, right, _ = footprint(scene.info).bounds
    return plan.format.wgs84 and not -180 <= left <= right <= 180


def _polygons(plan: LayerPlan, results: Sequence[TileResult]) -> Polygons:
    parts = []
    for scene, tiles in _by_scene(plan, results):
        polygons = tile_polygons(tiles, scene.info.transform)
        if _is_reprojected(plan, scene):
            polygons = reproject(polygons, scene.info.crs, plan.crs)
        parts.append(polygons)
    return np.concatenate(parts)
