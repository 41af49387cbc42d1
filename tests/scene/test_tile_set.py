"""Sets of tiles: what is recorded of them is read, and lies where the tiles lie."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.tile_set import TileSet

UTM = CRS.from_epsg(32618)
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 4_600_000)
GRID = Grid(200, 130, 16, 16, 12, 12)


def recorded(**changed: Any) -> dict[str, Any]:
    return {**TileSet.of("s.tif", UTM, TRANSFORM, GRID, [0, 5, 60]).to_json(), **changed}


@given(st.sets(st.integers(0, len(GRID) - 1)), st.randoms())
def test_what_is_recorded_is_read(indices: set[int], random: Any) -> None:
    given_twice = [*indices, *indices]
    random.shuffle(given_twice)
    tiles = TileSet.of("s.tif", UTM, TRANSFORM, GRID, given_twice)
    assert tiles.indices == tuple(sorted(indices))
    assert TileSet.from_json(json.loads(json.dumps(tiles.to_json()))) == tiles


def test_outlines_are_those_of_the_tiles() -> None:
    tiles = TileSet.from_json(recorded())
    wanted = tile_polygons([GRID[index] for index in (0, 5, 60)], TRANSFORM)
    assert shapely.equals(tiles.polygons(UTM), wanted).all()
    degrees = shapely.bounds(tiles.polygons(CRS.from_epsg(4326)))
    assert ((degrees > [-75.1, 41, -75.1, 41]) & (degrees < [-74, 42, -74, 42])).all()


def test_a_million_tiles_are_not_large() -> None:
    grid = Grid(1000, 1000, 1, 1, 1, 1)
    half = np.flatnonzero(np.random.default_rng(0).random(len(grid)) < 0.5)
    assert len(json.dumps(TileSet.of("s.tif", UTM, TRANSFORM, grid, half.tolist()).to_json())) < 172_000


@pytest.mark.parametrize(
    "damage",
    [
        {"tiles": base64.b64encode(zlib.compress(b"\xff")).decode()},
        {"tiles": "no base 64!"},
        {"tiles": base64.b64encode(b"not compressed").decode()},
        {"tiles": None},
        {"tile": [0, 16]},
        {"pixels": [10**9, 10**9]},
        {"stride": [16]},
        {"crs": "EPSG:no"},
        {"transform": [1, 2]},
    ],
)
def test_damage_is_an_error(damage: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        TileSet.from_json(recorded(**damage))


def test_more_bits_than_tiles_are_not_decompressed() -> None:
    bomb = base64.b64encode(zlib.compress(b"\xff" * 10_000_000, 9)).decode()
    assert TileSet.from_json(recorded(tiles=bomb)).indices == tuple(range(len(GRID)))
