"""The grid: how a scene is cut into tiles. Pure integers, anchored at the scene's first pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rasterio.windows import Window

from bimors_cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of a grid: its place, and its window of pixels clipped to the scene.

    Attributes
    ----------
    row, col : int
        Place in the grid, from 0.
    x, y : int
        First pixel column and row.
    width, height : int
        Pixels inside the scene, from 1.
    """

    row: int
    col: int
    x: int
    y: int
    width: int
    height: int

    @property
    def window(self) -> Window:
        """The window for rasterio."""
        return Window(self.x, self.y, self.width, self.height)

    def id(self, stem: str) -> str:
        """Return ``<stem>/<row>/<col>``: unique within a scene, the same in every run with the same grid."""
        return f"{stem}/{self.row}/{self.col}"


@dataclass(frozen=True, slots=True)
class Grid:
    """A scene cut into tiles, row by row; the tiles at the right and bottom edges are kept and clipped.

    The union of the tiles is the scene. Tile (row, col) begins at pixel (col * stride_x, row * stride_y), whatever
    else is asked for (area of interest, batch, machine).

    Attributes
    ----------
    scene_width, scene_height : int
        Pixels.
    tile_width, tile_height : int
        Pixels of a whole tile.
    stride_x, stride_y : int
        Pixels from one tile to the next: tile size less overlap.

    Raises
    ------
    InputError
        A size below 1, or a stride outside 1..tile size (overlap as large as the tile, or a gap).
    """

    scene_width: int
    scene_height: int
    tile_width: int
    tile_height: int
    stride_x: int
    stride_y: int

    def __post_init__(self) -> None:
        for axis, scene, tile, stride in (
            ("wide", self.scene_width, self.tile_width, self.stride_x),
            ("high", self.scene_height, self.tile_height, self.stride_y),
        ):
            if scene < 1:
                raise InputError(f"the scene is {scene} px {axis}")
            if tile < 1:
                raise InputError(f"a tile of {tile} px {axis} holds nothing", "give a tile size of 1 px or more")
            if stride < 1:
                hint = "give an overlap smaller than the tile"
                raise InputError(f"an overlap of {tile - stride} px leaves no step in tiles {tile} px {axis}", hint)
            if stride > tile:
                raise InputError(f"a step of {stride} px leaves gaps between tiles {tile} px {axis}")

    @property
    def rows(self) -> int:
        """Number of rows of tiles."""
        return _count(self.scene_height, self.tile_height, self.stride_y)

    @property
    def cols(self) -> int:
        """Number of columns of tiles."""
        return _count(self.scene_width, self.tile_width, self.stride_x)

    def __len__(self) -> int:
        return self.rows * self.cols

    def __iter__(self) -> Iterator[Tile]:
        cols = self.cols
        return (self.tile(row, col) for row in range(self.rows) for col in range(cols))

    def __getitem__(self, index: int) -> Tile:
        """Return the tile at a place of the row-major order, 0 to ``len(self) - 1``; IndexError outside."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        return self.tile(*divmod(index, self.cols))

    def index(self, tile: Tile) -> int:
        """Return the place of a tile in the row-major order."""
        return tile.row * self.cols + tile.col

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at (row, col); IndexError outside the grid."""
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"tile ({row}, {col}) of a grid of {self.rows} x {self.cols}")
        return self._at(row, col)

    def take(self, indexes: Iterable[int]) -> list[Tile]:
        """Return the tiles at places of the row-major order, as ``[]`` does, for many of them."""
        count, cols = len(self), self.cols
        places = list(indexes)
        if places and (min(places) < 0 or max(places) >= count):
            raise IndexError(f"tiles {min(places)} to {max(places)} of {count}")
        return [self._at(*divmod(place, cols)) for place in places]

    def _at(self, row: int, col: int) -> Tile:
        x, y = col * self.stride_x, row * self.stride_y
        width, height = min(self.tile_width, self.scene_width - x), min(self.tile_height, self.scene_height - y)
        return Tile(row, col, x, y, width, height)


def _count(scene: int, tile: int, stride: int) -> int:
    return max(1, -(-(scene - tile) // stride) + 1)  # -(-a // b) is the ceiling, exact for any integer
