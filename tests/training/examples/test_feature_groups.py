"""Which drawn features belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.feature_counts import FeatureCounts
from bimors_cli.scene.grid import Grid
from bimors_cli.training.examples.feature_groups import connected_features, group_cells
from bimors_cli.training.examples.label_tiles import NO_FEATURE, label_cells
from bimors_cli.training.examples.vector_features import Features, Kind

GRID = Grid(40, 30, 10, 10, 10, 10)  # 4 x 3 cells


def features(*scenes: list[tuple[Any, str, int]], kind: Kind = "polygons") -> Features:
    """Features of scenes, each as geometry, class and FID."""
    return Features(
        "train.gpkg",
        "train",
        kind,
        tuple(np.array([geometry for geometry, _, _ in rows], object) for rows in scenes),
        tuple(np.array([name for _, name, _ in rows], object) for rows in scenes),
        tuple(np.array([fid for _, _, fid in rows], np.int64) for rows in scenes),
        FeatureCounts("train.gpkg", "scene.tif", sum(map(len, scenes)), 0, 0),
    )


def groups(*scenes: list[tuple[Any, str, int]], kind: Kind = "polygons") -> list[list[int]]:
    return [found.tolist() for found in connected_features(features(*scenes, kind=kind))]


def test_features_that_touch_are_one_group() -> None:
    a, b, c = shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(25, 0, 30, 10)
    assert groups([(a, "x", 7), (b, "x", 4), (c, "x", 9)]) == [[4, 4, 9]]
    assert groups([(a, "x", 7), (b, "y", 4), (c, "x", 9)]) == [[7, 4, 9]]
    parts = shapely.MultiPolygon([a, c])
    assert groups([(parts, "x", 2), (shapely.box(24, 0, 26, 3), "x", 1), (b, "y", 0)]) == [[1, 1, 0]]


def test_features_that_touch_in_another_scene_are_one_group() -> None:
    a, b, c = shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(20, 0, 30, 10)
    assert groups([(a, "x", 3), (b, "x", 2), (c, "x", 1)], [(c, "x", 1), (a, "x", 3)], []) == [[1, 1, 1], [1, 1], []]


def test_points_and_lines_are_buffered() -> None:
    near, far = shapely.Point(5, 5), shapely.Point(6.5, 5)
    assert groups([(near, "x", 0), (far, "x", 1), (shapely.Point(9, 5), "x", 2)], kind="points") == [[0, 0, 2]]
    one, other = shapely.LineString([(0, 5), (10, 5)]), shapely.LineString([(5, 0), (5, 4.5)])
    assert groups([(one, "x", 0), (other, "x", 1)], kind="lines") == [[0, 0]]


def cells(shapes: list[tuple[Any, int]], grid: Grid = GRID) -> tuple[list[int], list[int]]:
    """Class and group of each cell; the FID of a feature is its position."""
    rows = [(shape, str(label), i) for i, (shape, label) in enumerate(shapes)]
    (group,) = connected_features(features(rows))
    geometries = np.array([shape for shape, _ in shapes], object)
    classes = np.array([label for _, label in shapes], np.intp)
    labels = label_cells(grid, "polygons", geometries, classes, 3, 0.1)
    return labels.tolist(), group_cells(grid, "polygons", geometries, classes, group, labels).tolist()


def test_a_cell_belongs_to_what_covers_most_of_it() -> None:
    shapes = [(shapely.box(0, 0, 4, 10), 0), (shapely.box(5, 0, 16, 10), 0), (shapely.box(30, 20, 40, 30), 1)]
    labels, found = cells([*shapes, (shapely.box(6, 0, 7, 5), 1)])
    assert labels[:2] == [0, 0] and labels[11] == 1
    assert found[:2] == [1, 1] and found[11] == 2  # not feature 3, of another class in the first cell
    assert found[5] == NO_FEATURE


def test_no_labelled_cell() -> None:
    _, found = cells([(shapely.box(-20, -20, -10, -10), 0)])
    assert found == [NO_FEATURE] * 12


BOXES = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(1, 15), st.integers(1, 15), st.integers(0, 2)),
    min_size=1,
    max_size=8,
)


@given(BOXES)
def test_groups_are_unions_that_do_not_touch(boxes: list[tuple[int, int, int, int, int]]) -> None:
    shapes = [(shapely.box(x, y, x + w, y + h), label) for x, y, w, h, label in boxes]
    (group,) = groups([(shape, str(label), i) for i, (shape, label) in enumerate(shapes)])
    for i, (one, label) in enumerate(shapes):
        for j, (other, its) in enumerate(shapes):
            if label == its and one.intersects(other):
                assert group[i] == group[j]
            if label != its:
                assert group[i] != group[j]
    labels, found = cells(shapes, Grid(40, 30, 10, 10, 5, 7))
    assert all((label >= 0) == (g != NO_FEATURE) for label, g in zip(labels, found, strict=True))
    assert all(g == NO_FEATURE or shapes[g][1] == label for label, g in zip(labels, found, strict=True))
