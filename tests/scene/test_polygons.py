"""Polygons of tiles on the map."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import reproject, tile_polygons
from bimors_cli.scene.raster import scene_info

WGS84 = CRS.from_epsg(4326)
COS, SIN = math.cos(0.5), math.sin(0.5)
TRANSFORMS = {
    "north-up": Affine(2, 0, 500_000, 0, -2, 4_600_000),
    "south-up": Affine(2, 0, 500_000, 0, 2, 4_600_000),
    "mirrored": Affine(-2, 0, 500_000, 0, -2, 4_600_000),
    "rotated": Affine(2 * COS, 3 * SIN, 500_000, 2 * SIN, -3 * COS, 4_600_000),
    "sheared": Affine(2, 1, 500_000, 0, -2, 4_600_000),
}


def on_map(transform: Affine, corner: tuple[int, int]) -> tuple[float, float]:
    """Carry a pixel corner to the map."""
    a, b, c, d, e, f = transform[:6]
    return a * corner[0] + b * corner[1] + c, d * corner[0] + e * corner[1] + f


def counter_clockwise(polygon: shapely.Polygon) -> bool:
    """Tell whether the exterior turns left."""
    return bool(shapely.is_ccw(polygon.exterior))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_union_is_the_footprint(transform: Affine, width: int, height: int, tile_w: int, tile_h: int) -> None:
    """No gap and no overlap, however the scene lies; all rings turn the same way."""
    polygons = tile_polygons(Grid(width, height, tile_w, tile_h, tile_w, tile_h), transform)
    corners = [on_map(transform, c) for c in ((0, 0), (width, 0), (width, height), (0, height))]
    footprint = shapely.Polygon(corners)
    assert sum(p.area for p in polygons) == pytest.approx(footprint.area, rel=1e-9)
    assert shapely.union_all(polygons).symmetric_difference(footprint).area < 1e-6 * footprint.area
    assert all(counter_clockwise(p) for p in polygons)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_corners(transform: Affine) -> None:
    """The second tile of the second row, corner by corner."""
    grid = Grid(10, 8, 4, 4, 4, 4)
    polygon = tile_polygons(grid, transform)[grid.index(grid.tile(1, 2))]
    expected = {on_map(transform, c) for c in ((8, 4), (10, 4), (10, 8), (8, 8))}
    assert {tuple(c) for c in polygon.exterior.coords} == expected


def test_neighbours_share_their_corners_exactly() -> None:
    """No slivers: equal to the last bit, in the scene's CRS and after reprojection."""
    grid = Grid(50, 50, 7, 7, 7, 7)
    polygons = tile_polygons(grid, TRANSFORMS["rotated"])
    moved = reproject(polygons, CRS.from_epsg(32618), WGS84)
    for shapes in (polygons, moved):
        vertices = {c for p in shapes for c in p.exterior.coords}
        assert len(vertices) == (grid.rows + 1) * (grid.cols + 1)


def test_some_tiles_and_none() -> None:
    """A choice of tiles; an empty one."""
    grid = Grid(10, 10, 5, 5, 5, 5)
    transform = TRANSFORMS["north-up"]
    assert tile_polygons([grid[3]], transform)[0].equals(tile_polygons(grid, transform)[3])
    assert len(tile_polygons([], transform)) == 0
    assert len(reproject(tile_polygons([], transform), WGS84, CRS.from_epsg(3857))) == 0


def test_reproject() -> None:
    """Corners go where pyproj sends them, x before y, and back; the same CRS changes no bit."""
    from pyproj import Transformer

    utm = CRS.from_epsg(32618)
    polygons = tile_polygons(Grid(9, 9, 4, 4, 4, 4), TRANSFORMS["south-up"])
    moved = reproject(polygons, utm, WGS84)
    lon, lat = Transformer.from_crs(32618, 4326, always_xy=True).transform(500_000, 4_600_000)
    assert (lon, lat) in {c for p in moved for c in p.exterior.coords}
    assert -76 < moved[0].bounds[0] < -74 and 41 < moved[0].bounds[1] < 42
    assert all(counter_clockwise(p) for p in moved)
    back = reproject(moved, WGS84, utm)
    assert max(a.hausdorff_distance(b) for a, b in zip(polygons, back, strict=True)) < 1e-6
    degrees = tile_polygons(Grid(9, 9, 4, 4, 4, 4), Affine(0.1, 0, -75.3, 0, -0.1, 41.7))
    for a, b in zip(degrees, reproject(degrees, WGS84, WGS84), strict=True):
        assert list(a.exterior.coords) == list(b.exterior.coords)


def assert_legal(polygons: np.ndarray) -> None:
    """Check RFC 7946: within -180..180 and -90..90, valid, counter-clockwise, never the long way around."""
    for polygon in polygons:
        assert polygon.is_valid
        west, south, east, north = polygon.bounds
        assert west >= -180 and east <= 180 and south >= -90 and north <= 90
        for part in shapely.get_parts(polygon):
            assert counter_clockwise(part)


def test_antimeridian() -> None:
    """A tile across 180 degrees is cut there; its halves have its area; its neighbours stay whole."""
    transform = Affine(0.1, 0, 179, 0, -0.1, 10)
    whole = tile_polygons(Grid(20, 10, 5, 10, 5, 10), transform)
    across = tile_polygons(Grid(20, 10, 20, 10, 20, 10), transform)
    for polygons in (whole, across):
        moved = reproject(polygons, WGS84, WGS84)
        assert_legal(moved)
        assert sum(p.area for p in moved) == pytest.approx(2)
        halves = shapely.union_all([shapely.box(179, 9, 180, 10), shapely.box(-180, 9, -179, 10)])
        assert shapely.union_all(moved).symmetric_difference(halves).area < 1e-9
    assert [p.geom_type for p in reproject(whole, WGS84, WGS84)] == ["Polygon"] * 4
    assert reproject(across, WGS84, WGS84)[0].geom_type == "MultiPolygon"


def test_rounding_at_the_edges_of_the_map() -> None:
    """A hair beyond 180 degrees makes no sliver; half a pixel beyond the pole is the pole."""
    beyond = tile_polygons(Grid(10, 10, 10, 10, 10, 10), Affine(0.1, 0, 179 + 1e-11, 0, -0.1, 10))
    moved = reproject(beyond, WGS84, WGS84)
    assert_legal(moved)
    assert moved[0].geom_type == "Polygon"
    centred = tile_polygons(Grid(10, 1801, 10, 1801, 10, 1801), Affine(0.1, 0, 0, 0, -0.1, 90.05))
    moved = reproject(centred, WGS84, WGS84)
    assert_legal(moved)
    assert moved[0].bounds == (0, -90, 1, 90)


def test_clockwise_rings_are_turned() -> None:
    """Whatever comes in, and whatever the target does to it."""
    ring = shapely.box(-75, 40, -74, 41, ccw=False)
    for target in (WGS84, CRS.from_epsg(32618)):
        assert counter_clockwise(reproject([ring], WGS84, target)[0])


def test_longitudes_from_0_to_360() -> None:
    """Climate grids begin at Greenwich."""
    moved = reproject(tile_polygons(Grid(360, 180, 90, 180, 90, 180), Affine(1, 0, 0, 0, -1, 90)), WGS84, WGS84)
    assert_legal(moved)
    assert [p.bounds[0] for p in moved] == [0, 90, -180, -90]


def test_the_whole_world_in_one_tile() -> None:
    """Its left and right edges are the same meridian, yet it is not empty."""
    edge = 6378137 * math.pi
    polygons = tile_polygons(Grid(100, 100, 100, 100, 100, 100), Affine(edge / 50, 0, -edge, 0, -edge / 50, edge))
    moved = reproject(polygons, CRS.from_epsg(3857), WGS84)
    assert_legal(moved)
    assert moved[0].bounds == pytest.approx((-180, -85.0511, 180, 85.0511), abs=1e-3)
    moved = reproject(tile_polygons(Grid(360, 180, 360, 180, 360, 180), Affine(1, 0, -180, 0, -1, 90)), WGS84, WGS84)
    assert moved[0].area == 360 * 180


@pytest.mark.parametrize(("epsg", "pole"), [(3031, -90), (3413, 90)])
def test_poles(epsg: int, pole: int) -> None:
    """The tile that holds the pole reaches it, all around; together the tiles cover the cap once."""
    grid = Grid(30, 30, 10, 10, 10, 10)
    polygons = tile_polygons(grid, Affine(10_000, 0, -150_000, 0, -10_000, 150_000))
    moved = reproject(polygons, CRS.from_epsg(epsg), WGS84)
    assert_legal(moved)
    centre = moved[4]
    west, south, east, north = centre.bounds
    assert (west, east) == pytest.approx((-180, 180)) and pole in (south, north)
    overlap = sum(a.intersection(b).area for i, a in enumerate(moved) for b in moved[i + 1 :])
    assert overlap < 0.15 * sum(p.area for p in moved)  # straight edges in degrees are not straight on the ground
    assert all(p.area < 0.6 * centre.area for i, p in enumerate(moved) if i != 4)


def test_off_the_globe() -> None:
    """A corner that has no place on the Earth: no polygon rather than a wrong one."""
    goes = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=-75 +sweep=x +ellps=GRS80")
    polygons = tile_polygons(Grid(10, 10, 5, 5, 5, 5), Affine(1_080_000, 0, -5_400_000, 0, -1_080_000, 5_400_000))
    assert list(reproject(polygons, goes, WGS84)) == [None] * 4
    inner = tile_polygons(Grid(2, 2, 1, 1, 1, 1), Affine(1_080_000, 0, -1_080_000, 0, -1_080_000, 1_080_000))
    assert all(p is not None and p.is_valid for p in reproject(inner, goes, WGS84))


def test_no_way_between_planets() -> None:
    """Mars is not on the Earth."""
    mars = CRS.from_wkt('GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.8944]],PRIMEM["R",0],UNIT["degree",0.0174532925199433]]')  # fmt: skip  # noqa: E501
    with pytest.raises(InputError, match="no transformation"):
        reproject(tile_polygons(Grid(2, 2, 1, 1, 1, 1), Affine(1, 0, 0, 0, -1, 0)), mars, WGS84)


def test_many_tiles_quickly() -> None:
    """A hundred thousand polygons are made and carried in one go."""
    polygons = tile_polygons(Grid(7000, 7000, 22, 22, 22, 22), TRANSFORMS["north-up"])
    assert len(polygons) > 100_000
    assert len(reproject(polygons, CRS.from_epsg(32618), WGS84)) == len(polygons)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["dateline_utm60.tif", "polar_epsg3031.tif", "goes_geostationary.tif", "south_up.tif", "naip_2014.tif", "mars.tif"],
)
def test_real_scenes(scenes: Path, name: str) -> None:
    """Legal GeoJSON from real places; the scene's area on the map is the sum of its tiles."""
    info = scene_info(str(scenes / name))
    polygons = tile_polygons(Grid(info.width, info.height, 100, 100, 100, 100), info.transform)
    area = info.width * info.height * abs(info.transform.determinant)
    assert sum(p.area for p in polygons) == pytest.approx(area)
    if name == "mars.tif":
        return
    moved = reproject(polygons, info.crs, WGS84)
    known = np.array([p for p in moved if p is not None], object)
    assert_legal(known)
    assert (len(known) < len(moved)) == (name == "goes_geostationary.tif")
    if name == "dateline_utm60.tif":
        assert any(p.bounds[0] == -180 for p in known) and any(p.bounds[2] == 180 for p in known)
        assert max(p.area for p in known) < 0.1  # none goes the long way around
