"""Images of single tiles with the ground around them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from bimors_cli.provenance import RecordedScene
from bimors_cli.results.overview import EMPTY, Orientation, SceneReader
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.raster import Scene

# Side of an image in sides of its tile.
AROUND: Final = 3


@dataclass(frozen=True)
class TileImage:
    """A tile with the ground around it, north as close to the top as in an overview.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom of the tile, in parts of the width and height of the image.
    image : uint8 array [h, w, 3]
        White without data and outside the scene, grey where the scene could not be read.
    """

    box: tuple[float, float, float, float]
    image: npt.NDArray[np.uint8]


def tile_images(scene: Scene, recorded: RecordedScene, tiles: Iterable[Tile], side: int) -> Iterator[TileImage]:
    """Read one window of the scene for each tile, with the bands and the stretch of the run, or in its colours.

    Parameters
    ----------
    scene : Scene
        The open scene.
    recorded : RecordedScene
        What the layer records of it.
    tiles : iterable of Tile
        Tiles of its grid. A tile is in the middle of its image, also at the edge of the scene.
    side : int
        Longest side of an image in pixels; a window with fewer pixels is not enlarged.

    Raises
    ------
    ReadError
        See `RecordedScene.shown`. Parts that cannot be read are grey, with a warning.
    """
    reader = SceneReader(scene, recorded)
    orientation = Orientation.north_up(scene.info.transform)
    to_image = orientation.affine(1, 1)
    width, height = AROUND * recorded.grid.tile_width, AROUND * recorded.grid.tile_height
    # Read at a whole fraction of the resolution, which is fast, and reduced to the side by Pillow.
    fraction = max(1, max(width, height) // side)
    scale = min(1.0, side / max(width, height))
    size = (math.ceil(width * scale), math.ceil(height * scale))
    for tile in tiles:
        left, top = tile.x + (tile.width - width) // 2, tile.y + (tile.height - height) // 2
        image = np.full((math.ceil(height / fraction), math.ceil(width / fraction), 3), EMPTY, np.uint8)
        x0, x1 = max(0, left), min(scene.info.width, left + width)
        y0, y1 = max(0, top), min(scene.info.height, top + height)
        rows = _span(y0 - top, y1 - top, height, image.shape[0])
        cols = _span(x0 - left, x1 - left, width, image.shape[1])
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        image[rows, cols] = reader.read(x0, y0, x1 - x0, y1 - y0, shape)
        (xa, ya), (xb, yb) = (
            to_image @ ((x - left) / width, (y - top) / height)
            for x, y in ((tile.x, tile.y), (tile.x + tile.width, tile.y + tile.height))
        )
        box = (min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))
        shown = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) if scale < 1 else image
        yield TileImage(box, np.ascontiguousarray(orientation.array(shown)))
    reader.warn()


def _span(start: int, end: int, full: int, pixels: int) -> slice:
    """Return where ``start`` to ``end`` of ``full`` lies in so many pixels, at least one of them."""
    first = min(round(start * pixels / full), pixels - 1)
    return slice(first, max(first + 1, round(end * pixels / full)))
