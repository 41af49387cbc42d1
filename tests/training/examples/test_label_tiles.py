"""Which class a cell shows."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.grid import Grid
from bimors_cli.training.examples.label_tiles import NO_CLASS, NO_FEATURE, label_cells
from bimors_cli.training.examples.vector_features import Kind

GRID = Grid(40, 30, 10, 10, 10, 10)  # 4 x 3 cells


def labels(shapes: list[tuple[object, int]], kind: Kind = "polygons", min_overlap: float = 0.5, count: int = 3) -> list:  # type: ignore[type-arg]
    geometries = np.array([shape for shape, _ in shapes], object)
    classes = np.array([label for _, label in shapes], np.intp)
    return label_cells(GRID, kind, geometries, classes, count, min_overlap).tolist()


BOXES = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(1, 25), st.integers(1, 25), st.integers(0, 2)),
    max_size=8,
)
GRIDS = st.sampled_from([GRID, Grid(40, 30, 10, 10, 5, 7), Grid(37, 29, 10, 8, 10, 8), Grid(40, 30, 40, 30, 40, 30)])


@given(GRIDS, BOXES, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]))
def test_boxes_are_measured_as_pixels_are_counted(
    grid: Grid, boxes: list[tuple[int, int, int, int, int]], min_overlap: float
) -> None:
    """Boxes with whole corners cover whole pixels: the rule, worked out by counting."""
    covered = np.zeros((3, grid.scene_height, grid.scene_width), np.bool_)
    for x, y, width, height, label in boxes:
        covered[label, y : y + height, x : x + width] = True
    geometries = np.array([shapely.box(x, y, x + w, y + h) for x, y, w, h, _ in boxes], object)
    classes = np.array([label for *_, label in boxes], np.intp)
    found = label_cells(grid, "polygons", geometries, classes, 3, min_overlap)
    for tile, result in zip(grid, found, strict=True):
        window = covered[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        shares = window.mean(axis=(1, 2))
        best = int(shares.argmax())
        expected = best if shares[best] >= min_overlap and shares[best] > 0 else NO_CLASS
        assert result == (expected if shares.any() else NO_FEATURE)


@given(BOXES, st.floats(0, 6.3), st.tuples(st.floats(-30, 30), st.floats(-30, 30)))
def test_a_lower_overlap_only_adds(boxes: list[tuple[int, int, int, int, int]], angle: float, centre: object) -> None:
    shapes = [
        (shapely.affinity.rotate(shapely.box(x, y, x + w, y + h), angle, origin=centre, use_radians=True), label)
        for x, y, w, h, label in boxes
    ]
    strict, loose = (np.array(labels(shapes, min_overlap=share)) for share in (0.6, 0.2))
    assert (loose[strict >= 0] == strict[strict >= 0]).all()
    assert ((strict == NO_FEATURE) == (loose == NO_FEATURE)).all()


def test_polygons_of_a_class_count_together_and_once() -> None:
    left, right = shapely.box(0, 0, 3, 10), shapely.box(3, 0, 6, 10)
    assert labels([(left, 1), (right, 1)])[0] == 1
    assert labels([(left, 1), (left, 1), (left, 1)])[0] == NO_CLASS
    assert labels([(left, 1), (right, 2)], min_overlap=0.3)[0] == 1  # equal: the first class
    assert labels([(right, 2), (left, 1)], min_overlap=0.3)[0] == 1
    assert labels([(left, 1), (shapely.box(3, 0, 6.5, 10), 2)], min_overlap=0.3)[0] == 2


def test_a_hole_is_outside() -> None:
    ring = shapely.Polygon(shapely.box(0, 0, 30, 30).exterior, [shapely.box(10, 10, 20, 20).exterior])
    found = labels([(ring, 0)])
    assert found[5] == NO_FEATURE and found.count(0) == 8


def test_the_share_is_of_the_cell_within_the_scene() -> None:
    grid = Grid(14, 10, 10, 10, 10, 10)
    found = label_cells(grid, "polygons", np.array([shapely.box(11, 0, 100, 10)], object), np.array([0]), 1, 0.7)
    assert found.tolist() == [NO_FEATURE, 0]


def test_lines_count_by_their_length() -> None:
    along = shapely.LineString([(2, 5), (8, 5)])
    assert labels([(along, 2)], "lines", 0.6)[:2] == [2, NO_FEATURE]
    assert labels([(along, 2)], "lines", 0.61)[0] == NO_CLASS
    across = shapely.LineString([(5, 5), (35, 5)])
    assert labels([(across, 0)], "lines", 0.6)[:4] == [NO_CLASS, 0, 0, NO_CLASS]
    twice = [(shapely.LineString([(2, 5), (5, 5)]), 1), (shapely.LineString([(2, 5), (5, 5)]), 1)]
    assert labels(twice, "lines", 0.5)[0] == NO_CLASS


def test_points_count_wherever_their_disk_reaches() -> None:
    assert labels([(shapely.Point(5, 5), 1)], "points", 1.0)[0] == 1
    assert labels([(shapely.Point(9.5, 5), 1)], "points")[:3] == [1, 1, NO_FEATURE]
    assert labels([(shapely.Point(9, 5), 1)], "points")[:2] == [1, NO_FEATURE]
    many = [(shapely.Point(3, 3), 2), (shapely.Point(3, 8), 1), (shapely.Point(8, 3), 1)]
    assert labels(many, "points")[0] == 1
    assert labels([(shapely.Point(3, 3), 2), (shapely.Point(8, 3), 1)], "points")[0] == 1


def test_nothing_at_all() -> None:
    assert labels([]) == [NO_FEATURE] * 12


@pytest.mark.parametrize("corners", [50, 2000])
def test_2000_tiles_and_100_polygons_take_a_second(corners: int) -> None:
    grid = Grid(50 * 224, 40 * 224, 224, 224, 224, 224)
    random = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    shapes = []
    for x, y in random.uniform(0, 9000, (100, 2)):
        radius = 400 + 30 * np.sin(9 * turns) + random.uniform(-0.5, 0.5, corners)
        shapes.append(shapely.Polygon(np.c_[x + radius * np.cos(turns), y + radius * np.sin(turns)]).buffer(0))
    begin = time.perf_counter()
    found = label_cells(grid, "polygons", np.array(shapes, object), np.arange(100) % 5, 5, 0.5)
    seconds = time.perf_counter() - begin
    assert len(found) == 2000 and set(found.tolist()) >= {0, 1, 2, 3, 4, NO_CLASS, NO_FEATURE}
    assert seconds < 2
