"""The names of codes that a raster holds, as the programs that GIS users have write them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio

from bimors_cli.scene.code_names import read_code_names
from bimors_cli.scene.raster import open_scene
from tests.conftest import MakeRaster

CODES = np.array([[[0, 1, 2, 11]]], np.uint8)
CATEGORIES = "<CategoryNames><Category>Unclassified</Category><Category>water</Category><Category/></CategoryNames>"


def table(*fields: tuple[str, int, int], rows: str) -> str:
    columns = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for i, (name, kind, usage) in enumerate(fields)
    )
    cells = "".join(
        f'<Row index="{i}">' + "".join(f"<F>{cell}</F>" for cell in row.split(",")) + "</Row>"
        for i, row in enumerate(rows.split(";"))
    )
    return f'<GDALRasterAttributeTable tableType="thematic">{columns}{cells}</GDALRasterAttributeTable>'


RAT = table(("OID", 0, 0), ("VALUE", 0, 5), ("Land_Cover", 2, 2), rows="0,11,Open Water;1,21,Town;2,0,No Data")


def sidecar(raster: str, content: str) -> str:
    text = f'<PAMDataset><PAMRasterBand band="1">{content}</PAMRasterBand></PAMDataset>'
    Path(f"{raster}.aux.xml").write_text(text)
    return raster


def names(path: str) -> tuple[dict[int, str], str]:
    with open_scene(path) as scene:
        return read_code_names(scene.dataset)


def test_band_tags(make_raster: MakeRaster) -> None:
    path = make_raster(CODES)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, class_11="open water", CLASS_2=" town ", class_0="unclassified", classes="3")
        dataset.update_tags(class_11="of the file", class_1="marsh")
    assert names(path) == ({1: "marsh", 2: "town", 11: "open water"}, "band tags")


def test_category_names(make_raster: MakeRaster) -> None:
    assert names(sidecar(make_raster(CODES), CATEGORIES + RAT)) == ({1: "water"}, "category names")


@pytest.mark.parametrize(
    "content",
    [
        RAT,
        table(("Value", 0, 0), ("Count", 0, 1), ("Class_Name", 2, 0), rows="11,5,Open Water;21.0,6,Town"),
        table(("id", 1, 0), ("what", 2, 0), rows="11.0,Open Water;21.0,Town"),
    ],
)
def test_raster_attribute_table(make_raster: MakeRaster, content: str) -> None:
    assert names(sidecar(make_raster(CODES), content)) == ({11: "Open Water", 21: "Town"}, "raster attribute table")


@pytest.mark.parametrize(
    "content",
    [
        "",
        table(("Min", 0, 3), ("Max", 0, 4), ("Class", 2, 2), rows="0,5,low;6,9,high"),
        table(("Value", 0, 5), ("Red", 0, 6), rows="11,5;21,6"),
        table(("Value", 0, 5), ("a", 2, 0), ("b", 2, 0), rows="11,x,y;21,x,y"),
    ],
)
def test_no_names(make_raster: MakeRaster, content: str) -> None:
    path = make_raster(CODES)
    assert names(sidecar(path, content) if content else path) == ({}, "")


@pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="needs gdal-bin")
@pytest.mark.parametrize(("driver", "name"), [("HFA", "out.img"), ("ENVI", "out.dat"), ("VRT", "out.vrt")])
def test_other_formats(make_raster: MakeRaster, tmp_path: Path, driver: str, name: str) -> None:
    path = sidecar(make_raster(CODES), CATEGORIES)
    subprocess.run(["gdal_translate", "-q", "-of", driver, path, tmp_path / name], check=True)
    assert names(str(tmp_path / name)) == ({1: "water"}, "category names")
