"""From records to the rows and polygons of the layer."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from bimors_cli.output.rows import LayerSpec, TileRow, to_frame
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.record import TileRecord
from bimors_cli.scene.gdal import display_name, is_local
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons
from bimors_cli.version import __version__

if TYPE_CHECKING:
    import geopandas

ROWS_AT_ONCE = 20_000
EMPTY = frozenset({"nodata", "outside_aoi"})


def layer_spec(plan: Plan, command: Sequence[str]) -> LayerSpec:
    """Describe the layer of a plan, with its provenance."""
    options = plan.options
    return LayerSpec(
        name=options.layer,
        crs_wkt=plan.crs.to_wkt(),
        labels=options.labels,
        top_k=options.top_k,
        probabilities=options.probabilities,
        # A tile across the antimeridian has two polygons in longitudes.
        multipart=plan.crs.is_geographic and any(scene.info.crs != plan.crs for scene in plan.scenes),
        metadata={
            "version": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(command),
            "run": json.dumps(plan.decides_rows(), ensure_ascii=False),
            "labels": json.dumps({label.name: label.colour for label in options.labels.items}, ensure_ascii=False),
            "scenes": json.dumps([_lasting(scene.info.path) for scene in plan.scenes], ensure_ascii=False),
        },
    )


def _lasting(path: str) -> str:
    """Return a path that still means the same from another folder, without what a URL may hold of secrets."""
    return os.path.abspath(path) if is_local(path) else display_name(path)


def frames(plan: Plan, records: Iterable[TileRecord], spec: LayerSpec) -> Iterator[geopandas.GeoDataFrame]:
    """Turn records, ordered by scene, into frames of the layer; empty tiles are left out unless --keep-empty."""
    kept = (record for record in records if plan.options.keep_empty or record.reason not in EMPTY)
    while chunk := list(islice(kept, ROWS_AT_ONCE)):
        yield to_frame([_row(plan, record) for record in chunk], _polygons(plan, chunk), spec)


def _row(plan: Plan, record: TileRecord) -> TileRow:
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


def _polygons(plan: Plan, records: Sequence[TileRecord]) -> Polygons:
    parts = []
    for number, group in groupby(records, key=lambda record: record.scene):
        scene = plan.scenes[number]
        polygons = tile_polygons([scene.grid[record.index] for record in group], scene.info.transform)
        if scene.info.crs != plan.crs:
            polygons = reproject(polygons, scene.info.crs, plan.crs)
        parts.append(polygons)
    return np.concatenate(parts)
