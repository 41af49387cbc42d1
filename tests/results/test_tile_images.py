"""Images of single tiles with the ground around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from bimors_cli.results.classified_layer import open_recorded_scene, read_classified_layer
from bimors_cli.results.overview import EMPTY
from bimors_cli.results.tile_images import AROUND, TileImage, tile_images
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]

ORIGIN = Affine.translation(500_000, 4_600_000)
NORTH_UP = ORIGIN @ Affine.scale(10, -10)


def images(layer: Path, side: int, wanted: list[tuple[int, int]]) -> list[TileImage]:
    with open_recorded_scene(read_classified_layer(layer)) as (recorded, scene):
        return list(tile_images(scene, recorded, [recorded.grid.tile(*place) for place in wanted], side))


def shades(rows: int, cols: int, size: int) -> Any:
    """Each tile has a shade of its own: 10, 20, …"""
    data = np.zeros((3, rows * size, cols * size), np.uint8)
    data[:] = (10 + 10 * np.arange(rows * cols)).reshape(rows, cols).repeat(size, 0).repeat(size, 1)
    return data


def inside(one: TileImage, margin: float = 0.1) -> Any:
    """The pixels of the tile."""
    height, width = one.image.shape[:2]
    left, top, right, bottom = one.box
    dx, dy = margin * (right - left), margin * (bottom - top)
    rows = slice(round((top + dy) * height), round((bottom - dy) * height))
    return one.image[rows, round((left + dx) * width) : round((right - dx) * width)]


@pytest.mark.parametrize(
    "transform",
    [
        NORTH_UP,
        ORIGIN @ Affine.scale(10, 10),  # south-up
        ORIGIN @ Affine(0, 10, 0, 10, 0, 0),  # rows run east
        ORIGIN @ Affine.scale(-10, -10),  # mirrored
    ],
)
@pytest.mark.parametrize("side", [600, 60, 33, 20])
def test_the_tile_is_inside_its_box(make_raster: Any, make_layer: MakeLayer, transform: Affine, side: int) -> None:
    layer = make_layer(str(make_raster(shades(4, 5, 20), transform=transform)), tile_size="20")
    places = [(row, col) for row in range(4) for col in range(5)]
    for (row, col), one in zip(places, images(layer, side, places), strict=True):
        assert max(one.image.shape[:2]) == min(side, AROUND * 20) and one.image.shape[2] == 3
        assert np.allclose(one.box, (1 / 3, 1 / 3, 2 / 3, 2 / 3))
        assert (np.abs(inside(one, 0.25).astype(int) - (10 + 10 * (5 * row + col))) <= 2).all()


def test_the_ground_around_a_tile_is_that_of_the_scene(make_raster: Any, make_layer: MakeLayer) -> None:
    data = np.random.default_rng(1).integers(1, 250, (3, 80, 100), dtype=np.uint8)
    layer = make_layer(str(make_raster(data)), tile_size="20", stretch="none")
    (middle, corner) = images(layer, 600, [(1, 2), (0, 0)])
    assert np.array_equal(middle.image, data[:, 0:60, 20:80].transpose(1, 2, 0))
    assert np.array_equal(corner.image[20:, 20:], data[:, :40, :40].transpose(1, 2, 0))
    assert (corner.image[:20] == EMPTY).all() and (corner.image[:, :20] == EMPTY).all()


def test_a_tile_that_the_edge_of_the_scene_cuts(make_raster: Any, make_layer: MakeLayer) -> None:
    data = np.full((3, 50, 50), 90, np.uint8)
    layer = make_layer(str(make_raster(data)), tile_size="20", stretch="none")
    (one,) = images(layer, 600, [(2, 2)])
    assert one.image.shape == (60, 60, 3)
    assert np.allclose(one.box, (25 / 60, 25 / 60, 35 / 60, 35 / 60))
    assert (inside(one) == 90).all() and (one.image[35:] == EMPTY).all()
