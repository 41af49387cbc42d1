"""Which format a file name means."""

from __future__ import annotations

import json
import os
import random
import shutil
import string
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame
from bimors_cli.output.formats import (
    FLATGEOBUF,
    FORMATS,
    GEOJSON,
    GEOJSONSEQ,
    GEOJSONSEQ_RS,
    GEOPARQUET,
    GPKG,
    STDOUT,
    Format,
    check_layer,
    guess_format,
    with_separators,
    write_layer,
)
from bimors_cli.output.style import qml
from tests.hardening.forks import Forks
from tests.output.conftest import MakeFrame


@pytest.mark.parametrize(
    ("path", "requested", "expected"),
    [
        ("out.gpkg", None, GPKG),
        ("OUT.GPKG", None, GPKG),
        ("a.b/out.v2.geojsonl", None, GEOJSONSEQ),
        ("out.GeoJSONS", None, GEOJSONSEQ_RS),
        ("-", None, GEOJSONSEQ),
        ("-", "geojsonseq", GEOJSONSEQ),
        ("out.geojsons", "GeoJSONSeq", GEOJSONSEQ_RS),
        ("out.json", "GEOJSONSEQ", GEOJSONSEQ),
        ("out", "gpkg", GPKG),
        ("out.fgb", None, FLATGEOBUF),
        ("out.parquet", None, GEOPARQUET),
        ("out.PARQUET", "geoparquet", GEOPARQUET),
        ("out", "Parquet", GEOPARQUET),
        ("out.geojson", None, GEOJSON),
        ("out.json", "GeoJSON", GEOJSON),
        ("out.gpkg", "GeoPackage", GPKG),
    ],
)
def test_names_of_formats(path: str, requested: str | None, expected: Format) -> None:
    assert guess_format(Path(path), requested) is expected


@pytest.mark.parametrize(
    ("path", "requested"),
    [
        ("out.shp", None),
        ("out", None),
        (".gpkg", None),  # a hidden file without a suffix
        ("out.gpkg", "FlatGeobuf"),
        ("out.gpkg", "GeoJSONSeq"),
        ("out.geojsonl", "GPKG"),
        ("out.geojsonl", "GeoJSON"),
        ("out.gpkg", ""),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(path: str, requested: str | None) -> None:
    with pytest.raises(InputError) as caught:
        guess_format(Path(path), requested)
    assert "GPKG (.gpkg), FlatGeobuf (.fgb)" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["GPKG", "FlatGeobuf", "Parquet", "GeoJSON"])
def test_only_sequences_are_streamed(name: str) -> None:
    with pytest.raises(InputError, match="standard output"):
        guess_format(STDOUT, name)


def test_separators_are_for_sequences() -> None:
    assert with_separators(GEOJSONSEQ) is with_separators(GEOJSONSEQ_RS) is GEOJSONSEQ_RS
    with pytest.raises(InputError, match="--rs"):
        with_separators(GEOJSON)


def test_a_style_is_not_a_layer() -> None:
    with pytest.raises(InputError, match="style"):
        guess_format(Path("out.qml"), "FlatGeobuf")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_writing_and_the_trial_before_it(
    tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame, form: Format
) -> None:
    spec = replace(spec, crs_wkt="EPSG:4326")
    target = tmp_path / f"out{form.suffix}"
    check_layer(target, form, spec, overwrite=False)
    assert os.listdir(tmp_path) == []
    assert write_layer(target, [make_frame(spec, 3, 0, 0.1)], form, spec, overwrite=False) == 3
    assert target.stat().st_size > 1000
    assert target.read_bytes().startswith(b"\x1e") == form.rs
    with pytest.raises(OutputExistsError):
        check_layer(target, form, spec, overwrite=False)
    check_layer(target, form, spec, overwrite=True)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_the_style_lies_beside_what_cannot_hold_it(
    tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame, form: Format
) -> None:
    spec = replace(spec, crs_wkt="EPSG:4326")
    target, style = tmp_path / f"out{form.suffix}", tmp_path / "out.qml"
    write_layer(target, [make_frame(spec, 3, 0, 0.1)], form, spec, overwrite=False)
    if form is GPKG:
        assert os.listdir(tmp_path) == ["out.gpkg"]
        return
    assert sorted(os.listdir(tmp_path)) == sorted([target.name, "out.qml"])
    assert style.read_text("utf-8") == qml(spec.labels)
    # A style that somebody made is not lost either.
    target.unlink()
    style.write_text("my own")
    for attempt in (check_layer, lambda *a, **k: write_layer(a[0], [], *a[1:], **k)):
        with pytest.raises(OutputExistsError, match=r"out\.qml exists"):
            attempt(target, form, spec, overwrite=False)
    assert (os.listdir(tmp_path), style.read_text()) == (["out.qml"], "my own")
    write_layer(target, [], form, spec, overwrite=True)
    assert style.read_text("utf-8") == qml(spec.labels)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_after_an_error_all_is_as_it_was(
    tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame, form: Format
) -> None:
    spec = replace(spec, crs_wkt="EPSG:4326")
    target = tmp_path / f"out{form.suffix}"
    write_layer(target, [make_frame(spec, 3, 0, 0.1)], form, spec, overwrite=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(spec, 4, 0, 0.1)
        raise ConnectionError("the reader's own")

    with pytest.raises(ConnectionError):
        write_layer(target, chunks(), form, spec, overwrite=True)
    bad = make_frame(spec, 4, 0, 0.1).assign(more=1)
    with pytest.raises(OutputError, match="columns"):
        write_layer(target, [bad], form, spec, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(tmp_path: Path, form: Format, forks: Forks) -> None:
    done = forks.call(write_much, tmp_path / f"out{form.suffix}", file_limit=1_000_000)
    assert done.code == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "hint:" in done.stdout
    assert os.listdir(tmp_path) == []


def write_much(path: Path) -> None:
    """Write sixty rows, three megabytes that do not shrink."""
    spec = ClassifiedSchema("tiles", "EPSG:4326", Labels.of(["a", "b"]))
    letters = random.Random(0).choices(string.ascii_letters + string.digits + ",.", k=3_000_000)
    texts = ["".join(letters[i * 50_000 : (i + 1) * 50_000]) for i in range(60)]
    rows = [TileRow(f"s/{i}/0", "s.tif", i, 0, label="a", confidence=1.0, caption=text) for i, text in enumerate(texts)]
    frame = to_frame(rows, shapely.box(np.arange(60), 0, np.arange(60) + 1, 1), spec)
    try:
        write_layer(path, [frame], guess_format(path), spec, overwrite=True)
    except OutputError as error:
        print(error, "hint:", error.hint)


def test_the_trial_finds_what_would_fail_at_the_end(tmp_path: Path, spec: ClassifiedSchema) -> None:
    with pytest.raises(InputError, match="WGS 84"):
        check_layer(tmp_path / "out.geojsonl", GEOJSONSEQ, spec, overwrite=False)
    with pytest.raises(OutputError, match=r"folder .* not found"):
        check_layer(tmp_path / "missing" / "out.gpkg", GPKG, spec, overwrite=False)
    with pytest.raises(OutputError, match=r"out\.gpkg"):
        check_layer(tmp_path / "out.gpkg", GPKG, replace(spec, crs_wkt="no CRS"), overwrite=False)
    assert os.listdir(tmp_path) == []


SCRIPT = """
import json, os, sys
from qgis.core import QgsApplication, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
found = []
for path in sys.argv[1:]:
    layer = QgsVectorLayer(path, "layer", "ogr")
    renderer = layer.renderer()
    found.append([renderer.type(), [category.label() for category in getattr(renderer, "categories", list)()]])
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)  # QGIS falls over its own feet when it tidies up
"""


@pytest.mark.qgis
def test_qgis_finds_the_style_beside_the_file(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    python = shutil.which("python3", path="/usr/bin") or "python3"
    if subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False).returncode:
        pytest.skip("no PyQGIS")
    spec = replace(spec, crs_wkt="EPSG:4326")
    targets = [tmp_path / f"{form.suffix[1:]}{form.suffix}" for form in (FLATGEOBUF, GEOJSON, GEOJSONSEQ)]
    for target in targets:
        write_layer(target, [make_frame(spec, 7, 0, 0.1)], guess_format(target), spec, overwrite=False)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [python, "-c", SCRIPT, *map(str, targets)]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8", env=environment)
    expected = ["categorizedSymbol", [*spec.labels.names, "no label"]]
    assert json.loads(done.stdout.splitlines()[-1]) == [expected] * 3
