"""Short ways to read the tiles of a small raster, for the tests of this room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile
from bimors_cli.scene.stretch import compute_stretch, parse_stretch


def reader_of(
    path: str, tile: int, *, stretch: str = "auto", nodata: Nodata = FILE_NODATA, bidx: tuple[int, ...] | None = None
) -> SceneReader:
    """Return a closed reader of a file in square tiles without overlap."""
    with open_scene(path) as scene:
        info, bands = scene.info, choose_bands(scene.info, bidx)
        settled = compute_stretch(scene.dataset, bands, parse_stretch(stretch), nodata)
    return SceneReader(info, Grid(info.width, info.height, tile, tile, tile, tile), bands, settled, nodata)


def read_all(reader: SceneReader, size_limit: int = 10_000) -> list[TilePixels]:
    """Read all tiles."""
    with reader:
        return [read_tile(reader, tile, size_limit) for tile in reader.grid]


def rgb(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a random picture without zeros."""
    return np.random.default_rng(seed).integers(1, 256, (3, height, width)).astype(np.uint8)
