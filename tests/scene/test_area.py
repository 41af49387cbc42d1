"""Areas: in a plane that is true, on the ellipsoid where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod

from bimors_cli.scene.area import ground_areas


def boxes(*bounds: tuple[float, float, float, float]) -> Any:
    return np.array([shapely.box(*bound) for bound in bounds], object)


def test_utm_is_counted_in_its_plane() -> None:
    squares = boxes((500_000, 4_600_000, 500_064, 4_600_064), (300_000, 4_600_000, 300_064, 4_600_064))
    assert ground_areas(squares, CRS.from_epsg(32618)).tolist() == [4096, 4096]


def test_feet_become_metres() -> None:
    foot = 1200 / 3937
    square = boxes((2_000_000, 700_000, 2_001_000, 701_000))
    assert ground_areas(square, CRS.from_epsg(2263)) == pytest.approx([(1000 * foot) ** 2], rel=1e-9)


def test_web_mercator_is_measured_on_the_ground() -> None:
    at_60_degrees = boxes((0, 8_399_738, 100, 8_399_838))
    assert ground_areas(at_60_degrees, CRS.from_epsg(3857)) == pytest.approx([2500], rel=0.01)


def test_degrees_are_measured_on_the_ellipsoid_along_parallels() -> None:
    # The surface of WGS 84; geodesic edges between its corners would enclose nothing like it.
    strips = boxes(
        *((west, south, west + 30, south + 30) for west in range(-180, 180, 30) for south in range(-90, 90, 30))
    )
    assert ground_areas(strips, CRS.from_epsg(4326)).sum() == pytest.approx(510_065_621_724_088, rel=1e-5)
    small = boxes((8.0, 50.0, 8.001, 50.001))
    expected = abs(Geod(ellps="WGS84").geometry_area_perimeter(small[0])[0])
    assert ground_areas(small, CRS.from_epsg(4326)) == pytest.approx([expected], rel=1e-9)


def test_halves_across_the_antimeridian_count_together_and_none_has_no_area() -> None:
    halves = shapely.MultiPolygon([shapely.box(179.9, 0, 180, 0.1), shapely.box(-180, 0, -179.9, 0.1)])
    polygons = np.array([halves, None], object)
    both, nothing = ground_areas(polygons, CRS.from_epsg(4326))
    assert both == pytest.approx(2 * ground_areas(boxes((0, 0, 0.1, 0.1)), CRS.from_epsg(4326))[0], rel=1e-9)
    assert np.isnan(nothing)


def test_a_plane_without_an_ellipsoid_is_taken_as_it_is() -> None:
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert ground_areas(boxes((0, 0, 10, 10)), local).tolist() == [100]


def test_nothing_at_all() -> None:
    assert ground_areas(np.empty(0, object), CRS.from_epsg(32618)).tolist() == []
    assert np.isnan(ground_areas(np.array([None], object), CRS.from_epsg(4326))).all()
