"""Runs that read a STAC item and write one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, OutputExistsError
from tests import api
from tests.conftest import MakeRaster
from tests.output.test_stac_item import checked
from tests.scene.test_stac_scene import asset, write_item

LABELS = ["forest", "river", "bare land"]
Classify = Callable[..., Any]


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: Any, output: str = "out.gpkg", **options: Any) -> Any:
        known = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "captions": False}
        return api.classify(scene, LABELS, tmp_path / output, **{**known, **options})

    return run


@pytest.fixture
def item(make_raster: MakeRaster, tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(1, 256, (3, 80, 100), dtype=np.uint8)
    make_raster(pixels, name="visual.tif", photometric="RGB")
    for name, band in zip("abc", pixels, strict=True):
        make_raster(band[None], name=f"{name}.tif")
    bands = {name: asset(f"{name}.tif", colour) for name, colour in zip("abc", ("red", "green", "blue"), strict=True)}
    return write_item(tmp_path / "item.json", {"visual": asset("visual.tif"), **bands})


def rows(path: Path) -> list[tuple[Any, ...]]:
    layer = geopandas.read_file(path, layer="tiles")
    return list(zip(layer["row"], layer["col"], layer["label"], layer["confidence"].round(6), strict=True))


def test_an_item_gives_the_rows_of_its_files(classify: Classify, item: str, tmp_path: Path) -> None:
    classify(str(tmp_path / "visual.tif"), "file.gpkg")
    classify(item, "visual.gpkg", asset=("visual",))
    classify(item, "bands.gpkg", asset=("red", "green", "blue"), stac=True)
    assert rows(tmp_path / "file.gpkg") == rows(tmp_path / "visual.gpkg") == rows(tmp_path / "bands.gpkg")
    written = json.loads((tmp_path / "bands.stac.json").read_text())
    assert [link["href"] for link in written["links"]] == ["./item.json"]
    assert written["properties"]["datetime"] == "2024-06-01T10:00:00Z"


def test_the_item_written_fits_layer_and_raster(classify: Classify, item: str, tmp_path: Path) -> None:
    summary = classify(str(tmp_path / "visual.tif"), raster=str(tmp_path / "labels.tif"), stac=True)
    assert summary.stac == str(tmp_path / "out.stac.json")
    assert any("STAC item" in line for line in summary.lines(str))
    found = checked(json.loads((tmp_path / "out.stac.json").read_text()))
    layer = geopandas.read_file(tmp_path / "out.gpkg", layer="tiles")
    covered = shapely.geometry.shape(found.geometry)
    assert covered.symmetric_difference(layer.to_crs(4326).union_all()).area < 1e-3 * covered.area
    np.testing.assert_allclose(found.bbox, covered.bounds)
    labels = found.assets["labels"].to_dict()
    with rasterio.open(tmp_path / labels["href"]) as raster:
        assert labels["proj:shape"] == list(raster.shape) and labels["proj:transform"] == list(raster.transform)[:6]
        assert labels["proj:code"] == "EPSG:32618" and labels["nodata"] == raster.nodata
        colours = raster.colormap(1)
        for one in labels["bands"][0]["classification:classes"]:
            assert bytes(colours[one["value"]][:3]).hex().upper() == one["color_hint"]
    titles = {one["title"] for one in found.assets["layer"].to_dict()["classification:classes"]}
    assert set(layer["label"].dropna()) <= titles == set(LABELS)


def test_the_item_is_an_output_like_others(classify: Classify, item: str, tmp_path: Path) -> None:
    """Not overwritten unasked, missed by --resume, written by a merge; not next to a stream."""
    scene = str(tmp_path / "visual.tif")
    (tmp_path / "out.stac.json").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"out\.stac\.json exists"):
        classify(scene, stac=True)
    assert not (tmp_path / "out.gpkg").exists() and (tmp_path / "out.stac.json").read_text() == "mine"
    classify(scene, stac=True, overwrite=True)
    assert classify(scene, stac=True, resume=True).finished_before
    (tmp_path / "out.stac.json").unlink()
    with pytest.raises(OutputExistsError, match=r"out\.stac\.json was not found"):
        classify(scene, stac=True, resume=True)
    with pytest.raises(InputError, match="also a file of the scene"):
        classify(item, "a.gpkg", asset=("a",), raster=str(tmp_path / "a.tif"))


def test_shards_and_merge(classify: Classify, item: str, tmp_path: Path) -> None:
    for number in (1, 2):
        classify(item, "out.gpkg", asset=("visual",), stac=True, shard=f"{number}/2")
    assert not (tmp_path / "out.stac.json").exists()
    journals = sorted(map(str, tmp_path.glob("*journal*")))
    summary = api.merge(tmp_path / "whole.gpkg", journals)
    assert summary.stac == str(tmp_path / "whole.stac.json")
    assert checked(json.loads((tmp_path / "whole.stac.json").read_text())).id == "whole"
