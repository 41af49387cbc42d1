"""Fixtures for the tests of the output: a small layer with every kind of row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.labels import Labels, parse_labels
from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame

# Quotes of both kinds, a comma, mark-up, an emoji, a script from right to left, a colour of the user's.
HARD_NAMES = ("forest", 'river "big" & <wide>', "it's, 🌲", "المدينة القديمة", "=1+1", "red roofs")
LABELS_FILE = "\n".join((*HARD_NAMES[:-1], f"{HARD_NAMES[-1]}\t#ff0000")).encode()

MakeFrame = Callable[..., geopandas.GeoDataFrame]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker here, so that a bare checkout knows it too."""
    config.addinivalue_line("markers", "qgis: needs the system's Python with PyQGIS")


@pytest.fixture
def labels() -> Labels:
    return parse_labels(LABELS_FILE, "labels.txt")


@pytest.fixture
def spec(labels: Labels) -> ClassifiedSchema:
    metadata = {"version": "0.1.0", "labels": '["a", "b"]'}
    return ClassifiedSchema("tiles", "EPSG:32633", labels, top_k=3, probabilities=True, metadata=metadata)


@pytest.fixture
def make_frame() -> MakeFrame:
    """A function that makes ``count`` rows of a layer, tile ``first`` onwards, of 64 m in rows of ten.

    Labels come in turn; after the last label there is one row without a label.
    """

    def make(spec: ClassifiedSchema, count: int = 14, first: int = 0, scale: float = 64.0) -> geopandas.GeoDataFrame:
        numbers = np.arange(first, first + count)
        rows = [_row(int(number), spec) for number in numbers]
        x, y = numbers % 10 * scale, -(numbers // 10) * scale
        geometries: Any = np.asarray(shapely.box(x, y - scale, x + scale, y), dtype=object).reshape(count)
        return to_frame(rows, geometries, spec)

    return make


def _row(number: int, spec: ClassifiedSchema) -> TileRow:
    names = spec.labels.names
    row, col = divmod(number, 10)
    place = number % (len(names) + 1)
    tile_id, scene = f"scene/{row}/{col}", "scene.tif"
    if place == len(names):
        return TileRow(tile_id, scene, row, col, reason="nodata")
    probabilities = tuple(0.5 if index == place else 0.25 / len(names) for index in range(len(names)))
    return TileRow(
        tile_id,
        scene,
        row,
        col,
        label=names[place],
        confidence=0.5,
        runners_up=((names[place - 1], 0.25),),
        caption=f"a satellite image of {names[place]}",
        probabilities=probabilities,
    )


def with_odd_geometries(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Take the first tile's polygon away and cut the second one in two, a step apart."""
    polygons: Any = frame.geometry.to_numpy().copy()
    left, bottom, right, top = shapely.bounds(polygons[1])
    halves = [shapely.box(left, bottom, right, (bottom + top) / 2), shapely.box(left, top, right, top + 1)]
    polygons[:2] = [None, shapely.MultiPolygon(halves)]
    return frame.set_geometry(polygons, crs=frame.crs)
