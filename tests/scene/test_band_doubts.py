"""Warnings about bands that were chosen, and about fill values that are not declared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from bimors_cli.scene.band_doubts import band_doubt
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.fill_values import Fill, find_fill
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster
from tests.scene.test_nodata_tags import tagged
from tests.scene.test_pixel_warnings import found, noise

UNDEFINED = "undefined"
PLANET = "20230101_101010_1012_3B_AnalyticMS.tif"


@pytest.mark.parametrize(
    "count, name, names, colours, indexes, said",
    [
        (4, PLANET, None, None, (3, 2, 1), "the order of PlanetScope"),
        (4, "m_3008501_ne_16_1_20110815.tif", None, None, (1, 2, 3), None),
        (7, "LC08_stack.tif", None, None, (1, 2, 3), "-b 4,3,2 if the bands are B1 to B7 of Landsat 8/9"),
        (6, "a.tif", [f"{year}_{band}" for year in (2019, 2020) for band in ("blue", "green", "red")], None,
         (3, 2, 1), "several dates"),
        (3, "a.tif", ["nir", "red", "green"], None, (1, 2, 3), "they are nir, red, green"),
        (3, "a.tif", None, [UNDEFINED, UNDEFINED, "red"], (1, 2, 3), "they are unknown, unknown, red"),
        (3, "a.tif", None, ["red", UNDEFINED, "green"], (1, 3, 2), None),
        (3, "a.tif", None, ["blue", "green", "red"], (3, 2, 1), None),
        (3, "a.tif", ["B2", "B3", "B4"], None, (1, 2, 3), "-b 3,2,1"),
        (3, "a.tif", ["B4", "B3", "B2"], None, (1, 2, 3), None),
        (3, "a.tif", ["B02", "B03", "B04"], None, (3, 2, 1), None),
        (2, "a.tif", ["VV", "VH"], None, (1,), "only band 1 of 2 bands is used, as grey"),
        (2, "a.tif", None, ["gray", "alpha"], (1,), None),
        (5, "a.tif", None, None, (1, 2, 3), "neither names nor colours"),
    ],
)  # fmt: skip
def test_bands(
    make_raster: MakeRaster, count: int, name: str, names: list[str] | None, colours: list[str] | None,
    indexes: tuple[int, ...], said: str | None,
) -> None:  # fmt: skip
    path = make_raster(np.ones((count, 4, 4), np.uint16), name=name, colorinterp=colours)
    if names:
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = names
    info = scene_info(path)
    bands = choose_bands(info)
    doubt = band_doubt(info, bands)
    assert bands.indexes == indexes
    assert doubt is None if said is None else doubt is not None and said in "; ".join(doubt)


def test_a_palette_and_other_bands(make_raster: MakeRaster) -> None:
    info = scene_info(make_raster(np.ones((4, 4, 4), np.uint8), colorinterp=["palette"] + [UNDEFINED] * 3))
    assert info.palette is None  # flagged, but there is no colour table
    path = make_raster(np.ones((2, 4, 4), np.uint8), driver="GTiff", photometric="MINISBLACK")
    assert band_doubt(scene_info(path), choose_bands(scene_info(path))) is not None


def test_fill_in_one_band(make_raster: MakeRaster) -> None:
    data = noise(3, np.float32)
    data[1, :16] = -9999
    assert "of band 2 are -9999" in found(make_raster(data))["fill"]
    assert found(make_raster(data, nodata=-9999)) == {}
    assert found(make_raster(data), "-9999") == {}


def test_values_beyond_any_other(make_raster: MakeRaster) -> None:
    data = noise(3, np.float32)
    data[:, :8] = 1e25
    assert "--nodata 9.99999956e+24" in found(make_raster(data))["fill"]
    data[:, :8] = 1e4  # a bright roof
    assert found(make_raster(data)) == {}
    data[:, 0, :4] = -3.4028235e38  # too few to move the percentiles
    assert set(found(make_raster(data))) == {"values"}


def test_a_tag_that_masks_nothing_matters_where_pixels_look_like_fill(make_raster: MakeRaster, tmp_path: Path) -> None:
    data = noise(3)
    path = make_raster(data)
    assert found(tagged(path, tmp_path, "-9999")) == {}
    data[:, 20:40, 20:40] = 0  # inside: without the tag it may be dark water
    path = make_raster(data, name="dark.tif")
    assert found(path) == {}
    (tmp_path / "dark").mkdir()
    assert "-9999 masks nothing, because uint8" in found(tagged(path, tmp_path / "dark", "-9999"))["fill"]


def test_nothing_to_find() -> None:
    valid = np.ones((4, 4), bool)
    assert list(find_fill(np.zeros((3, 4, 4), np.uint8), valid)) == []
    assert list(find_fill(np.zeros((3, 4, 4), np.uint8), ~valid)) == []
    halves = np.repeat([0, 0, 50, 60], 4).reshape(1, 4, 4).astype(np.uint8)
    assert list(find_fill(halves, valid)) == [Fill(0.0, 0.5)]
