"""Scenes unlike the training images of a bundle are found, and reported in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from bimors_cli.bundle.training_domain import TrainingDomain
from bimors_cli.pipeline.training_domain import DomainWarning, check_domain, domain_message
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.size import ground_pixel_size, make_grid, parse_tile_size
from tests.conftest import MakeRaster

DOMAIN = TrainingDomain((0.5, 8), (300, 4800))
SIDE = 112


@pytest.fixture
def checked(make_raster: MakeRaster) -> Any:
    def check(
        pixel: float,
        tile_size: str,
        *,
        side: int = 400,
        crs: str = "EPSG:32618",
        at: tuple[float, float] = (5e5, 4.6e6),
    ) -> tuple[DomainWarning, ...]:
        transform = Affine(pixel, 0, at[0] - pixel * side / 2, 0, -pixel, at[1] + pixel * side / 2)
        info = scene_info(make_raster(np.ones((3, side, side), np.uint8), transform=transform, crs=crs))
        return check_domain(info, make_grid(info, parse_tile_size(tile_size)), DOMAIN, SIDE)

    return check


def kinds(found: tuple[DomainWarning, ...]) -> list[str]:
    return [warning.kind for warning in found]


@pytest.mark.parametrize(
    ("pixel", "tile", "expected"),
    [
        (5, "100", []),
        (5, "200m", []),  # two thirds of the smallest
        (11.9, "100", []),  # one and a half times the coarsest
        (12.1, "100", ["pixel size"]),
        (30, "16", ["pixel size", "tile pixels"]),
        (30, "112", ["pixel size"]),
        (5, "160m", ["tile size", "tile pixels"]),
        (5, "38", ["tile size"]),
        (8, "37", ["tile pixels"]),
        (8, "38", []),
        (0.1, "100", ["tile size"]),
        (0.5, "224", ["tile size"]),
        (300, "100", ["pixel size", "tile size"]),
    ],
)
def test_what_is_outside(checked: Any, pixel: float, tile: str, expected: list[str]) -> None:
    assert kinds(checked(pixel, tile)) == expected


def test_finer_pixels_are_reduced_like_the_training_images(checked: Any) -> None:
    """A tile of the right size on the ground is inside, however many pixels it has."""
    assert checked(0.2, "1500", side=1600) == ()


def test_lengths_are_those_on_the_ground(checked: Any) -> None:
    y = 8_399_737.9  # 60 degrees north, where a metre of Web Mercator is half a metre
    (tile,) = checked(5, "60", crs="EPSG:3857", at=(0, y))
    assert (tile.kind, round(tile.value)) == ("tile size", 150)
    assert checked(20, "60", crs="EPSG:3857", at=(0, y)) == ()
    (pixel,) = checked(30 / 111_320, "100", crs="EPSG:4326", at=(0, 0))
    assert pixel.kind == "pixel size" and pixel.value == pytest.approx(30, rel=0.01)


def test_without_a_size_on_the_ground_only_pixels_count(make_raster: MakeRaster) -> None:
    path = make_raster(np.ones((3, 90, 90), np.uint8), crs=None, transform=None)
    info = scene_info(path, assume_crs="EPSG:32618")
    assert ground_pixel_size(info) is None
    small, large = (make_grid(info, parse_tile_size(size)) for size in ("20", "90"))
    assert kinds(check_domain(info, small, DOMAIN, SIDE)) == ["tile pixels"]
    assert check_domain(info, large, DOMAIN, SIDE) == ()


def test_a_local_crs_is_not_known(make_raster: MakeRaster) -> None:
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    info = scene_info(make_raster(np.ones((3, 90, 90), np.uint8), crs=local, transform=Affine(30, 0, 0, 0, -30, 0)))
    assert ground_pixel_size(info) is None


def test_the_shorter_side_counts(make_raster: MakeRaster) -> None:
    info = scene_info(make_raster(np.ones((3, 30, 400), np.uint8)))
    domain = TrainingDomain((5, 20), (300, 1000))
    grid = make_grid(info, parse_tile_size("60"))
    assert (grid.tile_width, grid.tile_height) == (60, 60)
    assert check_domain(info, grid, domain, SIDE) == ()
    geographic = Affine(0.0002, 0, 10, 0, -0.0001, 60)  # 11 x 11 m
    info = scene_info(make_raster(np.ones((3, 400, 400), np.uint8), crs="EPSG:4326", transform=geographic))
    assert [round(side) for side in ground_pixel_size(info) or ()] == [11, 11]


PIXEL = DomainWarning("pixel size", 30, (0.5, 8), 38)
TILE = DomainWarning("tile size", 160.4, (300, 4800), 60)
FEW = DomainWarning("tile pixels", 16, (38, math.inf), 60)
LARGE = DomainWarning("tile size", 111_195, (300, 4800), None)


@pytest.mark.parametrize(
    ("scenes", "message"),
    [
        ({"a": ()}, None),
        (
            {"zion.tif": (PIXEL,)},
            "zion.tif: pixels of 30 m; mini was trained on pixels of 0.5 to 8 m: expect poor labels, give examples",
        ),
        (
            {"a": (PIXEL, FEW), "b": ()},
            "a: pixels of 30 m, tiles of 16 pixels; mini was trained on pixels of 0.5 to 8 m, and needs tiles of 38 "
            "pixels or more: expect poor labels, give examples",
        ),
        (
            {"a": (TILE,), "b": (TILE, FEW)},
            "a and b: tiles of 160 m, tiles of 16 pixels; mini was trained on images of 300 to 4,800 m, and needs "
            "tiles of 38 pixels or more: expect poor labels; use --tile-size 60",
        ),
        (
            {"a": (FEW,)},
            "a: tiles of 16 pixels; mini needs tiles of 38 pixels or more: expect poor labels; use --tile-size 60",
        ),
        (
            {"a": (TILE,), "b": (), "c": (DomainWarning("tile size", 150, (300, 4800), 70),), "d": (TILE,)},
            "3 of 4 scenes: tiles of 150 to 160 m; mini was trained on images of 300 to 4,800 m: expect poor labels; "
            "use another --tile-size",
        ),
        (
            {"a": (TILE,), "b": (LARGE,), "c": (LARGE,)},
            "all 3 scenes: tiles of 160 m to 111 km; mini was trained on images of 300 to 4,800 m: expect poor labels, "
            "give examples",
        ),
    ],
)  # fmt: skip
def test_one_line_for_all_scenes(scenes: dict[str, tuple[DomainWarning, ...]], message: str | None) -> None:
    assert domain_message(scenes, "mini", "poor labels", ", give examples") == message


def test_zion_is_unlike_what_mini_was_trained_on(scenes: Path) -> None:
    info = scene_info(str(scenes / "labelled" / "zion" / "zion_landsat8.tif"))
    grid = make_grid(info, parse_tile_size("16"))
    assert kinds(check_domain(info, grid, DOMAIN, SIDE)) == ["pixel size", "tile pixels"]
