"""Features around a scene: everywhere on Earth."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer
from shapely.geometry import box

from bimors_cli.errors import VectorError
from bimors_cli.scene.around import Extent, bounds_around, reproject_around

SCENES = {
    "UTM 60": (32660, (770_000, -40_000, 870_000, 40_000)),
    "179 to 181": (4326, (179, -0.6, 181, 1)),
    "-181 to -179": (4326, (-181, -0.6, -179, 1)),
    "0 to 360": (4326, (0, -72, 360, 72)),
    "-180 to 180": (4326, (-180, -72, 180, 72)),
    "NAD83": (4269, (179, -0.6, 181, 1)),
    "Mercator": (3857, (-20_037_508, -16_000_000, 20_037_508, 16_000_000)),
    "Antarctic": (3031, (-1.4e7, -1.4e7, 1.4e7, 1.4e7)),
}
FIJI = {
    "in two pieces": shapely.MultiPolygon([box(179.5, -0.5, 180, 0.5), box(-180, -0.5, -179.7, 0.5)]),
    "beyond 180": box(179.5, -0.5, 180.3, 0.5),
    "beyond -180": box(-180.5, -0.5, -179.7, 0.5),
    "in one piece": shapely.Polygon([(179.5, -0.5), (-179.7, -0.5), (-179.7, 0.5), (179.5, 0.5)]),
}


def extent(name: str) -> Extent:
    epsg, bounds = SCENES[name]
    return Extent("scene", "scene.tif", CRS.from_epsg(epsg).to_wkt(), bounds)


def around(geometry: object, crs: str, place: Extent) -> shapely.Geometry:
    """Return what of a geometry lies in a place."""
    (found,) = reproject_around(np.array([geometry], object), crs, place, "a.gpkg")
    return shapely.intersection(shapely.make_valid(found), box(*place.bounds))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("way", FIJI)
def test_an_area_across_the_antimeridian(scene: str, way: str) -> None:
    """However it is drawn, it is 0.8 degrees wide and 1 degree high."""
    place = extent(scene)
    found = around(FIJI[way], "EPSG:4326", place)
    degrees = shapely.segmentize(box(179.5, -0.5, 180.3, 0.5), 0.01)
    parts = [box(179.5, -0.5, 180, 0.5), box(180, -0.5, 180.3, 0.5)]
    if CRS.from_wkt(place.crs_wkt).is_geographic:
        area = degrees.area
    else:
        to_place = Transformer.from_crs(4326, place.crs_wkt, always_xy=True)
        inner = [shapely.segmentize(part, 0.01).buffer(-1e-9) for part in parts]
        area = sum(
            shapely.transform(part, lambda xy: np.column_stack(to_place.transform(*xy.T)))
            .intersection(box(*place.bounds))
            .area
            for part in inner
        )
    assert found.area == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize("scene", [name for name in SCENES if name not in ("UTM 60", "Antarctic")])
def test_a_projected_feature_across_the_antimeridian(scene: str) -> None:
    place = extent(scene)
    found = around(box(780_000, -30_000, 860_000, 30_000), "EPSG:32660", place)
    to_degrees = Transformer.from_crs(place.crs_wkt, 4326, always_xy=True)
    x, y = to_degrees.transform(*shapely.get_coordinates(found).T)
    assert np.min(x % 360) > 179.5 and np.max(x % 360) < 180.3 and np.abs(y).max() < 0.28
    width = 0.7192 if CRS.from_wkt(place.crs_wkt).is_geographic else 0.7192 * 111_319.5
    assert found.area == pytest.approx(width * width * 0.5426 / 0.7192, rel=0.01)


def test_the_world_is_the_world() -> None:
    """An edge of 360 degrees goes around the Earth, and so does a frame that is almost as large."""
    for name in SCENES:
        place = extent(name)
        for world in (box(-180, -85, 180, 85), box(0, -85, 360, 85)):
            if name != "Antarctic":
                share = around(world, "EPSG:4326", place).area / box(*place.bounds).area
                assert share == pytest.approx(1, abs=1e-3), name
    everything = around(box(-179.9, -85, 179.9, 85), "EPSG:4326", extent("-180 to 180"))
    assert everything.area == pytest.approx(359.8 * 144)


def test_a_jump_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        around(FIJI["in two pieces"], "EPSG:4326", extent("UTM 60"))
        assert not caplog.text
        around(FIJI["in one piece"], "EPSG:4326", extent("UTM 60"))
    assert "a.gpkg: features with an edge from 180 to -180 degrees (1 of them)" in caplog.text


def test_holes_and_lines_across_the_antimeridian() -> None:
    hole = [(179.8, -0.2), (-179.9, -0.2), (-179.9, 0.2), (179.8, 0.2)]
    ring = shapely.Polygon(FIJI["in one piece"].exterior, [hole])
    assert around(ring, "EPSG:4326", extent("179 to 181")).area == pytest.approx(0.8 - 0.3 * 0.4)
    line = shapely.LineString([(179.5, 0), (-179.5, 0)])
    assert around(line, "EPSG:4326", extent("179 to 181")).length == pytest.approx(1)


def test_poles() -> None:
    """A disc around the pole is a band in degrees, and a band is a disc around the pole."""
    arctic = Extent("scene", "arctic.tif", CRS.from_epsg(4326).to_wkt(), (-180, 70, 180, 90))
    disc = shapely.Point(0, 0).buffer(1e6, 64)
    latitude = Transformer.from_crs(3413, 4326, always_xy=True).transform(1e6, 0)[1]
    assert around(disc, "EPSG:3413", arctic).area == pytest.approx(360 * (90 - latitude), rel=1e-3)
    pole = Extent("scene", "pole.tif", CRS.from_epsg(3413).to_wkt(), (-1e6, -1e6, 1e6, 1e6))
    radius = np.hypot(*Transformer.from_crs(4326, 3413, always_xy=True).transform(0, 85))
    assert around(box(-180, 85, 180, 90), "EPSG:4326", pole).area == pytest.approx(np.pi * radius**2, rel=1e-3)
    sector = around(box(0, 85, 90, 90), "EPSG:4326", pole)
    assert sector.area == pytest.approx(np.pi * radius**2 / 4, rel=1e-3)


def test_longitudes_of_0_to_360_in_utm() -> None:
    place = Extent("scene", "am.tif", CRS.from_epsg(32614).to_wkt(), (450_000, 4_300_000, 550_000, 4_400_000))
    east = around(box(260.8, 39, 261.2, 39.5), "EPSG:4326", place)
    west = around(box(-99.2, 39, -98.8, 39.5), "EPSG:4326", place)
    assert east.area > 1e9 and east.symmetric_difference(west).area < 1e-7 * west.area


def test_bounds_to_read() -> None:
    place = extent("UTM 60")
    west, south, east, north = bounds_around(place, "EPSG:4326", (-180, -90, 180, 90)) or (0,) * 4
    assert (west, east) == (-180, 180) and -0.5 < south < 0 < north < 0.5
    inland = Extent("scene", "am.tif", CRS.from_epsg(32614).to_wkt(), (450_000, 4_300_000, 550_000, 4_400_000))
    assert bounds_around(inland, "EPSG:4326", (-180, -90, 180, 90))[0] == pytest.approx(-99.7, abs=0.2)  # type: ignore[index]
    assert bounds_around(inland, "EPSG:4326", (0, -90, 360, 90))[0] == 0  # type: ignore[index]


LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'


def test_local_crs() -> None:
    """Two files of one local CRS lie in one plane; nothing else does."""
    site = Extent("scene", "site.tif", CRS.from_user_input(LOCAL).to_wkt(), (0, 0, 100, 100))
    assert around(box(10, 10, 50, 50), LOCAL, site).area == 1600
    for crs, place in (("EPSG:32631", site), (LOCAL, extent("UTM 60"))):
        with pytest.raises(VectorError, match="has the local CRS 'site'") as caught:
            around(box(10, 10, 50, 50), crs, place)
        assert caught.value.hint and "\n" not in caught.value.message


@pytest.mark.parametrize(
    "crs, other",
    [("EPSG:7415", "EPSG:28992"), (CRS.from_epsg(32631).to_wkt("WKT1_ESRI"), "EPSG:32631"),
     ("+proj=utm +zone=31 +datum=WGS84 +units=m +type=crs", "EPSG:32631"), ("ESRI:102100", "EPSG:3857")],
)  # fmt: skip
def test_two_ways_to_write_a_crs(crs: str, other: str) -> None:
    """Compound, of Esri, of PROJ, deprecated: the horizontal coordinates are equal."""
    place = Extent("scene", "scene.tif", CRS.from_user_input(other).to_wkt(), (150_000, 450_000, 160_000, 460_000))
    shape = box(151_000, 451_000, 155_000, 455_000)
    assert around(shape, crs, place).symmetric_difference(shape).area < 1


def test_a_bound_crs_is_shifted() -> None:
    """TOWGS84 of a CRS is used."""
    bessel = "+proj=tmerc +lon_0=9 +x_0=3500000 +ellps=bessel +units=m +type=crs"
    place = Extent("scene", "scene.tif", CRS.from_epsg(32632).to_wkt(), (400_000, 5_300_000, 600_000, 5_500_000))
    shape = box(3_500_000, 5_400_000, 3_501_000, 5_401_000)
    moved = around(shape, f"{bessel} +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7", place)
    assert moved.centroid.distance(around(shape, "EPSG:31467", place).centroid) < 3
    assert moved.centroid.distance(around(shape, bessel, place).centroid) > 50


def test_longitudes_of_0_to_360() -> None:
    """Features of -180 to 180 degrees are found on a scene of 0 to 360, in the same or another CRS."""
    globe = Extent("scene", "globe.tif", CRS.from_epsg(4326).to_wkt(), (0, -60, 360, 60))
    europe = np.array([shapely.box(-10, 35, 30, 58)], object)
    (found,) = reproject_around(europe, "EPSG:4326", globe, "a.gpkg")
    expected = shapely.union(shapely.box(-10, 35, 30, 58), shapely.box(350, 35, 390, 58))
    assert found.symmetric_difference(expected).area < 1e-9
    america = np.array([shapely.box(-100, 30, -90, 40)], object)
    assert reproject_around(america, "EPSG:4326", globe, "a.gpkg")[0].equals(shapely.box(260, 30, 270, 40))
    assert bounds_around(globe, "EPSG:4326") is None  # all features are read
    # PROJ 9.5 computes EPSG:32662 on a sphere, PROJ 9.8 on the ellipsoid.
    metres = Transformer.from_crs("EPSG:4326", "EPSG:32662", always_xy=True).transform_bounds(-100, 30, -90, 40)
    (found,) = reproject_around(np.array([box(*metres)], object), "EPSG:32662", globe, "a.gpkg")
    assert np.allclose(found.bounds, (260, 30, 270, 40), atol=0.01)
