"""A label raster of a run: the tiles' answers, collected while they pass, and where their pixels are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine

from bimors_cli.errors import InputError
from bimors_cli.output.atomic import scratch
from bimors_cli.output.classified_schema import LayerSchema
from bimors_cli.output.label_raster import CONFIDENCE_SCALE, NO_DATA, RasterSpec, check_raster, write_raster
from bimors_cli.pipeline.plan import Plan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.scene.grid import Grid


class LabelGrid:
    """The labels and confidences of one scene's tiles: 4 bytes a tile."""

    def __init__(self, grid: Grid) -> None:
        self.labels = np.full((grid.rows, grid.cols), NO_DATA, np.uint16)
        self.confidence = np.full((grid.rows, grid.cols), NO_DATA, np.uint16)

    def collect(self, records: Iterable[TileResult]) -> Iterator[TileResult]:
        """Pass records on and keep their answers."""
        for record in records:
            if record.ranked:
                label, share = record.ranked[0]
                self.labels.flat[record.index] = label + 1
                self.confidence.flat[record.index] = round(share / CONFIDENCE_SCALE)
            yield record


def check_one_scene(plan: Plan) -> None:
    """Check that the scenes of a plan can be a label raster.

    Raises
    ------
    InputError
        Several scenes, or a layer that is moved to another CRS than the scene's by ``--dst-crs``.
    """
    if len(plan.scenes) > 1:
        raise InputError(
            f"--raster is for one scene, not for {len(plan.scenes)}", "take each scene in a run of its own"
        )
    if plan.options.dst_crs is not None and plan.crs != plan.scenes[0].info.crs:
        raise InputError(
            f"--dst-crs {plan.options.dst_crs} moves the layer, but --raster stays in the scene's CRS",
            "leave --dst-crs out, and warp the raster afterwards: gdalwarp -r near -t_srs",
        )


def write_label_raster(path: Path, plan: Plan, table: LabelGrid, layer: LayerSchema, *, overwrite: bool) -> None:
    """Write what a table holds as the label raster of a plan; errors as `write_raster`."""
    scene = plan.scenes[0]
    transform, rows, cols = pixels(scene.grid, scene.info.transform, plan.options.raster_res)
    spec = RasterSpec(scene.info.crs.to_wkt(), transform, rows, cols, plan.options.labels, layer.metadata)
    write_raster(path, table.labels, table.confidence, spec, overwrite=overwrite)


def pixels(grid: Grid, transform: Affine, resolution: str) -> tuple[Affine, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Lay a grid's tiles out as pixels.

    At the resolution ``tile`` there is one pixel a tile, as large as the step from one tile to the next, around the
    middle of its tile: without an overlap it is the tile (where that is cut off by the scene's edge, the pixel reaches
    over the edge). At the resolution ``scene`` pixels are those of the scene, and each shows the tile whose such cell
    it lies in: the one whose middle is nearest.

    Parameters
    ----------
    grid : Grid
        The tiles.
    transform : Affine
        The scene's.
    resolution : {"tile", "scene"}
        See above.

    Returns
    -------
    transform : Affine
        The raster's.
    rows, cols : integer arrays
        Which row and column of tiles each row and column of pixels shows.
    """
    left, width = _cells(grid.cols, grid.tile_width, grid.stride_x)
    top, height = _cells(grid.rows, grid.tile_height, grid.stride_y)
    if resolution == "tile":
        cells = transform @ Affine.translation(left, top) @ Affine.scale(width, height)
        return cells, np.arange(grid.rows), np.arange(grid.cols)
    rows = _nearest(grid.scene_height, top, height, grid.rows)
    cols = _nearest(grid.scene_width, left, width, grid.cols)
    return transform, rows, cols


def _cells(count: int, tile: int, stride: int) -> tuple[float, int]:
    """Return where the first tile's cell begins and how wide a cell is, in pixels of the scene."""
    # A single tile has no neighbour to share with.
    return (0.0, tile) if count == 1 else ((tile - stride) / 2, stride)


def _nearest(pixel_count: int, begin: float, cell: int, count: int) -> npt.NDArray[np.intp]:
    """Return in which cell the middle of each pixel lies; on the edge between two, in the earlier one."""
    places = np.ceil((np.arange(pixel_count) + 0.5 - begin) / cell) - 1
    return np.asarray(np.clip(places, 0, count - 1), np.intp)


class LabelRasterWriter:
    """The label raster of a run of classify, at ``path``."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.path = path
        self._plan = plan
        self._table = LabelGrid(plan.scenes[0].grid)

    def check(self) -> None:
        """Refuse now what would fail after hours; errors as `check_one_scene` and `check_raster`."""
        check_one_scene(self._plan)
        check_raster(self.path, self._plan.options.labels, overwrite=self._may_replace)
        with scratch(self.path.resolve()):
            pass

    def collect(self, records: Iterable[TileResult]) -> Iterator[TileResult]:
        """Pass records on, and keep what the raster shows of them."""
        return self._table.collect(records)

    def write(self, spec: LayerSchema) -> None:
        """Write the raster."""
        write_label_raster(self.path, self._plan, self._table, spec, overwrite=self._may_replace)

    @property
    def _may_replace(self) -> bool:
        return self._plan.options.overwrite or self._plan.options.resume
