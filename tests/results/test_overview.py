"""The picture of a scene: reduced, the right way up, measured on the ground."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.provenance import RecordedScene
from bimors_cli.results.overview import PIECE, Orientation, Overview, measure_ground
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import FILE_NODATA
from bimors_cli.scene.raster import SceneInfo, open_scene, scene_info
from bimors_cli.scene.stretch import Stretch


def used(info: SceneInfo) -> RecordedScene:
    grid = Grid(info.width, info.height, info.width, info.height, info.width, info.height)
    wkt = info.crs.to_wkt()
    return RecordedScene(info.name, info.path, grid, wkt, info.transform, (1, 2, 3), Stretch("none"), FILE_NODATA)


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 6), st.integers(1, 6))
def test_an_image_and_its_corners_turn_alike(swap: bool, left: bool, up: bool, height: int, width: int) -> None:
    image = np.arange(height * width).reshape(height, width)
    turn = Orientation(swap, left, up)
    turned, transform = turn.array(image), turn.affine(width, height)
    for row in range(height):
        for col in range(width):
            x, y = transform @ (col + 0.5, row + 0.5)
            assert turned[math.floor(y), math.floor(x)] == image[row, col]


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_map_comes_north_up(quarter: int, mirrored: bool) -> None:
    transform = Affine.rotation(90 * quarter) @ Affine.scale(1, 1 if mirrored else -1)
    turned = transform @ ~Orientation.north_up(transform).affine(1, 1)
    assert (round(turned.a), round(turned.b), round(turned.d), round(turned.e)) == (1, 0, 0, -1)


def test_pieces_make_up_the_picture(make_raster: Any) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(1, 255, (3, 700, 1300), dtype=np.uint8)
    path = make_raster(data, transform=Affine(1, 0, 500_000, 0, 1, 4_600_000))  # south-up
    with open_scene(path) as scene:
        picture = Overview.within(scene.info)
        sheet = np.zeros((700, 1300, 3), np.uint8)
        for piece in picture.pieces(scene, used(scene.info)):
            assert max(piece.image.shape) <= PIECE
            left, top, right, bottom = (round(value) for value in piece.box)
            sheet[top:bottom, left:right] = piece.image
    assert (sheet == data.transpose(1, 2, 0)[::-1]).all()


def test_a_large_scene_is_reduced(make_raster: Any) -> None:
    info = scene_info(make_raster(np.zeros((3, 700, 1300), np.uint8)))
    assert Overview.within(info, side=2000).scale == 1
    reduced = Overview.within(info, side=130)
    assert max(reduced.size) <= 130 and reduced.scale == pytest.approx(10, rel=0.01)
    assert math.prod(Overview.within(info, pixels=9100).size) <= 9100
    with open_scene(info.path) as scene:
        (piece,) = reduced.pieces(scene, used(info))
    assert piece.image.shape == (70, 130, 3)
    assert piece.box == pytest.approx((0, 0, 130, 70), abs=0.1)


def test_nodata_is_white_and_what_cannot_be_read_is_told(
    make_raster: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    data = np.full((3, 600, 600), 90, np.uint8)
    data[:, :, :300] = 0
    path = make_raster(data, nodata=0, tiled=True, blockxsize=128, blockysize=128, interleave="pixel")
    with open_scene(path) as scene:
        first = next(Overview.within(scene.info).pieces(scene, used(scene.info)))
    assert (first.image[:, :300] == 255).all() and (first.image[:, 300:] == 90).all()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(Path(path).read_bytes()[: -7 * 128 * 128 * 3])
    with open_scene(str(broken)) as scene:
        pieces = list(Overview.within(scene.info).pieces(scene, used(scene.info)))
    # 7 of 25 blocks are cut off, whichever GDAL wrote last: no more than these is lost.
    grey = sum(int((piece.image == 217).all(axis=2).sum()) for piece in pieces)
    assert 88 * 88 <= grey <= 7 * 128 * 128
    assert "could not be read and are grey" in caplog.text


@pytest.mark.parametrize(
    ("crs", "transform", "metres", "north"),
    [
        ("EPSG:32618", Affine(10, 0, 500_000, 0, -10, 4_600_000), 10, 0),
        ("EPSG:32618", Affine.translation(5e5, 4.6e6) @ Affine.rotation(20) @ Affine.scale(10, -10), 10, 20),
        ("EPSG:4326", Affine(0.001, 0, 8, 0, -0.001, 60.05), 55.8, 0),
        ("EPSG:4326", Affine(0.001, 0, 179.95, 0, -0.001, 0.05), 111.3, 0),  # the antimeridian is its middle
        ("EPSG:3857", Affine(10, 0, 0, 0, -10, 8_400_238), 5, 0),
        ("EPSG:3031", Affine(100, 0, 1_000_000, 0, -100, 5_000), 100, 90),  # right of the South Pole
        ("EPSG:2263", Affine(100, 0, 980_000, 0, -100, 200_000), 30.48, 0),  # feet
    ],
)
def test_ground(make_raster: Any, crs: str, transform: Affine, metres: float, north: float) -> None:
    info = scene_info(make_raster(np.zeros((3, 100, 100), np.uint8), crs=crs, transform=transform))
    found = measure_ground(Overview.within(info))
    assert found.metres == pytest.approx(metres, rel=0.04)
    assert found.north == pytest.approx(north, abs=1)


@pytest.mark.parametrize("left", [-500, -700])
def test_around_a_pole_there_is_no_north(make_raster: Any, left: int) -> None:
    info = scene_info(
        make_raster(np.zeros((3, 100, 100), np.uint8), crs="EPSG:3031", transform=Affine(10, 0, left, 0, -10, 500))
    )
    assert measure_ground(Overview.within(info)).north is None
