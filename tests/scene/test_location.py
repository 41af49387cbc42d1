"""Where scenes are: bounds in degrees, pixel sizes on the ground, areas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.location import Location, _wrap, locate
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster

WGS84_AREA = 510_065_621_724_088.5  # square metres, of the ellipsoid


def of(make_raster: MakeRaster, crs: str, transform: Affine, width: int = 64, height: int = 64) -> Location:
    return locate(scene_info(make_raster(np.ones((1, height, width), np.uint8), crs=crs, transform=transform)))


def test_utm(make_raster: MakeRaster) -> None:
    place = of(make_raster, "EPSG:32618", Affine(10, 0, 500_000, 0, -10, 4_600_000))
    assert (place.crs_code, place.crs_name, place.unit, place.unit_m) == (
        "EPSG:32618", "WGS 84 / UTM zone 18N", "metre", 1,
    )  # fmt: skip
    assert place.bounds == (500_000, 4_599_360, 500_640, 4_600_000)
    west, south, east, north = place.bounds_lonlat or (0, 0, 0, 0)
    assert west == pytest.approx(-75) and -75 < east < -74.99 and 41.54 < south < north < 41.56
    assert place.ground_pixel_m == pytest.approx((10, 10), rel=1e-3)
    assert place.area_m2 == 640 * 640 and place.rotation == 0 and math.copysign(1, place.rotation) == 1


@pytest.mark.parametrize("west", [-180, 0])
def test_the_world_has_the_area_of_the_ellipsoid(make_raster: MakeRaster, west: float) -> None:
    place = of(make_raster, "EPSG:4326", Affine(5, 0, west, 0, -5, 90), 72, 36)
    assert place.bounds_lonlat == (-180, -90, 180, 90)
    assert place.area_m2 == pytest.approx(WGS84_AREA, rel=1e-9)
    assert place.unit == "degree" and place.unit_m is None


def test_across_the_antimeridian(make_raster: MakeRaster) -> None:
    place = of(make_raster, "EPSG:4326", Affine(0.1, 0, 178, 0, -0.1, -15))
    assert place.bounds_lonlat == pytest.approx((178, -21.4, -175.6, -15))
    assert place.centre_lonlat == pytest.approx((-178.8, -18.2))
    zone_60 = of(make_raster, "EPSG:32660", Affine(10_000, 0, 400_000, 0, -10_000, 5_800_000))
    west, _, east, _ = zone_60.bounds_lonlat or (0, 0, 0, 0)
    assert west > 170 and east < -170


def test_around_and_beyond_a_pole(make_raster: MakeRaster) -> None:
    place = of(make_raster, "EPSG:3031", Affine(100_000, 0, -3_200_000, 0, -100_000, 3_200_000))
    west, south, east, north = place.bounds_lonlat or (0, 0, 0, 0)
    assert (west, south, east) == (-180, -90, 180) and -60 < north < -40
    beyond = of(make_raster, "EPSG:4326", Affine(0.01, 0, 0, 0, -0.01, 90.32))
    assert beyond.bounds_lonlat == pytest.approx((0, 89.68, 0.64, 90))
    assert beyond.ground_pixel_m is None


def test_feet(make_raster: MakeRaster) -> None:
    place = of(make_raster, "EPSG:2263", Affine(2, 0, 1e6, 0, -2, 2e5))
    assert place.unit == "US survey foot" and place.unit_m == pytest.approx(1200 / 3937)
    assert place.pixel_size == (2, 2)
    assert place.ground_pixel_m == pytest.approx((2400 / 3937, 2400 / 3937), rel=1e-3)
    assert place.area_m2 == pytest.approx((128 * 1200 / 3937) ** 2)


def test_grads_from_paris(make_raster: MakeRaster) -> None:
    """2 grad east of Paris, whose meridian is 2.5969213 grad east of Greenwich."""
    place = of(make_raster, "EPSG:4807", Affine(0.001, 0, 2, 0, -0.001, 54))
    assert place.bounds_lonlat == pytest.approx((4.59692130 * 0.9, 53.936 * 0.9, 4.66092130 * 0.9, 54 * 0.9))


@given(angle=st.floats(-179, 179), size=st.floats(0.1, 100))
def test_rotation(angle: float, size: float) -> None:
    """Counterclockwise from the x axis, whatever the pixel size."""
    from unittest.mock import patch

    from rasterio.crs import CRS

    from bimors_cli.scene import location

    transform = Affine.translation(5e5, 4.6e6) @ Affine.rotation(angle) @ Affine.scale(size, -size)

    class Info:
        crs = CRS.from_epsg(32618)
        width = height = 8
        has_geotransform = True

    Info.transform = transform  # type: ignore[attr-defined]
    with patch.object(location, "ground_pixel_size", return_value=None):
        place = locate(Info())  # type: ignore[arg-type]
    assert place.rotation == pytest.approx(angle, abs=1e-9)
    assert place.pixel_size == pytest.approx((size, size))
    assert place.area_m2 == pytest.approx(64 * size**2)


def test_no_geotransform(make_raster: MakeRaster) -> None:
    path = make_raster(np.ones((1, 8, 8), np.uint8), crs=None, transform=None)
    place = locate(scene_info(path, assume_crs="EPSG:32618"))
    assert place.bounds_lonlat is None and place.area_m2 is None and place.area_of_use is None


def test_far_outside_the_area_of_use(make_raster: MakeRaster) -> None:
    """Metres of UTM zone 18 that are called Lambert-93."""
    place = of(make_raster, "EPSG:2154", Affine(10, 0, 5e5, 0, -10, 4.6e6))
    assert place.area_of_use is not None and "France" in place.area_of_use
    assert of(make_raster, "EPSG:2154", Affine(10, 0, 6e5, 0, -10, 6.8e6)).area_of_use is None
    # The neighbouring zone is no error, and zone 60 ends at the antimeridian.
    assert of(make_raster, "EPSG:32618", Affine(10, 0, 1e5, 0, -10, 4.6e6)).area_of_use is None
    assert of(make_raster, "EPSG:32660", Affine(10, 0, 7.5e5, 0, -10, 4.6e6)).area_of_use is None
    assert of(make_raster, "EPSG:32601", Affine(10, 0, 2.5e5, 0, -10, 4.6e6)).area_of_use is None


@given(st.floats(-1000, 1000))
def test_wrapped_longitudes(longitude: float) -> None:
    wrapped = _wrap(longitude)
    assert -180 <= wrapped <= 180
    turns = (wrapped - longitude) / 360
    assert turns == pytest.approx(round(turns), abs=1e-9)
