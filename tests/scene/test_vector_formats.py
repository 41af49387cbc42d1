"""Formats of vector files: those that are read, and what others are."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, box

from bimors_cli.errors import BimorsError, VectorError
from bimors_cli.scene.vector import check_vector_file, find_layer, has_vector_suffix
from bimors_cli.scene.vector_read import layer_info, read_rows

SQUARES = [box(500_000, 5_200_000, 500_100, 5_200_100), box(500_100, 5_200_000, 500_200, 5_200_100)]


def write(path: Path, driver: str | None = None, crs: int = 32631, **columns: Any) -> Path:
    frame = geopandas.GeoDataFrame({"class": ["pond", "meadow"], **columns}, geometry=SQUARES, crs=32631).to_crs(crs)
    frame.to_file(path, driver=driver)
    return path


def classes(spec: str | Path) -> list[str]:
    path, layer = find_layer(str(spec))
    assert layer_info(path, layer).count == 2
    return sorted(read_rows(path, layer, "class").values or ())


def refusal(spec: str | Path) -> str:
    with pytest.raises(VectorError) as caught:
        find_layer(str(spec))
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.mark.parametrize(
    "name, driver, crs",
    [
        ("a.gpkg", "GPKG", 32631), ("a.fgb", "FlatGeobuf", 32631), ("a.shp", "ESRI Shapefile", 32631),
        ("a.geojson", "GeoJSON", 4326), ("a.json", "GeoJSON", 4326),
        ("a.geojsonl", "GeoJSONSeq", 4326), ("a.ndjson", "GeoJSONSeq", 4326), ("a.kml", "LIBKML", 4326),
        ("a.kmz", "LIBKML", 4326), ("a.gml", "GML", 32631), ("a.tab", "MapInfo File", 32631),
        ("a.mif", "MapInfo File", 32631), ("a.gdb", "OpenFileGDB", 32631),
    ],
)  # fmt: skip
def test_what_is_read(tmp_path: Path, name: str, driver: str, crs: int) -> None:
    path = write(tmp_path / name, driver, crs)
    before = sorted(tmp_path.rglob("*"))
    assert has_vector_suffix(str(path)) and classes(path) == ["meadow", "pond"]
    info = layer_info(*find_layer(str(path)))
    assert f":{crs}" in str(info.crs)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written next to the file


def test_gml_alone_is_read_and_left_alone(tmp_path: Path) -> None:
    """Without its .xsd, GDAL would write a .gfs file."""
    path = write(tmp_path / "a.gml", "GML")
    (tmp_path / "a.xsd").unlink()
    assert classes(path) == ["meadow", "pond"] and [one.name for one in tmp_path.iterdir()] == ["a.gml"]


def test_latitude_first_in_gml(tmp_path: Path) -> None:
    """A URN of EPSG puts latitude first; the features are where they are."""
    path = tmp_path / "a.gml"
    path.write_text(
        '<?xml version="1.0"?><ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" '
        'xmlns:gml="http://www.opengis.net/gml/3.2"><ogr:featureMember><ogr:a gml:id="a.0"><ogr:geometryProperty>'
        '<gml:Point srsName="urn:ogc:def:crs:EPSG::4326" gml:id="p"><gml:pos>47 3</gml:pos></gml:Point>'
        "</ogr:geometryProperty><ogr:class>pond</ogr:class></ogr:a></ogr:featureMember></ogr:FeatureCollection>"
    )
    name, layer = find_layer(str(path))
    assert read_rows(name, layer).geometries[0].equals(Point(3, 47))


def test_topojson_is_in_degrees(tmp_path: Path) -> None:
    polygon = {"type": "Polygon", "properties": {"class": "pond"}, "arcs": [[0]]}
    objects = {"lakes": {"type": "GeometryCollection", "geometries": [polygon]},
               "nothing": {"type": "GeometryCollection", "geometries": []}}  # fmt: skip
    path = tmp_path / "a.topojson"
    arcs = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    path.write_text(json.dumps({"type": "Topology", "objects": objects, "arcs": arcs}))
    name, layer = find_layer(str(path))
    assert layer == "lakes" and layer_info(name, layer).crs == "EPSG:4326"


def test_a_geopackage_of_rasters(tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "a.gpkg"
    profile = {"width": 8, "height": 8, "count": 3, "dtype": "uint8", "crs": 3857}
    with rasterio.open(path, "w", driver="GPKG", transform=Affine(1, 0, 0, 0, -1, 8), **profile) as dataset:
        dataset.write(np.ones((3, 8, 8), np.uint8))
    assert "holds rasters, no features | list its content: gdalinfo" in refusal(path)


def test_shapefiles_that_lost_a_part(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shp")
    (tmp_path / "a.shx").rename(tmp_path / "kept")
    text = refusal(path)
    assert "a.shp has no a.shx next to it" in text
    if shutil.which("ogrinfo"):
        command = text.partition("create it: ")[2]
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert classes(path) == ["meadow", "pond"]
    (tmp_path / "a.shp").write_bytes((tmp_path / "a.shp").read_bytes()[:-40])
    assert "is incomplete: " in refusal(path) and "copy the file again" in refusal(path)


@pytest.mark.parametrize(
    "name, says",
    [
        ("a.qgz", "is a QGIS project"), ("a.qlr", "is a layer definition of QGIS"),
        ("a.lyrx", "is a layer file of ArcGIS"),
        ("a.dxf", "is a CAD drawing"), ("a.parquet", "is a GeoParquet file"), ("a.osm.pbf", "is OpenStreetMap data"),
        ("a.mdb", "is an Access database"), ("a.xlsx", "is a spreadsheet"), ("a.7z", "is an archive"),
        ("a.tif", "is a raster"), ("a.sqlite", "is an SQLite database"), ("a.qml", "is a style"),
        ("b.dbf", "is a part of a shapefile"), ("a.txt", "not in a supported vector format"),
    ],
)  # fmt: skip
def test_what_is_given_by_mistake(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_bytes(b"x,y\n")
    assert says in refusal(tmp_path / name)


def test_parts_name_the_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.shp")
    write(tmp_path / "b.tab", "MapInfo File")
    assert f"is a part of {tmp_path}/a.shp" in refusal(tmp_path / "a.dbf")
    assert f"give {tmp_path}/b.tab" in refusal(tmp_path / "b.dat")
    assert "is a folder | give one of its files: a.shp, b.tab" in refusal(tmp_path)
    (tmp_path / "c.gdb").mkdir()
    assert "is not a file geodatabase" in refusal(tmp_path / "c.gdb")


@pytest.mark.parametrize(
    "name, says",
    [
        ("PG:dbname=x password=hush", "PG:... is a database connection"),
        ("postgresql://me:hush@host/x", "postgresql:... is a database connection"),
        ("https://me:hush@host/a.geojson", "https://... is a URL"),
        ("MSSQL:server=x;PWD=hush", "MSSQL:... is a database connection"),
    ],
)
def test_connections(name: str, says: str) -> None:
    text = refusal(name)
    assert says in text and "hush" not in text


# --- archives ---------------------------------------------------------------------------------------------------------


def zipped(path: Path, *names: str, folder: str = "") -> Path:
    """Write files of the folder of the archive, by the starts of their names, and the files in folders, into it."""
    files = [file for name in names for file in sorted(path.parent.glob(f"{name}*"))]
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            for one in sorted(file.iterdir()) if file.is_dir() else [file]:
                archive.write(one, folder + str(one.relative_to(path.parent)))
    return path


def test_zipped_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ponds.shp")
    write(tmp_path / "fields.shp")
    write(tmp_path / "data.gdb", "OpenFileGDB")
    one = zipped(tmp_path / "one.zip", "ponds.", folder="some folder/")
    two = zipped(tmp_path / "two.zip", "ponds.", "fields.")
    database = zipped(tmp_path / "data.gdb.zip", "data.gdb")
    gdal = (f"/vsizip/{one}", f"/vsizip/{one}/some folder/ponds.shp", f"/vsizip/{{{two}}}/fields.shp")
    for spec in (one, f"{one}:ponds", f"{two}:fields", f"{two}:ponds.shp", database, f"{database}:data", *gdal):
        assert classes(spec) == ["meadow", "pond"], spec
    monkeypatch.chdir(tmp_path)
    assert classes("two.zip:ponds") == classes("/vsizip/two.zip/ponds.shp") == ["meadow", "pond"]
    text = refusal(two)
    assert "two.zip holds several vector files | give one as" in text and "it holds ponds.shp, fields.shp" in text
    assert "holds no vector file 'x'" in refusal(f"{two}:x") and "has no layer 'x'" in refusal(f"{one}:x")
    assert "not found" in refusal("/vsizip/none.zip/a.shp") and "does not contain" in refusal(f"/vsizip/{one}/b.shp")


def test_archives_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and no more")
    assert "cannot be unpacked" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "holds no vector file" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.geojson", "<OGRVRTDataSource></OGRVRTDataSource>")
    assert "is an OGR VRT" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../a.geojson", "{}")
    assert "holds no vector file" in refusal(path)
    path.rename(tmp_path / "a.kmz")
    assert "holds no .kml file" in refusal(tmp_path / "a.kmz")


# --- layers -----------------------------------------------------------------------------------------------------------


def test_layers(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    frame = geopandas.GeoDataFrame({"class": ["a", "b"]}, geometry=SQUARES, crs=32631)
    frame.to_file(path, layer="fields")
    frame.iloc[:0].to_file(path, layer="empty")
    assert find_layer(str(path))[1] == "fields"  # the only one with features
    frame.iloc[:1].to_file(path, layer="lakes")
    text = refusal(path)
    assert "a.gpkg has several layers" in text
    assert "fields (2 features), empty (0 features), lakes (1 feature)" in text
    assert "did you mean 'lakes'? give the layer as" in refusal(f"{path}:lake")
    import pyogrio

    pyogrio.write_dataframe(frame.drop(columns="geometry"), path, layer="table")
    assert "the layer table is a table without geometry" in refusal(f"{path}:table")
    pyogrio.write_dataframe(frame.drop(columns="geometry"), tmp_path / "b.gpkg", layer="table")
    assert "has no layer with geometry: it has tables only (table)" in refusal(tmp_path / "b.gpkg")


# --- anything ---------------------------------------------------------------------------------------------------------


SUFFIXES = [".gpkg", ".geojson", ".shp", ".kml", ".kmz", ".gml", ".gpx", ".tab", ".mif", ".fgb", ".zip", ".topojson"]
HEADS = [
    b"", b"SQLite format 3\0", b"{", b"\0\0\x27\x0a", b"<kml", b"PK\x03\x04", b"fgb\3fgb\1", b"!table",
    b"version 300\n", b"<gpx", b'<a xmlns="http://www.opengis.net/gml"', b'{"type":"FeatureCollection",',
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.sampled_from(SUFFIXES),
    st.sampled_from(HEADS),
    st.binary(max_size=200),
)
def test_files_of_any_content(tmp_path: Path, suffix: str, head: bytes, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(head + content)
    try:
        name, layer = find_layer(str(path))
        read_rows(name, layer)
    except BimorsError as error:
        assert error.message and error.hint and "\n" not in error.message + error.hint
    path.unlink()


@given(st.text(max_size=30))
def test_names_of_any_kind(name: str) -> None:
    try:
        check_vector_file(name)
    except BimorsError as error:
        assert error.hint
