"""Some tiles of a scene, as an adapter and a layer record them: they can be placed without the scene."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons


@dataclass(frozen=True)
class TileSet:
    """Some tiles of the grid of a scene.

    Attributes
    ----------
    name : str
        File name of the scene.
    crs_wkt : str
        Its CRS.
    transform : Affine
        Pixel corner (column, row) to map coordinates.
    grid : Grid
        The grid.
    indices : tuple of int
        The tiles, row by row, ascending and each once.
    """

    name: str
    crs_wkt: str
    transform: Affine
    grid: Grid
    indices: tuple[int, ...]

    @classmethod
    def of(cls, name: str, crs: CRS, transform: Affine, grid: Grid, indices: Iterable[int]) -> TileSet:
        """Make a set of tiles given in any order, also several times."""
        return cls(name, crs.to_wkt(), transform, grid, tuple(sorted(set(indices))))

    def polygons(self, crs: CRS) -> Polygons:
        """Return the outlines of the tiles in a CRS, as `reproject`, without those that cannot be reprojected."""
        outlines = tile_polygons(self.grid.take(self.indices), self.transform)
        found = reproject(outlines, CRS.from_wkt(self.crs_wkt), crs)
        return np.asarray(found[~shapely.is_missing(found)], object)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values. A tile takes one bit before compression: a million tiles are 170 kB at most."""
        inside = np.zeros(len(self.grid), np.bool_)
        inside[list(self.indices)] = True
        grid = self.grid
        return {
            "name": self.name,
            "crs": self.crs_wkt,
            "transform": list(self.transform)[:6],
            "pixels": [grid.scene_width, grid.scene_height],
            "tile": [grid.tile_width, grid.tile_height],
            "stride": [grid.stride_x, grid.stride_y],
            "tiles": base64.b64encode(zlib.compress(np.packbits(inside).tobytes(), 9)).decode(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TileSet:
        """Parse the result of `to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        crs, transform = str(content["crs"]), Affine(*map(float, content["transform"]))
        try:
            grid = Grid(*(int(number) for key in ("pixels", "tile", "stride") for number in content[key]))
            CRS.from_wkt(crs)
            # Never more than the grid has, whatever the file says of itself.
            packed = base64.b64decode(content["tiles"], validate=True)
            bits = zlib.decompressobj().decompress(packed, -(-len(grid) // 8))
        except (InputError, CRSError, zlib.error) as error:
            raise ValueError(str(error)) from error
        inside = np.unpackbits(np.frombuffer(bits, np.uint8))[: len(grid)]
        if len(inside) < len(grid):
            raise ValueError("fewer bits than tiles")
        return cls(str(content["name"]), crs, transform, grid, tuple(np.flatnonzero(inside).tolist()))
