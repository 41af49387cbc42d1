"""Copies of layers of several scenes, and of scenes beyond 180 degrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from shapely.affinity import translate

import bimors_cli
from bimors_cli.output.predictions import read_corrections
from tests.conftest import NORTH_UP, MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.results.copies import read, write

__all__ = ["make_layer"]


@pytest.mark.parametrize("fields", [["tile_id"], ["scene", "row", "col"], []])
def test_two_scenes(fields: list[str], make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path) -> None:
    pixels = np.ones((3, 64, 96), np.uint8)
    east = make_raster(pixels, name="east.tif", transform=NORTH_UP @ Affine.translation(500, 0))
    source = make_layer(make_raster(pixels, name="west.tif"), east, tile_size="32")
    frame = read(source)
    frame.loc[frame["tile_id"] == "east/1/2", "label"] = "moor"
    copy = write(tmp_path / "copy.geojson", frame[[*fields, "label", "geometry"]].to_crs(4326))
    found = bimors_cli.restore(copy, source, tmp_path / "restored.gpkg")
    assert found.tiles == 12 and read_corrections(found.path, "tiles") == {"east/1/2": "moor"}


@pytest.mark.parametrize("left", [0, 170, -190])
def test_longitudes_beyond_180(left: int, make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path) -> None:
    """QGIS writes what the layer has; other programs shift it to -180 to 180, or back."""
    width = 360 if left == 0 else 40
    transform = Affine(1, 0, left, 0, -1, 10)
    scene = make_raster(np.ones((3, 20, width), np.uint8), name="globe.tif", crs="EPSG:4326", transform=transform)
    source = make_layer(scene, tile_size="20")
    frame = read(source)
    frame.loc[0, "label"] = "moor"
    centres = frame.geometry.centroid.x
    for number, first in enumerate((-180, 0)):
        turns = 360 * -((centres - first) // 360)
        polygons = [translate(polygon, turn) for polygon, turn in zip(frame.geometry, turns, strict=True)]
        copy = write(tmp_path / f"copy{number}.gpkg", frame.set_geometry(polygons, crs=4326)[["label", "geometry"]])
        found = bimors_cli.restore(copy, source, tmp_path / f"restored{number}.gpkg")
        assert found.tiles == len(frame) and read_corrections(found.path, "tiles") == {"globe/0/0": "moor"}
