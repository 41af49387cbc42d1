"""Which tiles share ground with features: neighbours do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.exclude import example_outlines, overlapping
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.tile_set import TileSet

UTM = pyproj.CRS.from_epsg(32618)
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 4_600_000)
GRID = Grid(100, 100, 20, 20, 20, 20)  # 5 x 5 tiles of 200 m
TILES = tile_polygons(list(GRID), TRANSFORM)


def found(*features: Any) -> list[int]:
    return np.flatnonzero(overlapping(TILES, np.array(features, object))).tolist()


def test_only_tiles_with_common_ground_count() -> None:
    assert found(TILES[12]) == [12]  # and none of its eight neighbours
    assert found(shapely.box(500_190, 4_599_810, 500_210, 4_599_990)) == [0, 1]
    assert found(shapely.Point(500_100, 4_599_900), shapely.Point(500_200, 4_599_900)) == [0]
    assert found(shapely.LineString([(500_000, 4_599_900), (500_500, 4_599_900)])) == [0, 1, 2]
    assert found(shapely.LineString([(500_200, 4_600_000), (500_200, 4_599_000)])) == []  # along an edge
    assert found() == [] and found(shapely.box(0, 0, 1, 1)) == []


@pytest.mark.parametrize("crs", [32618, 32617, 4326, 3857])
def test_examples_of_another_crs_exclude_their_own_tiles(crs: int) -> None:
    recorded = TileSet.of("s.tif", CRS.from_epsg(32618), TRANSFORM, GRID, [6, 18])
    target = pyproj.CRS.from_epsg(crs)
    to_layer = pyproj.Transformer.from_crs(UTM, target, always_xy=True)
    tiles = shapely.transform(TILES, lambda xy: np.column_stack(to_layer.transform(xy[:, 0], xy[:, 1])))
    outlines = example_outlines([recorded.to_json()], Path("out.gpkg"), target)
    assert np.flatnonzero(overlapping(tiles, outlines)).tolist() == [6, 18]


def test_tiles_of_another_size_on_the_same_ground() -> None:
    smaller = Grid(100, 100, 16, 16, 16, 16)
    recorded = TileSet.of("s.tif", CRS.from_epsg(32618), TRANSFORM, smaller, [0, 1])  # 0 to 160 m, 160 to 320 m
    assert found(*example_outlines([recorded.to_json()], Path("out.gpkg"), UTM)) == [0, 1]


def test_a_damaged_record_is_an_error() -> None:
    for damage in ({"name": "s.tif"}, "text", 3):
        with pytest.raises(InputError, match="record of the examples"):
            example_outlines([damage], Path("out.gpkg"), UTM)  # type: ignore[list-item]
