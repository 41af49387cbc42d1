"""Files that would lead GDAL elsewhere, and texts that would lead others: refused, or data."""

from __future__ import annotations

import json
import sqlite3
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import BimorsError, InputError, SceneError, VectorError
from bimors_cli.labels import read_labels
from bimors_cli.scene.aoi import read_aoi, tile_mask
from bimors_cli.scene.gdal import DRIVERS, allowed_drivers
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.vector import find_layer
from bimors_cli.scene.vector_read import layer_info, read_rows
from tests.conftest import MakeRaster
from tests.hardening.conftest import Bimors, Server
from tests.scene.reading import rgb

Rows = Callable[[], geopandas.GeoDataFrame]
PYTHON = (
    "<PixelFunctionType>boom</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
    "<PixelFunctionCode><![CDATA[\ndef boom(in_ar, out_ar, *args, **kw):\n    open({mark!r}, 'w').write('ran')\n]]>"
    "</PixelFunctionCode>"
)


def vrt(source: str, *, size: int = 64, band: str = "", kind: str = "", relative: int = 0) -> str:
    """Write a VRT of three bands over a source."""
    place = "<SRS>EPSG:32618</SRS><GeoTransform>500000, 10, 0, 4600000, 0, -10</GeoTransform>"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"{kind}>{band}<SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i in (1, 2, 3)
    )
    return f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}">{place}{bands}</VRTDataset>'


def refused(path: object) -> str:
    """Return the message and the hint of a refusal."""
    with pytest.raises(SceneError) as caught:
        scene_info(str(path))
    assert "\n" not in caught.value.message
    return f"{caught.value.message} {caught.value.hint}"


# --- VRT --------------------------------------------------------------------------------------------------------------


def test_a_vrt_under_another_name_reads_nothing(make_raster: MakeRaster, server: Server, tmp_path: Path) -> None:
    make_raster(rgb(64, 64))
    for name in ("sly.tif", "sly.png", "sly.vrt.tif", "sly"):
        (tmp_path / name).write_text(vrt(f"/vsicurl/{server.url('good', 'scene.tif')}"))
        assert "supported format" in refused(tmp_path / name)
    assert not server.requests()


def test_python_in_a_vrt_never_runs(
    make_raster: MakeRaster, bimors: Bimors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    mark = tmp_path / "mark"
    source = make_raster(rgb(64, 64))
    kind = ' subClass="VRTDerivedRasterBand"'
    (tmp_path / "evil.vrt").write_text(vrt(source, band=PYTHON.format(mark=str(mark)), kind=kind))
    bimors(tmp_path / "evil.vrt", "--no-captions", code=(1, 2, 3))
    assert not mark.exists()


def test_an_honest_vrt_is_a_scene(make_raster: MakeRaster, bimors: Bimors, rows: Rows, tmp_path: Path) -> None:
    make_raster(rgb(64, 64))
    (tmp_path / "inner.vrt").write_text(vrt("scene.tif", relative=1))
    (tmp_path / "mosaic.VRT").write_text(vrt("inner.vrt", relative=1))
    bimors(tmp_path / "mosaic.VRT", "--no-captions")
    assert len(rows()) == 1 and rows()["label"].notna().all()


def test_what_a_vrt_must_not_name(make_raster: MakeRaster, tmp_path: Path) -> None:
    path, source = tmp_path / "outer.vrt", Path(make_raster(rgb(64, 64)))
    (tmp_path / "hidden.tif").write_text(vrt(str(source)))
    (tmp_path / "service.tif").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    for inner, says in (
        ("hidden.tif", "a VRT with another suffix"),
        ("service.tif", "description of a service"),
        ("/dev/zero", "not a regular file"),
        ("WMS:http://127.0.0.1:9/", "not a file"),
        ("PG:host=127.0.0.1 password=hush", "not a file"),
        ("&lt;GDAL_WMS&gt;&lt;/GDAL_WMS&gt;", "not a file"),
        ("MEM:::DATAPOINTER=1,PIXELS=9,LINES=9", "not a file"),
    ):
        path.write_text(vrt(inner, relative=0 if inner[0] == "/" or ":" in inner else 1))
        message = refused(path)
        assert says in message and "hush" not in message, message
    for content in ("<VRTDataset", "<VRTDataset><!DOCTYPE", vrt("a.tif").replace("</VRT", "<VRT", 1)):
        path.write_text(content)
        assert "well-formed" in refused(path)
    lol = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "lol"}">' for i in range(20))
    path.write_text(f"<!DOCTYPE x [{lol}]><VRTDataset>&a19;</VRTDataset>")
    refused(path)


def test_a_vrt_of_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "self.vrt").write_text(vrt("self.vrt", relative=1))
    assert "VRTs nested" in refused(tmp_path / "self.vrt")


def test_offline_looks_into_a_vrt(server: Server, make_raster: MakeRaster, bimors: Bimors, tmp_path: Path) -> None:
    make_raster(rgb(64, 64))
    address = f"/vsicurl/{server.url('good', 'scene.tif')}?sig=hush"
    (tmp_path / "inner.vrt").write_text(vrt(address))
    (tmp_path / "outer.vrt").write_text(vrt("inner.vrt", relative=1))
    result = bimors(tmp_path / "outer.vrt", "--offline", code=2)
    assert "--offline" in result.stderr and "hush" not in result.stderr and not server.requests()
    bimors(tmp_path / "outer.vrt", "--no-captions")
    assert server.requests()


# --- what GDAL opens by itself ----------------------------------------------------------------------------------------


def test_overviews_elsewhere_in_the_metadata(server: Server, make_raster: MakeRaster) -> None:
    """A plain TIFF can name any dataset as its overviews; GDAL opens it when it is asked how many there are."""
    path = make_raster(rgb(64, 64))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{server.url('good', 'evil.tif')}?sig=hush")
    message = refused(path)
    assert "name another file as overviews" in message and "hush" not in message
    assert not server.requests()


def test_overviews_elsewhere_in_a_side_file(server: Server, make_raster: MakeRaster) -> None:
    path = make_raster(rgb(64, 64))
    evil = server.url("good", "evil.tif")
    Path(path + ".aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS">'
        f'<MDI key="OVERVIEW_FILE">/vsicurl/{evil}</MDI></Metadata></PAMDataset>'
    )
    assert "name another file as overviews" in refused(path) and not server.requests()


@pytest.mark.parametrize("suffix", [".ovr", ".OVR", ".msk"])
@pytest.mark.parametrize("kind", ["vrt", "wms", "pipe"])
def test_companions_that_are_no_tiff(
    server: Server, make_raster: MakeRaster, tmp_path: Path, suffix: str, kind: str
) -> None:
    import os

    path = make_raster(rgb(64, 64))
    evil = server.url("good", "evil.tif")
    if kind == "pipe":
        os.mkfifo(path + suffix)
    else:
        text = (
            vrt(f"/vsicurl/{evil}", size=32) if kind == "vrt" else f"<GDAL_WMS><ServerUrl>{evil}</ServerUrl></GDAL_WMS>"
        )
        Path(path + suffix).write_text(text)
    refused(path)
    assert not server.requests()


def test_overviews_of_overviews_lead_nowhere_else(server: Server, make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(rgb(256, 256))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert Path(path + ".ovr").exists()
    assert scene_info(path).overviews == (2, 4)
    Path(path + ".ovr.ovr").write_text(vrt(f"/vsicurl/{server.url('good', 'evil.tif')}", size=32))
    assert ".ovr.ovr" in refused(path) and not server.requests()


def test_what_gdaladdo_and_gdal_write_beside_a_scene_is_used(make_raster: MakeRaster) -> None:
    path = make_raster(rgb(256, 256))
    with rasterio.Env(TIFF_USE_OVR=True, GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(256 * 256).reshape(256, 256) % 256 < 64)
        dataset.build_overviews([2])
    assert Path(path + ".msk").exists() and Path(path + ".ovr").exists()
    info = scene_info(path)
    assert info.mask == "dataset" and info.overviews == (2,)


# --- drivers and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "WMS:http://127.0.0.1:{port}/", "WCS:http://127.0.0.1:{port}/", "WMTS:http://127.0.0.1:{port}/", "HDF5:x.h5://a",
        "PG:host=127.0.0.1 port={port} password=hush", "MEM:::DATAPOINTER=1,PIXELS=10,LINES=10", "STACTA:/x", "EEDAI:x",
        "vrt://scene.tif?bands=1", "ZARR:/vsicurl/http://127.0.0.1:{port}", "DERIVED_SUBDATASET:AMPLITUDE:scene.tif",
        "<GDAL_WMS><ServerUrl>http://127.0.0.1:{port}/</ServerUrl></GDAL_WMS>", "PLMosaic:api_key=hush", "OGCAPI:x",
        "Rasterlite:x", "SENTINEL2_L1C:x", "NITF_IM:0:x", "ISIS3:x", "http://127.0.0.1:{port}/good/x/scene.vrt",
        "/vsistdin/",
        "/vsicurl?url=http%3A%2F%2F127.0.0.1%3A{port}%2Fa&header.Authorization=hush", "", "\0", "a\nb.tif", "x" * 5000,
    ],
)  # fmt: skip
def test_names_that_no_file_has(
    make_raster: MakeRaster, server: Server, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_raster(rgb(64, 64))
    monkeypatch.chdir(tmp_path)
    message = refused(name.format(port=server.port))
    assert "hush" not in message
    asked = [line for line in server.requests() if "/vsicurl" not in name and name[:4] != "http" and line]
    assert not asked


def test_a_driver_is_let_in_by_name_only(make_raster: MakeRaster, bimors: Bimors, tmp_path: Path) -> None:
    path = make_raster(rgb(64, 64)[:1], name="scene.gif", driver="GIF", crs=None, transform=None)
    assert "--allow-driver" in bimors(path, "--assume-crs", "EPSG:32618", code=2).stderr
    bimors(path, "--assume-crs", "EPSG:32618", "--allow-driver", "gif", "--no-captions")
    info = CliRunner().invoke(app, ["info", path, "--assume-crs", "EPSG:32618", "--allow-driver", "GIF"])
    assert info.exit_code == 0, info.stderr


def test_drivers_that_are_none_or_never() -> None:
    assert allowed_drivers(["gif", "GIF"]) == ("GIF",) and allowed_drivers([]) == ()
    for name in ("nope", "MEM", "memory"):
        with pytest.raises(InputError, match="allow-driver"):
            allowed_drivers([name])
    assert not {"VRT", "WMS", "WCS", "WMTS", "HTTP", "MEM", "PostGISRaster", "ERS", "STACTA", "GTI"} & set(DRIVERS)


# --- vector files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".json", ".kml", ".shp", ".fgb"])
def test_services_under_the_name_of_a_vector_file(server: Server, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"aoi{suffix}"
    for text in (
        f"<OGRWFSDataSource><URL>{server.url('good', 'x')}</URL></OGRWFSDataSource>",
        f"<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>{server.url('good', 'x')}</SrcDataSource>"
        "</OGRVRTLayer>"
        "</OGRVRTDataSource>",
        f"<?xml version='1.0'?><GetCapabilities>{server.url('good', 'x')}</GetCapabilities>",
        "PG:host=127.0.0.1",
        "",
    ):
        path.write_text(text)
        with pytest.raises(VectorError):
            find_layer(str(path))
    assert not server.requests()


@pytest.mark.parametrize(
    "crs",
    [
        '{"type":"link","properties":{"href":"%s","type":"ogcwkt"}}',
        '{"properties":{"type":"esriwkt","href":"%s"},"type":"Link"}',
        '{"type":"url","properties":{"url":"%s"}}',
        '{"type":"\\u006cink","properties":{"href":"%s"}}',
    ],
)
def test_a_crs_by_address_is_not_fetched(server: Server, tmp_path: Path, crs: str) -> None:
    path = tmp_path / "aoi.geojson"
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    feature = {
        "type": "Feature",
        "properties": {"type": "link"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path.write_text(
        f'{{"type":"FeatureCollection","crs":{crs % server.url("good", "x")},"features":[{json.dumps(feature)}]}}'
    )
    with pytest.raises(VectorError):
        find_layer(str(path))
    assert not server.requests()
    named = '{"type":"name","properties":{"name":"EPSG:4326"}}'
    path.write_text(f'{{"type":"FeatureCollection","crs":{named},"features":[{json.dumps(feature)}]}}')
    assert find_layer(str(path))[1] == "aoi"


@pytest.mark.parametrize(
    "spec", ["PG:dbname=x password=hush", "http://127.0.0.1:{port}/a.geojson", "/vsicurl/http://127.0.0.1:{port}/a.geojson",
             "WFS:http://127.0.0.1:{port}/", '{{"type":"FeatureCollection","features":[]}}', "MYSQL:x,password=hush"]
)  # fmt: skip
def test_an_area_is_a_local_file(server: Server, spec: str) -> None:
    with pytest.raises(VectorError, match=r"not found|not a file") as caught:
        find_layer(spec.format(port=server.port))
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"
    assert not server.requests()


def test_gml_and_kmz_download_nothing(tmp_path: Path, server: Server) -> None:
    address = server.url("good", "x")
    gml = tmp_path / "a.gml"
    squares = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]
    geopandas.GeoDataFrame({"class": ["a", "b"]}, geometry=squares, crs=32618).to_file(gml, driver="GML")
    (tmp_path / "a.xsd").unlink()
    text = gml.read_text().replace("http://ogr.maptools.org/ a.xsd", f"http://ogr.maptools.org/ {address}?service=WFS")
    assert address in text
    root = "wfs:FeatureCollection xmlns:wfs='http://www.opengis.net/wfs'"
    text = text.replace("ogr:FeatureCollection", root, 1)
    gml.write_text(text.replace("/ogr:FeatureCollection", "/wfs:FeatureCollection"))
    assert sorted(read_rows(*find_layer(str(gml)), "class").values or ()) == ["a", "b"]
    link = f"<kml><Document><NetworkLink><Link><href>{address}.kml</href></Link></NetworkLink></Document></kml>"
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.writestr("doc.kml", link)
    kmz, layer = find_layer(str(tmp_path / "a.kmz"))
    assert not layer_info(kmz, layer).count and not server.requests()


def test_crs_options_are_no_addresses(server: Server, make_raster: MakeRaster, bimors: Bimors) -> None:
    path = make_raster(rgb(64, 64), crs=None)
    bimors(path, "--assume-crs", server.url("good", "x"), code=2)
    assert not server.requests()


def test_a_million_vertices(tmp_path: Path, make_raster: MakeRaster) -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    radius = 1000 * (1 + 0.3 * np.sin(50 * angle))
    star = shapely.Polygon(np.column_stack([501_000 + radius * np.cos(angle), 4_599_000 + radius * np.sin(angle)]))
    geopandas.GeoSeries([star], crs=32618).to_file(tmp_path / "star.fgb")
    info = scene_info(make_raster(np.zeros((1, 200, 200), np.uint8)))
    began = time.monotonic()
    area = read_aoi(str(tmp_path / "star.fgb"), info)
    chosen = tile_mask(area, tile_polygons(Grid(200, 200, 2, 2, 2, 2), info.transform), "any")
    assert 0 < chosen.sum() < 10_000
    assert time.monotonic() - began < 30  # 2 s on two cores


def test_knots_and_numbers_that_are_none(tmp_path: Path, make_raster: MakeRaster) -> None:
    info = scene_info(make_raster(np.zeros((1, 200, 200), np.uint8)))
    points = np.random.default_rng(0).uniform(0, 2000, (150, 2)) + np.array([500_000, 4_598_000])
    geopandas.GeoSeries([shapely.Polygon(points)], crs=32618).to_file(tmp_path / "knot.gpkg")
    assert read_aoi(str(tmp_path / "knot.gpkg"), info).geometry.is_valid
    for i, bad in enumerate((float("nan"), float("inf"), 1e308)):
        ring = shapely.Polygon([(500_000, 4_600_000), (bad, 4_600_000), (501_000, 4_599_000)])
        path = tmp_path / f"{i}.gpkg"
        geopandas.GeoSeries([ring], crs=32618).to_file(path)
        try:
            read_aoi(str(path), info)
        except BimorsError as error:
            assert "\n" not in error.message


# --- labels -----------------------------------------------------------------------------------------------------------

WORDS = [
    "forest", 'a "quoted" one', "o'neil'); DROP TABLE tiles;--", "<script>alert(1)</script>", "=cmd|' /C calc'!A0",
    "@SUM(1)", "مستنقع", "\u202ereversed\u202c", "🏝️ island", "a,b;c", "%s {0} ${HOME} `id`", "\\n", "]]>", "&amp;",
    "-x",
]  # fmt: skip


def test_labels_are_data(make_raster: MakeRaster, bimors: Bimors, rows: Rows, tmp_path: Path) -> None:
    labels = tmp_path / "words.txt"
    labels.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    path = make_raster(rgb(256, 256))
    bimors(path, "--probabilities", "--no-captions", tile="32", labels=labels)
    layer = rows()
    names = {word.partition("|")[0].strip() for word in WORDS}  # what follows a bar are synonyms
    assert set(layer["label"]) <= names and len(layer) == 64
    with sqlite3.connect(tmp_path / "out.gpkg") as database:
        style = database.execute("SELECT styleQML FROM layer_styles").fetchone()[0]
    from xml.etree import ElementTree

    found = {item.get("value") for item in ElementTree.fromstring(style).iter("category")}
    assert names <= found


@pytest.mark.parametrize("line", ["x" * 10_000_000, "é" * 4_000_000, "a\t" * 3_000_000], ids=["x", "é", "tabs"])
def test_long_lines(tmp_path: Path, make_raster: MakeRaster, bimors: Bimors, line: str) -> None:
    """One line of ten megabytes: refused, quickly and in a few words."""
    labels = tmp_path / "words.txt"
    labels.write_text(f"forest\nriver\n{line}\n", encoding="utf-8")
    began = time.monotonic()
    result = bimors(make_raster(rgb(64, 64)), labels=labels, code=2)
    assert len(result.stderr) < 1000 and time.monotonic() - began < 10


def test_many_lines(tmp_path: Path) -> None:
    labels = tmp_path / "words.txt"
    labels.write_text("".join(f"class {i}\n" for i in range(200_000)))
    began = time.monotonic()
    try:
        read_labels(labels)
    except BimorsError as error:
        assert len(error.message) < 1000
    assert time.monotonic() - began < 30
