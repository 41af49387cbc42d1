"""What is read of a tile besides its image: statistics of all bands, false colours, and the ground around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.read import SceneReader, fill_invalid, image_shape, read_again
from bimors_cli.scene.statistics import StatisticsSpec, read_values
from bimors_cli.scene.stretch import Stretch

# Tiles a side of the ground around a tile, the tile in the middle.
CONTEXT: Final = 3

IMAGE, FALSE_COLOUR, AROUND = "image", "false-colour", "around"
BANDS, BANDS_AROUND = "bands", "bands-around"


@dataclass(frozen=True)
class ViewInputs:
    """What to read of each tile of a scene.

    Attributes
    ----------
    statistics : StatisticsSpec or None
        The bands of ``bands`` and ``bands-around``.
    numbers : tuple of str
        ``bands``, statistics of the tile; ``bands-around``, those of the tile and of the ground around it.
    images : tuple of str
        ``image`` in the colours of the run, ``false-colour``, and ``around``: the ground around the tile in the colours
        of the run.
    false_colour : tuple of Bands and Stretch, or None
        How pixels become a false-colour image.
    """

    statistics: StatisticsSpec | None = None
    numbers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    false_colour: tuple[Bands, Stretch] | None = None

    def key(self) -> list[Any]:
        """Return the bands that are read, as JSON values."""
        false = None
        if self.false_colour is not None:
            bands, stretch = self.false_colour
            false = [list(bands.indexes), stretch.kind, list(stretch.low), list(stretch.high)]
        spec = self.statistics
        return [None if spec is None else [list(spec.indexes), list(spec.scales), list(spec.offsets)], false]


@dataclass(frozen=True)
class TileViews:
    """What was read of a tile: ``numbers`` by name, float32 [n]; ``images`` by name, uint8 [3, h, w]."""

    numbers: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    images: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


def read_views(reader: SceneReader, tile: Tile, inputs: ViewInputs, size_limit: int) -> TileViews:
    """Read what ``inputs`` ask for of a tile, except ``image``, which `bimors_cli.scene.read.read_tile` returns.

    Parameters
    ----------
    reader : SceneReader
        The open scene.
    tile : Tile
        A tile of the reader's grid.
    inputs : ViewInputs
        What to read.
    size_limit : int
        Longest side of an image in pixels.

    Raises
    ------
    ReadError
        GDAL cannot read the pixels.
    """
    return read_again(reader, tile, lambda: _read(reader, tile, inputs, size_limit))


def _read(reader: SceneReader, tile: Tile, inputs: ViewInputs, size_limit: int) -> TileViews:
    found = TileViews()
    around = around_window(reader.grid, tile)
    if inputs.statistics is not None and inputs.numbers:
        _read_numbers(reader, tile, around, inputs.statistics, inputs.numbers, found)
    shape = image_shape(reader.grid, size_limit)
    if FALSE_COLOUR in inputs.images and inputs.false_colour is not None:
        bands, stretch = inputs.false_colour
        found.images[FALSE_COLOUR] = _image(reader, bands, stretch, tile.window, 1, shape)
    if AROUND in inputs.images:
        # As many pixels as the model takes: three times those of the tile, if it has fewer.
        height, width = (min(CONTEXT * side, size_limit) for side in (reader.grid.tile_height, reader.grid.tile_width))
        found.images[AROUND] = _image(reader, reader.bands, reader.stretch, around, CONTEXT, (height, width))
    return found


def _read_numbers(
    reader: SceneReader, tile: Tile, around: Window, spec: StatisticsSpec, names: tuple[str, ...], found: TileViews
) -> None:
    outer = None
    if BANDS_AROUND in names:
        outer = read_values(reader.dataset, spec, reader.nodata, around)
    if outer is not None and outer.values.shape[1:] == (around.height, around.width):
        # Not decimated: the tile is a part of what was read.
        inner = outer.part(tile.x - int(around.col_off), tile.y - int(around.row_off), tile.width, tile.height)
    else:
        inner = read_values(reader.dataset, spec, reader.nodata, tile.window)
    own = inner.statistics(spec)
    if BANDS in names:
        found.numbers[BANDS] = own
    if outer is not None:
        found.numbers[BANDS_AROUND] = np.concatenate((own, outer.statistics(spec)))


def around_window(grid: Grid, tile: Tile) -> Window:
    """Return the window of `CONTEXT` tiles a side around a tile, moved into the scene at its edges."""

    def side(first: int, size: int, scene: int) -> tuple[int, int]:
        length = min(CONTEXT * size, scene)
        return min(max(0, first - (CONTEXT - 1) // 2 * size), scene - length), length

    x, width = side(tile.x, grid.tile_width, grid.scene_width)
    y, height = side(tile.y, grid.tile_height, grid.scene_height)
    return Window(x, y, width, height)


def _image(
    reader: SceneReader, bands: Bands, stretch: Stretch, window: Window, tiles: int, shape: tuple[int, int]
) -> npt.NDArray[Any]:
    """Read a window at the scale at which so many whole tiles a side have this shape, as `read_tile` does."""
    rows = max(1, round(window.height * shape[0] / (tiles * reader.grid.tile_height)))
    cols = max(1, round(window.width * shape[1] / (tiles * reader.grid.tile_width)))
    data, valid_fraction = average_window(reader.dataset, bands, reader.nodata, window, (rows, cols))
    image = fill_invalid(stretch.apply(data), valid_fraction > 0)
    return np.pad(image, ((0, 0), (0, shape[0] - rows), (0, shape[1] - cols)), mode="symmetric")
