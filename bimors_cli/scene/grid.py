"""The tile grid of a scene, in whole pixels from the scene's first pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rasterio.windows import Window

from bimors_cli.errors import InputError


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a grid: its position and its pixel window, clipped to the scene.

    Attributes
    ----------
    row, col : int
        Position in the grid, from 0.
    x, y : int
        First pixel column and row.
    width, height : int
        Size in pixels inside the scene, from 1.
    """

    row: int
    col: int
    x: int
    y: int
    width: int
    height: int

    @property
    def window(self) -> Window:
        """The pixel window, for rasterio."""
        return Window(self.x, self.y, self.width, self.height)

    def id(self, stem: str) -> str:
        """Return ``<stem>/<row>/<col>``: unique within a scene, the same in every run with the same grid."""
        return f"{stem}/{self.row}/{self.col}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of a scene, row by row; tiles at the right and bottom edges are clipped.

    The tiles cover the scene. Tile (row, col) starts at pixel (col * stride_x, row * stride_y), independent of area of
    interest, batch and machine.

    Attributes
    ----------
    scene_width, scene_height : int
        Size of the scene, in pixels.
    tile_width, tile_height : int
        Size of an unclipped tile, in pixels.
    stride_x, stride_y : int
        Pixels from one tile to the next: tile size minus overlap.

    Raises
    ------
    InputError
        A size is below 1, or a stride is outside 1..tile size (overlap as large as the tile, or a gap).
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
                raise InputError(f"invalid tile size: {tile} px {axis}", "give a tile size of 1 px or more")
            if stride < 1:
                hint = "give an overlap smaller than the tile"
                raise InputError(f"an overlap of {tile - stride} px is too large for tiles {tile} px {axis}", hint)
            if stride > tile:
                raise InputError(f"a stride of {stride} px leaves gaps between tiles {tile} px {axis}")

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
        """Return the tile at an index of the row-major order, 0 to ``len(self) - 1``; IndexError outside."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        return self.tile(*divmod(index, self.cols))

    def index(self, tile: Tile) -> int:
        """Return the index of a tile in the row-major order."""
        return tile.row * self.cols + tile.col

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at (row, col); IndexError outside the grid."""
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"tile ({row}, {col}) of a grid of {self.rows} x {self.cols}")
        return self._at(row, col)

    def take(self, indices: Iterable[int]) -> list[Tile]:
        """Return the tiles at several indices of the row-major order; IndexError outside."""
        count, cols = len(self), self.cols
        indices = list(indices)
        if indices and (min(indices) < 0 or max(indices) >= count):
            raise IndexError(f"tiles {min(indices)} to {max(indices)} of {count}")
        return [self._at(*divmod(index, cols)) for index in indices]

    def _at(self, row: int, col: int) -> Tile:
        x, y = col * self.stride_x, row * self.stride_y
        width, height = min(self.tile_width, self.scene_width - x), min(self.tile_height, self.scene_height - y)
        return Tile(row, col, x, y, width, height)


def _count(scene: int, tile: int, stride: int) -> int:
    return max(1, -(-(scene - tile) // stride) + 1)  # -(-a // b) is the ceiling, exact for any integer
