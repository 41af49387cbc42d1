"""The label raster: numbers, names, colours, place; by rasterio, by GDAL's own program, by QGIS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import ColorInterp

from bimors_cli.errors import BimorsError, InputError, OutputError, OutputExistsError
from bimors_cli.labels import Label, Labels
from bimors_cli.output import label_raster
from bimors_cli.output.label_raster import RasterSpec, check_raster, raster_files, write_raster
from bimors_cli.output.palette import colours
from bimors_cli.scene.code_names import read_code_names
from tests.hardening.forks import Forks
from tests.output.conftest import HARD_NAMES

TRANSFORM = Affine(640, 0, 500_000, 0, -640, 4_600_000)
ODD = Affine.translation(500_000, 4_600_000) @ Affine.rotation(30) @ Affine.scale(10, 10)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.tif"


@pytest.fixture
def raster(labels: Labels) -> RasterSpec:
    rows, cols = np.arange(3), np.arange(4)
    return RasterSpec("EPSG:32618", TRANSFORM, rows, cols, labels, {"version": "0.1.0", "run": '{"é": "\x07"}'})


def table(rows: int = 3, cols: int = 4, labels: int = 6) -> tuple[Any, Any]:
    """Return labels 0 (none) to ``labels`` in turn, and confidences."""
    found = (np.arange(rows * cols, dtype=np.uint16) % (labels + 1)).reshape(rows, cols)
    return found, np.where(found, 10_000 - found, 0).astype(np.uint16)


def test_both_bands_come_back(target: Path, raster: RasterSpec) -> None:
    found, confidence = table()
    write_raster(target, found, confidence, raster, overwrite=False)
    assert sorted(os.listdir(target.parent)) == ["out.qml", "out.tif", "out.tif.aux.xml"]
    with rasterio.open(target) as dataset:
        np.testing.assert_array_equal(dataset.read(1), found)
        np.testing.assert_array_equal(dataset.read(2), confidence)
        assert (dataset.descriptions, dataset.nodata) == (("label", "confidence"), 0)
        assert dataset.colorinterp == (ColorInterp.palette, ColorInterp.undefined)
        assert dataset.scales[1] == pytest.approx(1e-4) and dataset.offsets == (0, 0)
        assert (dataset.crs.to_epsg(), dataset.transform) == (32618, TRANSFORM)
        tags = dataset.tags()
        assert tags["bimors_version"] == "0.1.0" and tags["bimors_run"] == '{"é": "\ufffd"}'
        table_of_colours = dataset.colormap(1)
    for number, colour in enumerate(colours(raster.labels), 1):
        assert table_of_colours[number] == (*bytes.fromhex(colour[1:]), 255)


@pytest.mark.parametrize("transform", [ODD, ODD @ Affine.scale(1, -1), Affine(10, 0, 5e5, 0, 10, 4.6e6)])
def test_rotated_and_south_up_scenes_keep_their_place(target: Path, raster: RasterSpec, transform: Affine) -> None:
    write_raster(target, *table(), replace(raster, transform=transform), overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.transform.almost_equals(transform, 1e-9)


def test_pixels_show_the_tiles_that_they_are_told(target: Path, raster: RasterSpec) -> None:
    rows, cols = np.repeat(np.arange(3), 300), np.repeat(np.arange(4), 150)
    found, confidence = table()
    write_raster(target, found, confidence, replace(raster, tile_rows=rows, tile_cols=cols), overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.shape == (900, 600) and dataset.profile["tiled"] and dataset.compression.name == "deflate"
        np.testing.assert_array_equal(dataset.read(1), np.kron(found, np.ones((300, 150), np.uint16)))
        np.testing.assert_array_equal(dataset.read(2), confidence[np.ix_(rows, cols)])


def test_many_labels(target: Path, raster: RasterSpec) -> None:
    many = Labels(tuple(Label(f"class {number}") for number in range(1000)))
    found, confidence = table(30, 40, 1000)
    spec = replace(raster, labels=many, tile_rows=np.arange(30), tile_cols=np.arange(40))
    write_raster(target, found, confidence, spec, overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.read(1).max() == 1000
        assert dataset.colormap(1)[1000][:3] == tuple(bytes.fromhex(colours(many)[999][1:]))


def mosaic(raster: RasterSpec, size: int = 1100, seed: int = 0) -> tuple[Any, Any, RasterSpec]:
    """Return labels 1 to 4 of one pixel a tile in patches, without one in a corner, and their specification."""
    random = np.random.default_rng(seed)
    found = random.integers(1, 5, (size // 10, size // 10), dtype=np.uint16).repeat(10, 0).repeat(10, 1)
    found[random.random(found.shape) < 0.2] = 2
    found[:300, :300] = 0
    confidence = np.where(found, random.choice([2500, 5000, 9999], found.shape), 0).astype(np.uint16)
    side = np.arange(size)
    return found, confidence, replace(raster, tile_rows=side, tile_cols=side)


def test_layout_of_a_cog(target: Path, raster: RasterSpec) -> None:
    found, confidence, spec = mosaic(raster)
    write_raster(target, found, confidence, spec, overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)] * 2 and dataset.overviews(1) == dataset.overviews(2) == [2, 4]
        np.testing.assert_array_equal(dataset.read(), [found, confidence])
        levels = [None, 0, 1]
        headers = [int(dataset.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=level)) for level in levels]
        blocks = [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level)) for level in levels]
    # Headers from the full size to the smallest overview, then pixels from the smallest overview to the full size.
    assert headers == sorted(headers) and headers[-1] < blocks[-1] and blocks == sorted(blocks, reverse=True)


def test_overviews_hold_labels_of_most_pixels(target: Path, raster: RasterSpec) -> None:
    found, confidence, spec = mosaic(raster)
    write_raster(target, found, confidence, spec, overwrite=False)
    with rasterio.open(target, overview_level=0) as dataset:
        label, sure = dataset.read()
    assert label.shape == (550, 550) and not label[:150, :150].any() and label[150:, 150:].all()
    quads = found.reshape(550, 2, 550, 2).swapaxes(1, 2).reshape(550, 550, 4)
    counts = np.stack([(quads == number).sum(axis=2) for number in range(1, 5)])
    drawn = label > 0
    chosen = np.take_along_axis(counts, np.maximum(label[None].astype(int) - 1, 0), axis=0)[0]
    np.testing.assert_array_equal(chosen[drawn], counts.max(axis=0)[drawn])
    assert set(np.unique(sure)) == {0, 2500, 5000, 9999}
    with rasterio.open(target, overview_level=1) as dataset:
        assert set(np.unique(dataset.read(1))) == {0, 1, 2, 3, 4}


def test_a_row_of_tiles_has_overviews(target: Path, raster: RasterSpec) -> None:
    found, confidence = table(1, 1500)
    spec = replace(raster, tile_rows=np.arange(1), tile_cols=np.arange(1500))
    write_raster(target, found, confidence, spec, overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.overviews(1) == [2, 4]
        np.testing.assert_array_equal(dataset.read(1), found)


def test_the_attribute_table_counts_pixels(target: Path, raster: RasterSpec) -> None:
    found, confidence, spec = mosaic(raster)
    write_raster(target, found, confidence, spec, overwrite=False)
    with rasterio.open(target) as dataset:
        path = str(target.with_suffix(".vrt"))
        rasterio.shutil.copy(dataset, path, driver="VRT")  # as GDAL understands it
    table = ET.parse(path).getroot().find("VRTRasterBand/GDALRasterAttributeTable")
    assert table is not None and table.get("tableType") == "thematic"
    assert [field.findtext("Name") for field in table.findall("FieldDefn")] == [
        "Value", "Class_Name", "Red", "Green", "Blue", "Count",
    ]  # fmt: skip
    rows = [[cell.text for cell in row.findall("F")] for row in table.findall("Row")]
    expected = zip(HARD_NAMES, colours(spec.labels), strict=True)
    assert rows == [
        [str(number), name, *map(str, bytes.fromhex(colour[1:])), str((found == number).sum())]
        for number, (name, colour) in enumerate(expected, 1)
    ]
    assert rows[0][-1] != "0" == rows[-1][-1]


def test_our_readers_read_names_and_table(target: Path, raster: RasterSpec) -> None:
    write_raster(target, *table(), raster, overwrite=False)
    names = dict(enumerate(HARD_NAMES, 1))
    with rasterio.open(target) as dataset:
        assert read_code_names(dataset) == (names, "category names")
    side = Path(f"{target}.aux.xml")
    document = ET.parse(side)
    for band in document.getroot().findall("PAMRasterBand"):
        for categories in band.findall("CategoryNames"):
            band.remove(categories)
    document.write(side)
    with rasterio.open(target) as dataset:
        assert read_code_names(dataset) == (names, "raster attribute table")


def test_pyramids_of_an_earlier_raster_are_removed(target: Path, raster: RasterSpec) -> None:
    write_raster(target, *table(), raster, overwrite=False)
    for suffix in (".ovr", ".msk"):
        stale = Path(f"{target}{suffix}")
        stale.write_bytes(b"old")
        with pytest.raises(OutputExistsError, match=r"out\.tif"):
            write_raster(target, *table(), raster, overwrite=False)
        write_raster(target, *table(), raster, overwrite=True)
        assert not stale.exists()
        for file in raster_files(target):
            file.unlink()
        stale.write_bytes(b"old")
        with pytest.raises(OutputExistsError, match=suffix):
            check_raster(target, raster.labels, overwrite=False)
        stale.unlink()
        write_raster(target, *table(), raster, overwrite=False)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no programs of GDAL")
def test_gdals_own_program_shows_the_names(target: Path, raster: RasterSpec) -> None:
    write_raster(target, *table(), raster, overwrite=False)
    done = subprocess.run(["gdalinfo", "-json", str(target)], capture_output=True, check=True, encoding="utf-8")
    assert done.stderr == ""
    label, confidence = json.loads(done.stdout)["bands"]
    assert (label["colorInterpretation"], label["description"], label["noDataValue"]) == ("Palette", "label", 0)
    text = subprocess.run(["gdalinfo", str(target)], capture_output=True, check=True, encoding="utf-8").stdout
    for number, name in enumerate(("no label", *HARD_NAMES)):
        assert f"{number}: {name}\n" in text
    table_of_gdal = json.loads(done.stdout)["rat"]
    assert [row["f"][1] for row in table_of_gdal["row"]] == list(HARD_NAMES)
    assert sum(row["f"][5] for row in table_of_gdal["row"]) == (table()[0] > 0).sum()
    assert confidence["scale"] == pytest.approx(1e-4) and confidence["description"] == "confidence"


def test_what_gdal_puts_beside_the_raster_stays(target: Path, raster: RasterSpec) -> None:
    # A CRS that GeoTIFF cannot say is written there.
    odd = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229"
    write_raster(target, *table(), replace(raster, crs_wkt=odd), overwrite=False)
    with rasterio.open(target) as dataset:
        assert dataset.crs.to_dict() == rasterio.crs.CRS.from_string(odd).to_dict()
    names = ET.parse(f"{target}.aux.xml").getroot().findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    assert [name.text for name in names] == ["no label", *HARD_NAMES]


def test_all_files_are_checked_before(target: Path, labels: Labels) -> None:
    check_raster(target, labels, overwrite=False)
    for file in raster_files(target):
        file.write_text("precious")
        with pytest.raises(OutputExistsError, match=file.name):
            check_raster(target, labels, overwrite=False)
        check_raster(target, labels, overwrite=True)
        file.unlink()
    for path in (target.with_suffix(".png"), target.with_suffix("")):
        with pytest.raises(InputError, match="GeoTIFF"):
            check_raster(path, labels, overwrite=False)
    with pytest.raises(OutputError, match=r"folder .* not found"):
        check_raster(target.parent / "none" / "out.tif", labels, overwrite=False)


def test_more_labels_than_numbers(target: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_raster, "MAX_LABELS", 5)
    with pytest.raises(InputError, match="at most 5 labels, 6 were given"):
        check_raster(target, labels, overwrite=False)


def test_after_an_error_all_is_as_it_was(target: Path, raster: RasterSpec) -> None:
    write_raster(target, *table(), raster, overwrite=False)
    before = {path.name: path.read_bytes() for path in target.parent.iterdir()}
    with pytest.raises(OutputExistsError):
        write_raster(target, *table(), raster, overwrite=False)
    with pytest.raises((BimorsError, rasterio.errors.CRSError)):
        write_raster(target, *table(), replace(raster, crs_wkt="no CRS"), overwrite=True)
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == before
    write_raster(target, *table(), raster, overwrite=True)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(target: Path, forks: Forks) -> None:
    done = forks.call(write_much, target, file_limit=1_000_000)
    assert done.stdout.startswith("out.tif: ") and done.stdout.count("\n") == 1, done.stderr
    assert os.listdir(target.parent) == []


def write_much(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (1000, 1000), dtype=np.uint16)
    side = np.arange(1000)
    spec = RasterSpec("EPSG:32618", Affine(1, 0, 5e5, 0, -1, 4e6), side, side, Labels.of(["a", "b"]))
    try:
        write_raster(path, noise, noise, spec, overwrite=False)
    except OutputError as error:
        print(error)


SCRIPT = """
import json, os, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "layer")
renderer = layer.renderer()
print(json.dumps({
    "valid": layer.isValid(),
    "type": renderer.type(),
    "classes": [[item.value, item.label, item.color.name()] for item in renderer.classes()],
}))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
"""


@pytest.mark.qgis
def test_qgis_shows_names_and_colours(target: Path, raster: RasterSpec) -> None:
    python = shutil.which("python3", path="/usr/bin") or "python3"
    if subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False).returncode:
        pytest.skip("no PyQGIS")
    write_raster(target, *table(), raster, overwrite=False)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(target.parent)}
    done = subprocess.run(
        [python, "-c", SCRIPT, str(target)], capture_output=True, check=True, encoding="utf-8", env=environment
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["valid"], found["type"]) == (True, "paletted")
    expected = zip(HARD_NAMES, colours(raster.labels), strict=True)
    assert found["classes"] == [[number, name, colour] for number, (name, colour) in enumerate(expected, 1)]
