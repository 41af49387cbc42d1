"""The GeoJSON sequence: one feature a line, as RFC 7946 and 8142 want it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest
import shapely
import shapely.geometry

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.formats import GEOJSON, GEOJSONSEQ, GEOJSONSEQ_RS, write_layer
from bimors_cli.output.sequence import build_geojson, write_sequence
from tests.output.conftest import HARD_NAMES, MakeFrame, with_odd_geometries


@pytest.fixture
def wgs84(spec: ClassifiedSchema) -> ClassifiedSchema:
    return replace(spec, crs_wkt="EPSG:4326")


def written(chunks: Any, spec: ClassifiedSchema, *, rs: bool = False) -> str:
    stream = io.StringIO()
    write_sequence(stream, chunks, spec, rs=rs)
    return stream.getvalue()


def test_each_line_is_a_feature_with_the_columns(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    text = written([make_frame(wgs84, 10, 0, 0.1), make_frame(wgs84, 4, 10, 0.1)], wgs84)
    assert text.endswith("\n")
    features = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert len(features) == 14
    assert {feature["type"] for feature in features} == {"Feature"}
    assert all(list(feature["properties"]) == list(wgs84.columns()) for feature in features)
    assert [feature["properties"]["label"] for feature in features[:7]] == [*HARD_NAMES, None]
    assert features[6]["properties"]["confidence"] is None
    assert features[12]["properties"]["row"] == 1
    assert isinstance(features[12]["properties"]["col"], int)


def test_coordinates_have_seven_decimals_and_run_anticlockwise(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    frame = make_frame(wgs84, 5, 0, 1 / 3)
    turned = frame.set_geometry(shapely.reverse(frame.geometry.to_numpy()), crs=frame.crs)
    for chunk in (frame, turned):
        for line in written([chunk], wgs84).splitlines():
            polygon = shapely.geometry.shape(json.loads(line)["geometry"])
            assert isinstance(polygon, shapely.Polygon)
            assert polygon.exterior.is_ccw
            assert polygon.exterior.is_closed
            for number in (number for point in polygon.exterior.coords for number in point):
                assert number == round(number, 7)


def test_tiles_in_parts_and_tiles_without_a_place(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    spec = replace(wgs84, multipart=True)
    frame = with_odd_geometries(make_frame(spec, 7, 0, 0.1))
    features = [json.loads(line) for line in written([frame], spec).splitlines()]
    assert features[0]["geometry"] is None
    parts = shapely.geometry.shape(features[1]["geometry"])
    assert isinstance(parts, shapely.MultiPolygon)
    assert [part.exterior.is_ccw for part in parts.geoms] == [True, True]
    assert features[2]["geometry"]["type"] == "Polygon"


def test_an_empty_sequence_is_empty(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    assert written([], wgs84) == written([make_frame(wgs84, 0)], wgs84) == ""


def test_record_separators_come_on_request(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    frame = make_frame(wgs84, 3, 0, 0.1)
    plain, separated = written([frame], wgs84), written([frame], wgs84, rs=True)
    assert "\x1e" not in plain
    assert separated == "".join(f"\x1e{line}\n" for line in plain.splitlines())


def test_a_stream_of_another_encoding_gets_escapes(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    frame = make_frame(wgs84, 7, 0, 0.1)
    for encoding in ("utf-8", "UTF8", "cp1252", "ascii"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
        write_sequence(stream, [frame], wgs84)
        text = raw.getvalue().decode(encoding)
        assert ("🌲" in text) == (encoding.lower().startswith("utf"))
        assert json.loads(text.splitlines()[2])["properties"]["label"] == "it's, 🌲"


def test_only_wgs84_is_taken(spec: ClassifiedSchema, wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    with pytest.raises(InputError, match="WGS 84") as caught:
        written([make_frame(spec)], spec)
    assert "--dst-crs" in str(caught.value.hint)
    with pytest.raises(OutputError, match="the CRS of the rows"):
        written([make_frame(spec)], wgs84)
    assert written([], replace(spec, crs_wkt="OGC:CRS84")) == ""


def test_a_reader_sees_each_chunk_at_once_and_may_go(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    source, sink = os.pipe()
    stream = open(sink, "w", encoding="utf-8")  # noqa: SIM115 its end is part of the test

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(wgs84, 2, 0, 0.1)
        with open(source, encoding="utf-8") as reader:
            assert len([reader.readline(), reader.readline()]) == 2  # would block for ever if it were held back
        yield make_frame(wgs84, 2, 2, 0.1)

    with pytest.raises(BrokenPipeError):
        write_sequence(stream, chunks(), wgs84)
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    stream = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 its end is part of the test
    with pytest.raises(OutputError, match="No space left"):
        write_sequence(stream, [make_frame(wgs84, 2, 0, 0.1)], wgs84)
    with pytest.raises(OSError, match="No space left"):
        stream.close()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    target = tmp_path / "out.geojsonl"
    frame = make_frame(wgs84, 7, 0, 0.1)
    assert write_layer(target, [frame], GEOJSONSEQ, wgs84, overwrite=False) == 7
    before = target.read_bytes()
    assert before.decode("utf-8") == written([frame], wgs84)
    with pytest.raises(OutputExistsError):
        write_layer(target, [frame], GEOJSONSEQ, wgs84, overwrite=False)

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(wgs84, 2, 0, 0.1)
        raise ConnectionError("the reader's own")

    with pytest.raises(ConnectionError):
        write_layer(target, chunks(), GEOJSONSEQ, wgs84, overwrite=True)
    assert target.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["out.geojsonl", "out.qml"]


@pytest.mark.parametrize("rs", [False, True])
def test_pyogrio_reads_it(tmp_path: Path, wgs84: ClassifiedSchema, make_frame: MakeFrame, rs: bool) -> None:
    target = tmp_path / ("out.geojsons" if rs else "out.geojsonl")
    form = GEOJSONSEQ_RS if rs else GEOJSONSEQ
    write_layer(target, [make_frame(wgs84, 7, 0, 0.1)], form, wgs84, overwrite=False)
    frame = pyogrio.read_dataframe(target)
    assert frame["label"].tolist()[:6] == list(HARD_NAMES)
    assert frame.crs == "EPSG:4326"


@pytest.mark.skipif(shutil.which("ogr2ogr") is None or shutil.which("jq") is None, reason="no ogr2ogr or no jq")
def test_the_tools_at_the_other_end_of_a_pipe_read_it(wgs84: ClassifiedSchema, make_frame: MakeFrame) -> None:
    text = written([make_frame(wgs84, 7, 0, 0.1)], wgs84)
    names = subprocess.run(
        ["jq", "-r", ".properties.label"], input=text, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert names.stdout.splitlines() == [*HARD_NAMES, "null"]
    command = ["ogr2ogr", "-f", "CSV", "/vsistdout/", "/vsistdin/", "-select", "tile_id"]
    table = subprocess.run(command, input=text, capture_output=True, text=True, check=True, encoding="utf-8")
    assert table.stdout.replace(",", "").split() == ["tile_id", *(f"scene/0/{col}" for col in range(7))]


def test_a_collection_has_the_features_of_the_sequence(
    tmp_path: Path, wgs84: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    target = tmp_path / "out.geojson"
    chunks = [make_frame(wgs84, 10, 0, 0.1), make_frame(wgs84, 0), make_frame(wgs84, 4, 10, 0.1)]
    assert write_layer(target, iter(chunks), GEOJSON, wgs84, overwrite=False) == 14
    found = json.loads(target.read_text("utf-8"), parse_constant=pytest.fail)
    assert (found["type"], found["bimors"]["version"]) == ("FeatureCollection", "0.1.0")
    assert found["features"] == [json.loads(line) for line in written(chunks, wgs84).splitlines()]
    frame = pyogrio.read_dataframe(target)
    assert frame["label"].tolist()[:6] == list(HARD_NAMES) and frame.crs == "EPSG:4326"


def test_a_collection_of_nothing_is_one(tmp_path: Path, wgs84: ClassifiedSchema, spec: ClassifiedSchema) -> None:
    assert build_geojson(tmp_path / "out.geojson", [], wgs84) == 0
    assert json.loads((tmp_path / "out.geojson").read_text())["features"] == []
    assert pyogrio.read_info(tmp_path / "out.geojson")["features"] == 0
    with pytest.raises(InputError, match="WGS 84"):
        build_geojson(tmp_path / "no.geojson", [], spec)
