"""The label raster of a run: labels collected from tile results, and the pixels of each tile."""

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
    """The labels and confidences of the tiles of one scene: 4 bytes per tile."""

    def __init__(self, grid: Grid) -> None:
        self.labels = np.full((grid.rows, grid.cols), NO_DATA, np.uint16)
        self.confidence = np.full((grid.rows, grid.cols), NO_DATA, np.uint16)

    def collect(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results unchanged and store their labels."""
        for result in results:
            if result.ranking:
                label, probability = result.ranking[0]
                self.labels.flat[result.index] = label + 1
                self.confidence.flat[result.index] = round(probability / CONFIDENCE_SCALE)
            yield result


def check_one_scene(plan: Plan) -> None:
    """Check that a plan can be written as a label raster.

    Raises
    ------
    InputError
        The plan has several scenes, or ``--dst-crs`` is not the CRS of the scene.
    """
    if len(plan.scenes) > 1:
        raise InputError(
            f"--raster supports one scene per run, {len(plan.scenes)} were given", "run bimors once per scene"
        )
    if plan.options.dst_crs is not None and plan.crs != plan.scenes[0].info.crs:
        raise InputError(
            f"--dst-crs {plan.options.dst_crs} is not supported with --raster, which has the CRS of the scene",
            "leave out --dst-crs, and warp the raster afterwards: gdalwarp -r near -t_srs",
        )


def write_label_raster(path: Path, plan: Plan, labels: LabelGrid, schema: LayerSchema, *, overwrite: bool) -> None:
    """Write the label raster of a plan; raises as `write_raster`."""
    scene = plan.scenes[0]
    transform, rows, cols = pixels(scene.grid, scene.info.transform, plan.options.raster_res)
    spec = RasterSpec(scene.info.crs.to_wkt(), transform, rows, cols, plan.options.labels, schema.metadata)
    write_raster(path, labels.labels, labels.confidence, spec, overwrite=overwrite)


def pixels(grid: Grid, transform: Affine, resolution: str) -> tuple[Affine, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the raster grid of the tiles.

    With the resolution ``tile`` there is one pixel per tile, of the size of the stride, around the centre of the tile:
    without an overlap the pixel is the tile (a tile that is cut off by the edge of the scene gets a whole pixel). With
    the resolution ``scene`` the pixels are those of the scene, and each gets the value of the tile whose centre is
    nearest.

    Parameters
    ----------
    grid : Grid
        The tiles.
    transform : Affine
        Geotransform of the scene.
    resolution : {"tile", "scene"}
        The pixel size.

    Returns
    -------
    transform : Affine
        Geotransform of the raster.
    rows, cols : integer arrays
        Row and column of the tile for each row and column of pixels.
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
    """Return the start of the first tile's cell and the width of a cell, in pixels of the scene."""
    # A single tile has no neighbour.
    return (0.0, tile) if count == 1 else ((tile - stride) / 2, stride)


def _nearest(pixel_count: int, begin: float, cell: int, count: int) -> npt.NDArray[np.intp]:
    """Return the cell that contains the centre of each pixel; on the edge between two, the earlier one."""
    indices = np.ceil((np.arange(pixel_count) + 0.5 - begin) / cell) - 1
    return np.asarray(np.clip(indices, 0, count - 1), np.intp)


class LabelRasterWriter:
    """The label raster of a run of classify, at ``path``."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.path = path
        self._plan = plan
        self._labels = LabelGrid(plan.scenes[0].grid)

    def check(self) -> None:
        """Check now what would fail at the end of the run; raises as `check_one_scene` and `check_raster`."""
        check_one_scene(self._plan)
        check_raster(self.path, self._plan.options.labels, overwrite=self._may_replace)
        with scratch(self.path.resolve()):
            pass

    def collect(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results unchanged and store their labels."""
        return self._labels.collect(results)

    def write(self, schema: LayerSchema) -> None:
        """Write the raster."""
        write_label_raster(self.path, self._plan, self._labels, schema, overwrite=self._may_replace)

    @property
    def _may_replace(self) -> bool:
        return self._plan.options.overwrite or self._plan.options.resume
