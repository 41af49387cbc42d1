"""The STAC item of a run of classify: what of its plan the item says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry.polygon import orient

from bimors_cli.output.formats import STDOUT
from bimors_cli.output.stac_item import StacLayer, StacRaster, stac_path, write_stac_item
from bimors_cli.pipeline.label_raster import pixels
from bimors_cli.pipeline.plan import LayerPlan, Plan, ScenePlan
from bimors_cli.redact import redact
from bimors_cli.run_warnings import warn
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import reproject, tile_polygons

_WGS84: Final = "EPSG:4326"
_TOLERANCE: Final = 1e-6  # degrees, 0.1 m
_PARTS: Final = 16  # of each side of a scene: its outline follows the curves that its edges have in degrees


def stac_file(plan: LayerPlan) -> Path | None:
    """Return the path of the STAC item that a run writes; None without ``--stac``."""
    wanted = isinstance(plan, Plan) and plan.options.stac and plan.output != STDOUT
    return stac_path(plan.output) if wanted else None


def write_stac(plan: Plan) -> Path:
    """Write the STAC item of a run next to its layer. Raises OutputError."""
    acquired = tuple(sorted({scene.info.acquired for scene in plan.scenes if scene.info.acquired}))
    names = ", ".join(scene.info.name for scene in plan.scenes[:3])
    more = f" and {len(plan.scenes) - 3:,} more" if len(plan.scenes) > 3 else ""
    head = "the zero-shot head" if plan.adapter is None else f"the adapter {plan.adapter.name}"
    spec = StacLayer(
        path=plan.output,
        format=plan.format.name,
        layer=plan.options.layer,
        crs=plan.crs,
        footprint=_oriented(shapely.union_all([_footprint(scene, plan) for scene in plan.output_plan.scenes])),
        labels=plan.options.labels,
        acquired=acquired,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        lineage=f"Tiles of {redact(names)}{more}, classified by the model {plan.bundle.name} with {head}.",
        sources=tuple(
            dict.fromkeys(redact(scene.info.stac.item.path) for scene in plan.scenes if scene.info.stac is not None)
        ),
        raster=None if plan.options.raster is None else _raster(plan.output_plan, Path(plan.options.raster)),
    )
    if not acquired:
        warn(
            "%s: no scene says when it was acquired, so that datetime is the time of this run; write the time to the "
            'scene: gdal_edit.py -mo TIFFTAG_DATETIME="2024:06:01 10:00:00" FILE',
            stac_path(plan.output).name,
        )
    return write_stac_item(spec, overwrite=plan.options.overwrite or plan.options.resume)


def _footprint(scene: ScenePlan, plan: Plan) -> Any:
    """Return what the tiles of a scene cover, in degrees: all of it, or the rectangle of the tiles in the AOI."""
    grid = scene.grid
    left, top, right, bottom = 0, 0, grid.scene_width, grid.scene_height
    if scene.inside is not None and not plan.options.keep_empty:
        found = np.flatnonzero(scene.inside)
        if not len(found):
            return shapely.MultiPolygon()
        rows, cols = np.divmod(found, grid.cols)
        first, last = grid.tile(int(rows.min()), int(cols.min())), grid.tile(int(rows.max()), int(cols.max()))
        left, top, right, bottom = first.x, first.y, last.x + last.width, last.y + last.height
    width, height = right - left, bottom - top
    size = -(-width // _PARTS), -(-height // _PARTS)
    transform = scene.info.transform @ Affine.translation(left, top)
    parts = reproject(
        tile_polygons(Grid(width, height, *size, *size), transform), scene.info.crs, CRS.from_user_input(_WGS84)
    )
    return shapely.union_all([part for part in parts if part is not None])


def _oriented(footprint: Any) -> Any:
    """Return the footprint without vertices on straight edges, exteriors counter-clockwise (RFC 7946)."""
    parts = [orient(part) for part in shapely.get_parts(footprint.simplify(_TOLERANCE))]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _raster(plan: Plan, path: Path) -> StacRaster:
    scene = plan.scenes[0]
    transform, rows, cols = pixels(scene.grid, scene.info.transform, plan.options.raster_res)
    return StacRaster(path, scene.info.crs, transform, (len(rows), len(cols)))
