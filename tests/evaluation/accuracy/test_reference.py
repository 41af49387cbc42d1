"""What a reference says of each tile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.errors import VectorError
from bimors_cli.evaluation.accuracy.reference import read_reference, samples_from_points, samples_from_polygons
from bimors_cli.scene.around import Extent
from tests.evaluation.accuracy.map_files import SIDE, X, Y, tile, write_reference

TILES = np.array(
    [shapely.box(10 * col, 10 * row, 10 * col + 10, 10 * row + 10) for row in range(3) for col in range(4)]
)


def place() -> Extent:
    """Two rows of four tiles."""
    from pyproj import CRS

    return Extent("layer", "out.gpkg", CRS.from_epsg(32618).to_wkt(), (X, Y - 2 * SIDE, X + 4 * SIDE, Y))


def truth(shapes: list[tuple[Any, int]], min_overlap: float = 0.5, tiles: Any = TILES) -> list[int]:
    """The class of each tile, -1 for none."""
    geometries = np.array([shape for shape, _ in shapes], object)
    found = samples_from_polygons(tiles, geometries, np.array([c for _, c in shapes], np.intp), 3, min_overlap)
    result = np.full(len(tiles), -1)
    result[found.rows] = found.classes
    return result.tolist()  # type: ignore[no-any-return]


BOXES = st.lists(
    st.tuples(st.integers(-5, 39), st.integers(-5, 29), st.integers(1, 25), st.integers(1, 25), st.integers(0, 2)),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(BOXES, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]))
def test_boxes_are_measured_as_squares_are_counted(
    boxes: list[tuple[int, int, int, int, int]], min_overlap: float
) -> None:
    """Boxes with whole corners cover whole unit squares: the rule, worked out by counting."""
    painted = np.zeros((3, 60, 70), np.bool_)
    for x, y, width, height, label in boxes:
        painted[label, y + 5 : y + 5 + height, x + 5 : x + 5 + width] = True
    expected = []
    for row in range(3):
        for col in range(4):
            window = painted[:, 10 * row + 5 : 10 * row + 15, 10 * col + 5 : 10 * col + 15]
            enough = window.any(axis=0).mean() >= min_overlap and window.any()
            expected.append(int(window.mean(axis=(1, 2)).argmax()) if enough else -1)
    assert truth([(shapely.box(x, y, x + w, y + h), label) for x, y, w, h, label in boxes], min_overlap) == expected


@settings(deadline=None)
@given(BOXES, st.randoms(use_true_random=False), st.integers(1, 9))
def test_order_and_cuts_of_polygons_do_not_matter(
    boxes: list[tuple[int, int, int, int, int]], random: Any, cut: int
) -> None:
    shapes = [(shapely.box(x, y, x + w, y + h), label) for x, y, w, h, label in boxes]
    expected = truth(shapes)
    shuffled = list(shapes)
    random.shuffle(shuffled)
    assert truth(shuffled) == expected
    x, y, w, h, label = boxes[0]
    at = x + w * cut / 10
    halves = [(shapely.box(x, y, at, y + h), label), (shapely.box(at, y, x + w, y + h), label)]
    assert truth([*halves, *shapes[1:]]) == expected


def test_the_reference_as_a_whole_must_cover_enough() -> None:
    third, another = shapely.box(0, 0, 4, 10), shapely.box(4, 0, 7, 10)
    assert truth([(third, 2), (another, 0)])[0] == 2  # 0.4 and 0.3 of it
    assert truth([(third, 2)])[0] == -1
    assert truth([(third, 2), (third, 0)])[0] == -1  # one ground under two classes counts once
    assert truth([(third, 2), (third, 0)], 0.4)[0] == 0  # equal: the first label
    assert truth([(third, 1), (third, 1), (third, 1)])[0] == -1


def test_a_tile_that_nothing_covers_has_no_truth_at_any_overlap() -> None:
    assert truth([(shapely.box(0, 0, 1, 1), 1)], 0.0) == [1] + [-1] * 11
    assert truth([(shapely.box(10, 0, 20, 10), 1)], 0.0)[0] == -1  # touched only


def test_tiles_without_a_place_and_of_two_parts() -> None:
    halves = shapely.MultiPolygon([shapely.box(0, 0, 5, 10), shapely.box(95, 0, 100, 10)])
    tiles = np.array([None, halves, TILES[1]], object)
    assert truth([(shapely.box(0, 0, 20, 10), 1)], 0.5, tiles) == [-1, 1, 1]
    assert truth([(shapely.box(0, 0, 20, 10), 1)], 0.6, tiles) == [-1, -1, 1]


def test_polygons_of_many_corners() -> None:
    """They are cut up on the way: the answer is that of the whole."""
    turns = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    star = shapely.Polygon(
        np.c_[20 + 14 * np.cos(turns), 15 + 14 * np.sin(turns)] * (1 + 0.02 * np.sin(99 * turns))[:, None]
    )
    share = shapely.area(shapely.intersection(star, TILES)) / 100
    for least in (0.2, 0.5, 0.9):
        assert truth([(star, 1)], least) == np.where(share >= least, 1, -1).tolist()


def test_points_count_once() -> None:
    points = np.array([shapely.Point(*xy) for xy in ((5, 5), (10, 5), (10, 10), (40, 30), (41, 5))], object)
    found = samples_from_points(TILES, points, np.array([0, 1, 2, 0, 1]))
    assert found.rows.tolist() == [0, 0, 0, 11] and found.classes.tolist() == [0, 1, 2, 0] and found.outside == 1
    several = np.array([shapely.MultiPoint([(5, 5), (15, 5), (99, 99)])], object)
    found = samples_from_points(TILES, several, np.array([2]))
    assert (found.rows.tolist(), found.classes.tolist(), found.outside) == ([0, 1], [2, 2], 1)
    found = samples_from_points(np.array([None, TILES[0]], object), points, np.array([0, 1, 2, 0, 1]))
    assert found.rows.tolist() == [1, 1, 1]


def test_what_is_left_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    knot = shapely.Polygon([(X, Y), (X + 90, Y - 90), (X + 90, Y), (X, Y - 90), (X, Y)])
    shapes = [knot, tile(0, 1), tile(1, 1), tile(0, 50), None, shapely.Polygon()]
    path = write_reference(tmp_path / "truth.gpkg", shapes, ["a", " b ", None, "c", "d", "e"])
    found = read_reference(path, "class", place())
    assert (found.kind, found.classes.tolist()) == ("polygons", ["a", "b"])
    assert (found.out_of_extent, found.without_class, found.repaired) == (3, 1, 1)
    assert shapely.is_valid(found.geometries).all() and "1 invalid geometries" in caplog.text


@pytest.mark.parametrize("crs", [32618, 4326, 3857, 32617])
def test_any_crs(tmp_path: Path, crs: int) -> None:
    path = write_reference(tmp_path / "truth.gpkg", [tile(0, 0), tile(0, 50)], ["a", "b"], crs=crs)
    found = read_reference(path, "class", place())
    (here,) = found.geometries
    assert shapely.area(shapely.symmetric_difference(here, tile(0, 0))) < 1  # of 10,000 square metres


def test_a_layer_of_several(tmp_path: Path) -> None:
    path = write_reference(tmp_path / "truth.gpkg", [tile(0, 0)], ["a"], layer="first")
    write_reference(tmp_path / "truth.gpkg", [tile(0, 1)], ["b"], layer="second", mode="a")
    assert read_reference(path, "class", place(), "second").classes.tolist() == ["b"]
    assert read_reference(f"{path}:first", "class", place()).layer == "first"
    with pytest.raises(VectorError, match="several layers"):
        read_reference(path, "class", place())
    with pytest.raises(VectorError, match="no layer 'third'"):
        read_reference(path, "class", place(), "third")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_refused(tmp_path: Path) -> None:
    def refusal(shapes: list[Any], classes: list[Any], field: str = "class", suffix: str = "gpkg", **more: Any) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{suffix}"
        with pytest.raises(VectorError) as caught:
            read_reference(write_reference(path, shapes, classes, **more), field, place())
        assert caught.value.exit_code == 2 and caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint
        return f"{caught.value.message} | {caught.value.hint}"

    with pytest.raises(VectorError, match="not found"):
        read_reference(str(tmp_path / "none.gpkg"), "class", place())
    assert "has no field 'klass' | did you mean 'class'? its fields are class (text)" in refusal(
        [tile(0, 0)], ["a"], "klass"
    )
    assert "has no CRS" in refusal([tile(0, 0)], ["a"], suffix="shp", crs=None)
    assert "holds no feature" in refusal([], [], geometry_type="Polygon")
    assert "class is null in all features that intersect out.gpkg" in refusal([tile(0, 0), tile(0, 99)], [None, "a"])
    assert "mixes geometry types: 1 points, 1 polygons" in refusal([tile(0, 0), tile(0, 1).centroid], ["a", "b"])
    assert "holds lines" in refusal([tile(0, 0).boundary], ["a"])
    assert "no feature of" in refusal([None, tile(0, 50)], ["a", "b"])
    far = refusal([tile(90, 0)], ["a"], crs=4326)
    assert "intersects out.gpkg | in EPSG:4326 the features span (" in far
    assert "out.gpkg spans (-75, 41.5499, -74.9952, 41.5517): is the CRS of" in far


def test_many_tiles_and_polygons_take_seconds() -> None:
    x, y = np.meshgrid(np.arange(100), np.arange(100))
    tiles = shapely.box(x.ravel(), y.ravel(), x.ravel() + 1, y.ravel() + 1)
    random = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circles = [
        shapely.Polygon(np.c_[x + 3 * np.cos(turns), y + 3 * np.sin(turns)])
        for x, y in random.uniform(0, 100, (500, 2))
    ]
    begin = time.perf_counter()
    found = samples_from_polygons(tiles, np.array(circles, object), np.arange(500) % 3, 3, 0.5)
    assert time.perf_counter() - begin < 10 and 5000 < len(found.rows) <= 10_000
