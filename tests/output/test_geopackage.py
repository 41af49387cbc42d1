"""The GeoPackage: what was written is what is read, by pyogrio, by GDAL's own program and by SQLite."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pandas
import pyogrio
import pyproj
import pytest
import rasterio
import rasterio.errors
import shapely

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame
from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.output.geopackage import read_provenance
from tests.geopackages import write_geopackage
from tests.hardening.forks import Forks
from tests.output.conftest import HARD_NAMES, MakeFrame, with_odd_geometries

MARS = (
    'GEOGCRS["Mars, our own",DATUM["Mars",ELLIPSOID["Mars",3396190,169.894447223612,LENGTHUNIT["metre",1]]],'
    'PRIMEM["Reference Meridian",0],CS[ellipsoidal,2],AXIS["lat",north],AXIS["lon",east],'
    'ANGLEUNIT["degree",0.0174532925199433]]'
)
ROTATED_POLE = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.gpkg"


def write(path: Path, chunks: Any, spec: ClassifiedSchema, *, overwrite: bool = False) -> int:
    return write_geopackage(path, chunks, spec, overwrite=overwrite)


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def assert_same(path: Path, frame: geopandas.GeoDataFrame, spec: ClassifiedSchema) -> None:
    """Compare a layer with a frame: columns, dtypes, values, NULLs, corners."""
    read = pyogrio.read_dataframe(path, layer=spec.name)
    assert list(read.columns) == list(frame.columns)
    for name, dtype in spec.columns().items():
        if dtype == np.dtype(object):
            texts = [None if pandas.isna(text) else text for text in read[name]]
            assert texts == frame[name].tolist()
        else:
            assert read[name].dtype == dtype
            np.testing.assert_array_equal(read[name].to_numpy(), frame[name].to_numpy())
    assert shapely.equals_exact(
        shapely.normalize(read.geometry.to_numpy()), shapely.normalize(frame.geometry.to_numpy()), tolerance=0
    ).all()


def test_every_column_and_null_comes_back(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    frame = make_frame(spec, 21)
    assert write(target, [frame], spec) == 21
    assert os.listdir(target.parent) == ["out.gpkg"]
    assert_same(target, frame, spec)
    # NULL in the file itself, not NaN or an empty text.
    nulls = "label IS NULL AND confidence IS NULL AND label_2 IS NULL AND caption IS NULL AND p_forest IS NULL"
    assert query(target, f"SELECT count(*) FROM tiles WHERE {nulls} AND reason = 'nodata'") == [(3,)]


def test_chunks_make_one_layer_in_their_order(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    chunks = [make_frame(spec, 10, 0), make_frame(spec, 0), make_frame(spec, 3, 10), make_frame(spec, 8, 13)]
    assert write(target, iter(chunks), spec) == 21
    assert_same(target, make_frame(spec, 21), spec)
    assert query(target, 'SELECT count(*) FROM "rtree_tiles_geom"') == [(21,)]
    box = pyogrio.read_dataframe(target, layer="tiles", bbox=(1, -63, 2, -62))
    assert box["tile_id"].tolist() == ["scene/0/0"]


def test_no_chunk_at_all_gives_an_empty_layer_with_all_columns(target: Path, spec: ClassifiedSchema) -> None:
    assert write(target, [], spec) == 0
    info = pyogrio.read_info(target, layer="tiles")
    assert info["features"] == 0
    assert list(info["fields"]) == list(spec.columns())
    assert list(info["dtypes"]) == [str(dtype) for dtype in spec.columns().values()]
    assert (info["crs"], info["geometry_type"]) == ("EPSG:32633", "Polygon")


def test_a_hundred_labels_with_probabilities(target: Path, make_frame: MakeFrame) -> None:
    names = Labels.of([f"{'Class' if i % 2 else 'class'} '{i}\", `x`" for i in range(100)])
    spec = ClassifiedSchema("tiles", "EPSG:32633", names, top_k=2, probabilities=True)
    frame = make_frame(spec, 120)
    write(target, [frame], spec)
    assert_same(target, frame, spec)


def test_tiles_in_parts_and_tiles_without_a_place(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    spec = replace(spec, multipart=True)
    frame = with_odd_geometries(make_frame(spec))
    write(target, [frame], spec)
    assert pyogrio.read_info(target, layer="tiles")["geometry_type"] == "MultiPolygon"
    read = pyogrio.read_dataframe(target, layer="tiles").geometry.to_numpy()
    assert read[0] is None
    assert {polygon.geom_type for polygon in read[1:]} == {"MultiPolygon"}
    assert shapely.equals(read[1:], frame.geometry.to_numpy()[1:]).all()


def test_a_layer_name_with_quotes(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    spec = replace(spec, name="tiles \"of\" 'it'; DROP TABLE 🌲")
    frame = make_frame(spec)
    write(target, [frame], spec)
    assert_same(target, frame, spec)
    assert query(target, "SELECT DISTINCT f_table_name FROM layer_styles") == [(spec.name,)]


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:4326",
        "OGC:CRS84",
        "EPSG:2193",  # northing first
        "EPSG:3031",
        "EPSG:25832+5783",
        "ESRI:54009",
        MARS,
        ROTATED_POLE,  # has no WKT 1
        'LOCAL_CS["site",UNIT["metre",1]]',
        "+proj=geos +h=35785831 +sweep=y +R=6378137",
    ],
)
def test_any_crs_comes_back(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, crs: str) -> None:
    spec = replace(spec, crs_wkt=pyproj.CRS(crs).to_wkt())
    frame = make_frame(spec, scale=1.0)
    write(target, [frame], spec)
    assert_same(target, frame, spec)
    found = pyogrio.read_info(target, layer="tiles")["crs"]
    assert pyproj.CRS(found).equals(pyproj.CRS(crs), ignore_axis_order=True)


@pytest.mark.filterwarnings("ignore:Passed SRS uses EPSG")
def test_a_northing_first_code_without_axes_is_no_other_crs(target: Path, spec: ClassifiedSchema) -> None:
    # So GDAL before 3 wrote LAEA Europe; pyproj takes it for another than EPSG:3035.
    old = pyproj.CRS(3035).to_wkt("WKT1_GDAL")
    assert 'AUTHORITY["EPSG","3035"]' in old
    assert "AXIS" not in old
    assert write(target, [], replace(spec, crs_wkt=old)) == 0


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_crs_of_every_real_scene_comes_back(target: Path, spec: ClassifiedSchema, scenes: Path) -> None:
    found = set()
    for path in sorted(scenes.glob("*.tif")):
        try:
            with rasterio.open(path) as scene:
                wkt = scene.crs.to_wkt() if scene.crs else None
        except rasterio.errors.RasterioIOError:
            continue
        if wkt is not None:
            write(target, [], replace(spec, crs_wkt=wkt), overwrite=True)
            found.add(wkt)
    assert len(found) >= 5


def test_a_crs_that_changes_on_the_way_is_found(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pyogrio.raw.write
    monkeypatch.setattr(pyogrio.raw, "write", lambda *a, **k: real(*a, **{**k, "crs": "EPSG:32634"}))
    with pytest.raises(OutputError, match="cannot store the CRS 'WGS 84 / UTM zone 33N'"):
        write(target, [make_frame(spec)], spec)
    assert os.listdir(target.parent) == []


def test_rows_that_get_lost_are_found(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pyogrio.raw.write
    lost = iter([False, False, True])
    monkeypatch.setattr(pyogrio.raw, "write", lambda *a, **k: None if next(lost) else real(*a, **k))
    with pytest.raises(OutputError, match="10 rows in the file, 14 were written"):
        write(target, [make_frame(spec, 10), make_frame(spec, 4, 10)], spec)
    assert os.listdir(target.parent) == []


def test_provenance_of_many_kilobytes(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    config = json.dumps({"labels": [*HARD_NAMES, "a=b:c\n<&>"] * 500}, ensure_ascii=False)
    command = "bimors classify 'a b.tif' --labels x\ty caf\udce9"
    spec = replace(spec, metadata={"config": config, "command": command, "adapter": ""})
    write(target, [make_frame(spec)], spec)
    found = read_provenance(target)
    assert json.loads(found["config"]) == json.loads(config)
    assert found["command"] == command.replace("\udce9", "\ufffd")
    assert os.listdir(target.parent) == ["out.gpkg"]
    assert pyogrio.read_info(target, layer="tiles")["layer_metadata"]["bimors_config"] == config


def test_provenance_of_other_files(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    make_frame(spec).to_file(tmp_path / "other.gpkg")
    assert read_provenance(tmp_path / "other.gpkg") == {}
    with pytest.raises(InputError, match="cannot read its layers"):
        read_provenance(tmp_path / "missing.gpkg")


def test_the_style_is_the_layers_default(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    write(target, [make_frame(spec)], spec)
    ((*place, name, style), (*other_place, other, _)) = query(
        target,
        "SELECT f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML"
        " FROM layer_styles ORDER BY useAsDefault DESC",
    )
    assert place == other_place == ["", "", "tiles", "geom"]
    assert (name, other) == ("labels", "confidence")
    assert query(target, "SELECT count(*) FROM layer_styles WHERE useAsDefault") == [(1,)]
    values = [category.get("value") for category in ET.fromstring(style).iter("category")]
    assert values == [*HARD_NAMES, ""]
    contents = query(target, "SELECT table_name, data_type, srs_id FROM gpkg_contents ORDER BY table_name")
    assert contents == [("layer_styles", "attributes", 0), ("tiles", "features", 32633)]
    assert pyogrio.list_layers(target).tolist() == [["tiles", "Polygon"], ["layer_styles", None]]


def test_the_database_is_sound_and_needs_no_companion(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    write(target, [make_frame(spec)], spec)
    assert query(target, "PRAGMA integrity_check") == [("ok",)]
    assert query(target, "PRAGMA foreign_key_check") == []
    assert query(target, "PRAGMA journal_mode") == [("delete",)]
    assert query(target, "PRAGMA user_version") == [(10300,)]
    with closing(sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)) as database:
        assert database.execute("SELECT count(*) FROM tiles").fetchone() == (14,)


def test_a_journal_mode_from_the_environment_does_not_stay(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    before = pyogrio.get_gdal_config_option("OGR_SQLITE_JOURNAL")
    pyogrio.set_gdal_config_options({"OGR_SQLITE_JOURNAL": "WAL"})
    try:
        write(target, [make_frame(spec)], spec)
    finally:
        pyogrio.set_gdal_config_options({"OGR_SQLITE_JOURNAL": before})
    assert query(target, "PRAGMA journal_mode") == [("delete",)]
    assert os.listdir(target.parent) == ["out.gpkg"]


def test_the_same_rows_give_the_same_tables(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00.000Z"})
    try:
        for name in ("a.gpkg", "b.gpkg"):
            write(tmp_path / name, [make_frame(spec)], spec)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    dumps = []
    for name in ("a.gpkg", "b.gpkg"):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            dumps.append(list(database.iterdump()))
    assert dumps[0] == dumps[1]


def test_an_error_of_the_rows_passes_and_the_old_file_stays(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    write(target, [make_frame(spec, 5)], spec)
    before = target.read_bytes()

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(spec, 10)
        raise ConnectionError("the reader's own")

    with pytest.raises(ConnectionError, match="the reader's own"):
        write(target, chunks(), spec, overwrite=True)
    assert target.read_bytes() == before
    assert os.listdir(target.parent) == ["out.gpkg"]


def test_overwriting_is_asked_for(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    write(target, [make_frame(spec, 5)], spec)
    with pytest.raises(OutputExistsError):
        write(target, [make_frame(spec, 6)], spec)
    write(target, [make_frame(spec, 7)], spec, overwrite=True)
    assert query(target, "SELECT count(*) FROM tiles") == [(7,)]


def test_a_later_chunk_that_does_not_fit_is_refused(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    good = make_frame(spec)
    for bad in (good.set_crs("EPSG:3857", allow_override=True), good.assign(more=1), good.drop(columns="caption")):
        with pytest.raises(OutputError):
            write(target, [good, bad], spec)
    assert os.listdir(target.parent) == []


def write_much(path: Path, fate: str) -> None:
    """Write sixty rows, three megabytes, and ``die`` before the end, or not."""
    spec = ClassifiedSchema("tiles", "EPSG:32633", Labels.of(["a", "b"]))
    rows = [TileRow(f"s/{i}/0", "s.tif", i, 0, label="a", confidence=1.0, caption="c" * 50_000) for i in range(60)]

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield to_frame(rows, shapely.box(np.arange(60), 0, np.arange(60) + 1, 1), spec)
        if fate == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        write_layer(path, chunks(), GPKG, spec, overwrite=True)
    except OutputError as error:
        print(error)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_writer_leaves_the_old_file_whole(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, forks: Forks
) -> None:
    write(target, [make_frame(spec, 5)], spec)
    before = target.read_bytes()
    assert forks.call(write_much, target, "die").code == -signal.SIGKILL
    assert target.read_bytes() == before
    (left,) = (path for path in target.parent.iterdir() if path != target)
    assert left.name.startswith("out.gpkg.tmp-")
    write(target, [make_frame(spec, 7)], spec, overwrite=True)
    assert query(target, "SELECT count(*) FROM tiles") == [(7,)]


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(target: Path, forks: Forks) -> None:
    done = forks.call(write_much, target, "live", file_limit=1_000_000)
    assert done.stdout.startswith("out.gpkg: ")
    assert done.stdout.count("\n") == 1
    assert os.listdir(target.parent) == []


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="no programs of GDAL")
def test_gdals_own_programs_read_it(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    write(target, [make_frame(spec)], spec)
    shown = subprocess.run(["ogrinfo", "-so", str(target), "tiles"], capture_output=True, text=True, check=True)
    assert shown.stderr == ""  # GDAL before 3.7 warns about the newest GeoPackages
    assert "bimors_version=0.1.0" in shown.stdout
    assert "Geometry: Polygon" in shown.stdout
    command = ["ogr2ogr", "-f", "GeoJSONSeq", "/vsistdout/", str(target), "tiles"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    features = [json.loads(line)["properties"] for line in done.stdout.splitlines()]
    assert all(list(feature) == list(spec.columns()) for feature in features)
    assert [feature["label"] for feature in features] == [*HARD_NAMES, None] * 2
    assert features[6]["confidence"] is features[6]["p_forest"] is None
    assert features[13]["row"] == 1
