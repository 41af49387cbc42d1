"""How much of the tiles of a layer lies under features."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.results.classified_layer import read_classified_layer
from bimors_cli.results.covered_tiles import covered_shares, read_features_of
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]

X, Y, SIDE = 500_000, 4_600_000, 100  # the upper left corner, and the side of a tile in metres


def shares(layer: Path, shapes: list[shapely.Geometry], path: Path, crs: int = 32618) -> list[list[float]]:
    moved = [shapely.transform(one, lambda xy: np.c_[X + SIDE * xy[:, 0], Y - SIDE * xy[:, 1]]) for one in shapes]
    geopandas.GeoDataFrame(geometry=moved, crs=32618).to_crs(crs).to_file(path)
    (scene,) = read_classified_layer(layer).scenes
    found = covered_shares(read_features_of(str(path)), scene, np.arange(12))
    return found.reshape(3, 4).round(3).tolist()


@pytest.fixture
def layer(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """3 rows of 4 tiles."""
    return make_layer(str(make_raster(np.ones((3, 30, 40), np.uint8))), tile_size="10")


@pytest.mark.parametrize("crs", [32618, 4326])
def test_polygons(layer: Path, tmp_path: Path, crs: int) -> None:
    whole, parts = shapely.box(1, 1, 2, 2), [shapely.box(2.5, 0, 4, 0.5), shapely.box(3, 0.5, 4, 1)]
    found = shares(layer, [whole, *parts], tmp_path / "f.gpkg", crs)
    assert np.array(found) == pytest.approx(np.array([[0, 0, 0.25, 1], [0, 1, 0, 0], [0, 0, 0, 0]]), abs=0.002)


def test_points_and_lines(layer: Path, tmp_path: Path) -> None:
    points = [shapely.Point(0.5, 0.5), shapely.Point(2, 1)]  # in a tile; on a corner of four
    line = shapely.LineString([(0.2, 2.5), (1.9, 2.5)])
    found = shares(layer, [*points, line], tmp_path / "f.geojson")
    assert found == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]


def test_features_elsewhere_and_files_that_cannot_be_used(layer: Path, tmp_path: Path) -> None:
    assert not np.any(shares(layer, [shapely.box(90, 90, 91, 91)], tmp_path / "f.gpkg", 4326))
    with pytest.raises(VectorError, match="not found"):
        read_features_of(str(tmp_path / "none.gpkg"))
    for name in ("a", "b"):
        geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4326).to_file(tmp_path / "two.gpkg", layer=name)
    with pytest.raises(VectorError, match="has several layers"):
        read_features_of(str(tmp_path / "two.gpkg"))
    geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)]).to_file(tmp_path / "bare.gpkg")
    with pytest.raises(VectorError, match="has no CRS"):
        read_features_of(str(tmp_path / "bare.gpkg"))
