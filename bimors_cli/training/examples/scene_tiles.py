"""Tiles of scenes as examples: read as `classify` reads them, in spatial blocks of neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import Transformer
from pyproj.exceptions import ProjError

from bimors_cli.errors import ReadError
from bimors_cli.pipeline.inference.tile_reader import read_ahead
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.training.examples.base import Example, Examples, find_images

# Tiles a side of a block. Neighbours are similar, and share pixels where tiles overlap: a validation tile next to a
# training tile says little. Four keeps most tiles away from the block's edge and still leaves enough blocks.
BLOCK: Final = 4
_AHEAD: Final = 64


@dataclass(frozen=True, slots=True)
class LabelledTile:
    """A tile and its label: index of the scene, and index in its grid, row by row.

    ``group`` is that of the example; empty for the spatial block.
    """

    scene: int
    index: int
    label: int
    weight: float = 1.0
    group: str = ""


@dataclass(frozen=True)
class TileImages:
    """The images of tiles, as `classify` reads them for a model of this input size (pixels a side)."""

    scenes: tuple[ScenePlan, ...]
    tiles: tuple[LabelledTile, ...]
    image_size: int

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return the image of a tile as uint8 [3, h, w]; None, and a warning, if it cannot be read.

        Raises
        ------
        SceneError
            The scene can no longer be opened.
        """
        tile = self.tiles[index]
        scene = self.scenes[tile.scene]
        try:
            # Opened for each tile: an open dataset belongs to one thread, and any thread may call this.
            with SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader:
                return read_tile(reader, scene.grid[tile.index], self.image_size).image
        except ReadError as error:
            warn_of_one("tiles are skipped", "%s: the tile is skipped", error.message)
            return None


def tile_examples(scenes: Sequence[ScenePlan], tiles: Sequence[LabelledTile]) -> tuple[Example, ...]:
    """Make the examples of tiles, each with its id, its spatial block and its group.

    Blocks have `BLOCK` tile sizes a side and are counted from the first pixel of the first scene for all scenes: two
    scenes of one area, of two years perhaps, share their blocks. A tile belongs to the block of its centre.
    """
    blocks = _blocks(scenes, tiles)
    return tuple(
        Example(
            tile.label,
            scenes[tile.scene].grid[tile.index].id(scenes[tile.scene].info.stem),
            block,
            tile.weight,
            group=tile.group or block,
        )
        for tile, block in zip(tiles, blocks, strict=True)
    )


def has_enough_data(scene: ScenePlan, tiles: Sequence[int], image_size: int, min_valid: float) -> npt.NDArray[np.bool_]:
    """Tell which tiles hold enough data for `classify` to label them.

    Parameters
    ----------
    scene : ScenePlan
        The scene.
    tiles : sequence of int
        Indices in its grid.
    image_size : int
        Pixels a side of the model's input: the fraction of valid pixels is measured at this scale.
    min_valid : float
        Minimum fraction of valid pixels, 0..1.

    Returns
    -------
    bool array [len(tiles)]
        Also True for a tile that cannot be read: reading its image reports the error.
    """
    if _is_full(scene):
        return np.ones(len(tiles), np.bool_)
    wanted: Iterator[tuple[int, Tile]] = ((i, scene.grid[i]) for i in tiles)
    has_data = []
    for read in read_ahead(scene, wanted, image_size, _AHEAD):
        pixels = read.pixels
        has_data.append(
            isinstance(pixels, ReadError) or (pixels.valid_fraction >= min_valid and pixels.valid_fraction > 0)
        )
    return np.array(has_data, np.bool_)


def _blocks(scenes: Sequence[ScenePlan], tiles: Sequence[LabelledTile]) -> list[str]:
    names = [""] * len(tiles)
    for number, scene in enumerate(scenes):
        rows = [i for i, tile in enumerate(tiles) if tile.scene == number]
        cells = [scene.grid[tiles[i].index] for i in rows]
        centres = np.array([(t.x + t.width / 2, t.y + t.height / 2) for t in cells]).reshape(-1, 2)
        base, placed = scenes[0], _transform(centres, scene.info, scenes[0].info)
        if not np.isfinite(placed).all():  # no transformation to the CRS of the first scene
            base, placed = scene, centres
        side = BLOCK * np.array([base.grid.tile_width, base.grid.tile_height])
        for i, (col, row) in zip(rows, np.floor(placed / side).astype(int).tolist(), strict=True):
            names[i] = f"{base.info.stem}/{row}/{col}"
    return names


def _transform(pixels: npt.NDArray[np.float64], src: SceneInfo, dst: SceneInfo) -> npt.NDArray[np.float64]:
    """Transform pixels [n, 2] (column, row) of one scene to those of another; not finite where that fails."""
    if src == dst:
        return pixels
    x, y = _apply(src.transform, *pixels.T)
    if src.crs != dst.crs:
        try:
            x, y = Transformer.from_crs(src.crs.to_wkt(), dst.crs.to_wkt(), always_xy=True).transform(x, y)
        except ProjError:
            return np.full_like(pixels, np.nan)
    # Rounded, so that scenes with the same grid agree for a centre on the edge of a block.
    placed: npt.NDArray[np.float64] = np.column_stack(_apply(~dst.transform, x, y))
    return placed.round(6)


def _apply(
    t: Affine, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _is_full(scene: ScenePlan) -> bool:
    """Tell whether no pixel of a scene can be empty: no mask, no nodata value, no palette, no NaN."""
    info = scene.info
    return (
        info.mask == "none"
        and scene.nodata.kind != "value"
        and scene.bands.palette is None
        and all(
            np.dtype(info.dtypes[index - 1]).kind in "ui" and info.nodata[index - 1] is None
            for index in scene.bands.indexes
        )
    )


def tiles_of(examples: Examples) -> TileImages | None:
    """Return the tiles of examples that are tiles of scenes; None for image files."""
    images, rows = find_images(examples)
    if not isinstance(images, TileImages):
        return None
    return replace(images, tiles=tuple(images.tiles[row] for row in rows))
