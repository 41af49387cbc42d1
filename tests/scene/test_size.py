"""Sizes in pixels, metres and per cent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from bimors_cli.errors import InputError, SceneError
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import SceneInfo, open_scene, scene_info
from bimors_cli.scene.size import (
    Length,
    ground_scale,
    is_unit,
    make_grid,
    parse_overlap,
    parse_tile_size,
    pixel_size_metres,
    to_pixels,
    warn_of_large_tile,
)
from tests.conftest import MakeRaster

EQUATOR_DEGREE = 2 * math.pi * 6378137 / 360


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("224", Length(224, "px")),
        (" 224 PX ", Length(224, "px")),
        ("500m", Length(500, "m")),
        ("0.5km", Length(500, "m")),
        ("2.5 m", Length(2.5, "m")),
        (".5km", Length(500, "m")),
    ],
)
def test_tile_size(text: str, length: Length) -> None:
    """Pixels, metres, kilometres."""
    assert parse_tile_size(text) == length


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-5", "10%", "2.5", "2.5px", "m", "12ft", "1e3", "nan", "9" * 400, "٣"]
)
def test_tile_size_refused(text: str) -> None:
    """What is not a size of a tile comes back with an example."""
    with pytest.raises(InputError) as caught:
        parse_tile_size(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "length"),
    [("0", Length(0, "px")), ("16px", Length(16, "px")), ("10%", Length(10, "%")), ("50m", Length(50, "m"))],
)
def test_overlap(text: str, length: Length) -> None:
    """Pixels, per cent, metres."""
    assert parse_overlap(text) == length


@pytest.mark.parametrize("text", ["100%", "150 %", "-1", "half", "1.5"])
def test_overlap_refused(text: str) -> None:
    """An overlap that leaves no step is refused before any scene is opened."""
    with pytest.raises(InputError):
        parse_overlap(text)


def test_to_pixels() -> None:
    """Nearest whole pixel."""
    assert to_pixels(Length(224, "px"), 0.1) == 224
    assert to_pixels(Length(500, "m"), 30) == 17
    assert to_pixels(Length(10, "%"), 30, of=224) == 22


def test_utm_gives_round_numbers() -> None:
    """A UTM grid is believed although its scale is 0.9996: 500 m of 10 m pixels are 50."""
    assert pixel_size_metres(Affine(10, 0, 500_000, 0, -10, 4_600_000), CRS.from_epsg(32618), 100, 100) == (10, 10)


def test_rotated() -> None:
    """Rotation leaves the size of the pixel as it is."""
    sin, cos = math.sin(math.radians(30)), math.cos(math.radians(30))
    transform = Affine(2 * cos, 3 * sin, 500_000, 2 * sin, -3 * cos, 4_600_000)
    assert pixel_size_metres(transform, CRS.from_epsg(32618), 10, 10) == pytest.approx((2, 3))


def test_feet() -> None:
    """A CRS in US survey feet."""
    x, y = pixel_size_metres(Affine(1, 0, 2_000_000, 0, -1, 600_000), CRS.from_epsg(2263), 10, 10)
    assert (x, y) == pytest.approx((0.3048006, 0.3048006), rel=1e-5)


def test_geographic_equator_and_60_degrees() -> None:
    """A degree of longitude shrinks with the latitude, one of latitude hardly does."""
    wgs84 = CRS.from_epsg(4326)
    x, y = pixel_size_metres(Affine(0.01, 0, -0.5, 0, -0.01, 0.5), wgs84, 100, 100)
    assert x == pytest.approx(EQUATOR_DEGREE / 100, rel=1e-6)
    assert y == pytest.approx(1105.74, rel=1e-4)
    x, y = pixel_size_metres(Affine(0.01, 0, 10, 0, -0.01, 60.5), wgs84, 100, 100)
    assert x == pytest.approx(558.0, rel=1e-3)  # 0.01 * 111320 * cos(60) on the ellipsoid
    assert y == pytest.approx(1114.1, rel=1e-3)


def test_web_mercator_has_its_own_metre() -> None:
    """A metre of the CRS, as GDAL takes it; at 60 degrees it is half a metre on the ground."""
    mercator = CRS.from_epsg(3857)
    assert pixel_size_metres(Affine(10, 0, -500, 0, -10, 500), mercator, 100, 100) == (10, 10)
    assert ground_scale(Affine(10, 0, -500, 0, -10, 500), mercator, 100, 100) == pytest.approx(1, rel=1e-6)
    north = Affine(10, 0, 0, 0, -10, 6378137 * math.log(math.tan(math.pi / 4 + math.radians(60) / 2)) + 500)
    assert pixel_size_metres(north, mercator, 100, 100) == (10, 10)
    assert ground_scale(north, mercator, 100, 100) == pytest.approx(0.5, rel=5e-3)


def test_at_a_pole() -> None:
    """A polar projection can be measured at the pole, degrees cannot."""
    polar = CRS.from_epsg(3031)
    x, y = pixel_size_metres(Affine(100, 0, -5000, 0, -100, 5000), polar, 100, 100)
    assert (x, y) == (100, 100)
    assert ground_scale(Affine(100, 0, -5000, 0, -100, 5000), polar, 100, 100) == pytest.approx(1.028, rel=1e-3)
    with pytest.raises(InputError) as caught:
        pixel_size_metres(Affine(1, 0, -180, 0, -1, 100), CRS.from_epsg(4326), 360, 20)
    assert "pixels" in str(caught.value.hint)


def test_across_the_antimeridian() -> None:
    """A scene whose centre is at 180 degrees has ordinary pixels."""
    x, _ = pixel_size_metres(Affine(0.01, 0, 179.5, 0, -0.01, 0.5), CRS.from_epsg(4326), 100, 100)
    assert x == pytest.approx(EQUATOR_DEGREE / 100, rel=1e-6)


@pytest.fixture
def info(make_raster: MakeRaster) -> SceneInfo:
    """Return a scene of 100 x 80 pixels of 10 m."""
    return scene_info(make_raster(np.zeros((1, 80, 100), np.uint8)))


def test_make_grid(info: SceneInfo) -> None:
    """Pixels, metres and overlaps give the same integers as by hand."""
    assert make_grid(info, Length(32, "px")) == Grid(100, 80, 32, 32, 32, 32)
    assert make_grid(info, Length(320, "m"), Length(25, "%")) == Grid(100, 80, 32, 32, 24, 24)
    assert make_grid(info, Length(32, "px"), Length(40, "m")) == Grid(100, 80, 32, 32, 28, 28)


def test_make_grid_with_pixels_that_are_not_square(make_raster: MakeRaster) -> None:
    """A tile in metres is square on the ground."""
    path = make_raster(np.zeros((1, 80, 100), np.uint8), transform=Affine(10, 0, 500_000, 0, -20, 4_600_000))
    assert make_grid(scene_info(path), Length(400, "m"), Length(10, "%")) == Grid(100, 80, 40, 20, 36, 18)


def test_a_tile_larger_than_the_scene_shrinks_to_it(info: SceneInfo) -> None:
    """One tile, square as asked for, no larger than needed; a tile that is larger one way only stays."""
    assert make_grid(info, Length(224, "px"), Length(16, "px")) == Grid(100, 80, 100, 100, 100, 100)
    assert make_grid(info, Length(1000, "m")) == Grid(100, 80, 100, 100, 100, 100)
    assert make_grid(info, Length(90, "px")) == Grid(100, 80, 90, 90, 90, 90)
    assert len(make_grid(info, Length(10**12 - 1, "px"))) == 1


def test_a_tile_much_larger_than_the_scene_is_told(info: SceneInfo, caplog: pytest.LogCaptureFixture) -> None:
    side = max(info.width, info.height)
    warn_of_large_tile(info, Length(4 * side, "px"))
    assert not caplog.messages
    warn_of_large_tile(info, Length(5 * side, "px"))
    (message,) = caplog.messages
    assert f"{info.name} is one tile" in message and "5 times as large" in message and "500m metres" in message
    assert len(make_grid(info, Length(5 * side, "px"))) == 1


def test_only_a_size_that_was_given_is_suspected(make_raster: MakeRaster, caplog: pytest.LogCaptureFixture) -> None:
    path = str(make_raster(np.full((3, 32, 32), 9, np.uint8)))
    plan_scenes([path], SceneOptions())
    assert not any("is one tile" in message for message in caplog.messages)
    plan_scenes([path], SceneOptions(tile_size="320"))
    assert sum("is one tile" in message for message in caplog.messages) == 1


def test_a_unit_is_no_scene() -> None:
    assert is_unit("m") and is_unit("KM") and not is_unit("m.tif") and not is_unit("")
    with pytest.raises(SceneError) as error, open_scene("m"):
        pass
    assert error.value.hint == "write a length without a space: 500m"


@pytest.mark.parametrize(
    ("tile", "overlap"),
    [(Length(4, "m"), Length(0, "px")), (Length(32, "px"), Length(32, "px")), (Length(32, "px"), Length(320, "m"))],
)
def test_make_grid_refuses(info: SceneInfo, tile: Length, overlap: Length) -> None:
    """Less than a pixel; no step."""
    with pytest.raises(InputError) as caught:
        make_grid(info, tile, overlap)
    assert caught.value.hint


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("naip_2014.tif", (5, 5)),
        ("ortho_bridge.tif", (0.1001, 0.09998)),
        ("landsat_2020.tif", (89.03, 89.42)),
        ("mars.tif", (5.001, 5.001)),
        ("polar_epsg3031.tif", (6250, 6250)),
        ("goes_geostationary.tif", (20054.96, 20054.96)),
        ("world_36000x18000.tif", (1113.19, 1105.74)),
    ],
)
def test_real_scenes(scenes: Path, name: str, size: tuple[float, float]) -> None:
    """Sizes of real pixels."""
    info = scene_info(str(scenes / name))
    assert pixel_size_metres(info.transform, info.crs, info.width, info.height) == pytest.approx(size, rel=1e-3)


def test_local_units() -> None:
    """A local CRS has no place on the Earth, but its unit has a length."""
    foot = CRS.from_wkt('LOCAL_CS["site",UNIT["US survey foot",0.3048006096012192]]')
    assert pixel_size_metres(Affine(2, 0, 0, 0, -2, 0), foot, 10, 10) == pytest.approx((0.6096012192,) * 2)
