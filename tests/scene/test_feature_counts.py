"""Features outside scenes, partly in them, and without a tile."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.feature_counts import Place, count_features, give_tiles, nothing_inside, points_in

UTM = pyproj.CRS.from_epsg(32618)
SCENE = Place("scene.tif", UTM.to_wkt(), shapely.box(500000, 4590000, 510000, 4600000))
EAST = Place("east.tif", UTM.to_wkt(), shapely.box(510000, 4590000, 520000, 4600000))


def in_crs(geometries: list[object], crs: str) -> np.ndarray:
    to = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    fine = shapely.segmentize(np.array(geometries, object), 500)
    return shapely.transform(fine, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1])))


@pytest.mark.parametrize("crs", ["EPSG:32618", "EPSG:4326", "EPSG:3857", "EPSG:5070"])
def test_counts(crs: str) -> None:
    drawn = [
        shapely.box(501000, 4591000, 502000, 4592000),  # inside
        SCENE.outline,  # as large as the scene
        shapely.box(509000, 4591000, 511000, 4592000),  # over the edge
        shapely.box(490000, 4580000, 530000, 4610000),  # around the scene
        shapely.box(530000, 4591000, 531000, 4592000),  # outside
    ]
    found = count_features("a.gpkg", in_crs(drawn, crs), crs, [SCENE])
    assert (found.total, found.outside, found.sticking_out) == (5, 1, 2)
    both = count_features("a.gpkg", in_crs(drawn, crs), crs, [SCENE, EAST], total=10)
    assert (both.total, both.outside, both.sticking_out) == (10, 6, 1)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 9))
def test_what_is_said(outside: int, sticking: int, without: int) -> None:
    from bimors_cli.run_warnings import keep_warnings
    from bimors_cli.scene.feature_counts import FeatureCounts

    with keep_warnings() as kept:
        FeatureCounts("a.gpkg", "scene.tif", 40, outside, sticking, without).warn("use smaller tiles")
    assert len(kept.texts()) == bool(outside or sticking or without)
    for text in kept.texts():
        assert ("outside scene.tif" in text) == bool(outside) and ("out of" in text) == bool(sticking)
        assert ("tile" in text.replace("scene.tif", "")) == bool(without) and text.count("of 40 features") == 1


def test_the_sentence() -> None:
    from bimors_cli.run_warnings import keep_warnings
    from bimors_cli.scene.feature_counts import FeatureCounts

    with keep_warnings() as kept:
        FeatureCounts("train.gpkg", "scene.tif", 40, 7, 3).warn("")
        FeatureCounts("train.gpkg", "the 2 scenes", 40, 1, 1, 1).warn("use smaller tiles")
    assert kept.texts() == (
        "train.gpkg: 7 of 40 features lie outside scene.tif and are not used; 3 stick out of it: their parts outside "
        "are not used (check the CRS of the file if that is unexpected)",
        "train.gpkg: 1 of 40 features lies outside the 2 scenes and is not used; 1 sticks out of them: its part "
        "outside is not used (check the CRS of the file if that is unexpected); 1 gives no tile: use smaller tiles",
    )


def test_across_the_antimeridian() -> None:
    utm1 = pyproj.CRS.from_epsg(32601)
    x, y = pyproj.Transformer.from_crs(4326, utm1, always_xy=True).transform(180.0, 65.0)
    scene = Place("scene.tif", utm1.to_wkt(), shapely.box(x - 50000, y - 50000, x + 50000, y + 50000))
    beyond = Place("era5.tif", pyproj.CRS.from_epsg(4326).to_wkt(), shapely.box(179, 64.6, 181, 65.4))
    drawn = np.array([shapely.box(179.5, 64.9, 179.9, 65.1), shapely.box(-179.9, 64.9, -179.5, 65.1),
                      shapely.box(-179.9, 10, -179.5, 11), shapely.box(-179.5, 64.9, -170, 65.1)], object)  # fmt: skip
    for place in (scene, beyond):
        found = count_features("a.geojson", drawn, "EPSG:4326", [place])
        assert (found.outside, found.sticking_out) == (1, 1)
    points = points_in("EPSG:4326", beyond.crs_wkt, np.array([[180.3, 65.0]]))
    assert give_tiles(drawn, np.zeros(4), points, np.zeros(len(points))).tolist() == [False, True, False, False]


def test_a_scene_around_the_pole_is_not_compared() -> None:
    polar = Place("pole.tif", pyproj.CRS.from_epsg(3413).to_wkt(), shapely.box(-1e6, -1e6, 1e6, 1e6))
    found = count_features("a.gpkg", np.array([shapely.box(0, 85, 10, 88)], object), "EPSG:4326", [polar])
    assert (found.outside, found.sticking_out) == (0, 0)


def test_tiles_of_the_class() -> None:
    features = np.array([shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)], object)
    tiles = np.array([shapely.box(0, 0, 2, 2)], object)
    assert give_tiles(features, np.array([0, 1, 0]), tiles, np.array([0])).tolist() == [True, False, False]
    assert not give_tiles(features, np.zeros(3), tiles[:0], np.zeros(0)).any()


def test_both_extents_in_the_crs_of_the_features() -> None:
    error = nothing_inside("far.gpkg", "EPSG:4326", (10, 50, 11, 51), [SCENE, EAST])
    assert error.message == "no feature of far.gpkg intersects the 2 scenes"
    assert str(error.hint).startswith("in EPSG:4326 the features span (10, 50, 11, 51), scenes span (-75, 41.4")


def test_features_in_grads() -> None:
    """A full circle has 400 grads: a feature at -180 grads is not the one at 180."""
    place = Place("scene.tif", pyproj.CRS.from_epsg(4807).to_wkt(), shapely.box(178, 50, 182, 52))
    features = np.array([shapely.box(179, 50.5, 181, 51), shapely.box(-181, 50.5, -179, 51)], object)
    counts = count_features("a.gpkg", features, "EPSG:4807", [place])
    assert (counts.outside, counts.sticking_out) == (1, 0)
