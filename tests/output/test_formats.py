"""Which format a file name means."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.output.formats import (
    FORMATS,
    GEOJSONSEQ,
    GEOJSONSEQ_RS,
    GPKG,
    STDOUT,
    Format,
    check_layer,
    guess_format,
    write_layer,
)
from bimors_cli.output.rows import LayerSpec
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
    ],
)
def test_names_of_formats(path: str, requested: str | None, expected: Format) -> None:
    assert guess_format(Path(path), requested) is expected


@pytest.mark.parametrize(
    ("path", "requested"),
    [
        ("out.fgb", None),
        ("out.parquet", None),
        ("out.geojson", None),
        ("out.shp", None),
        ("out", None),
        (".gpkg", None),  # a hidden file without a suffix
        ("out.gpkg", "FlatGeobuf"),
        ("out.gpkg", "GeoJSONSeq"),
        ("out.geojsonl", "GPKG"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(path: str, requested: str | None) -> None:
    with pytest.raises(InputError) as caught:
        guess_format(Path(path), requested)
    assert "GPKG (.gpkg), GeoJSONSeq (.geojsonl)" in str(caught.value.hint)


def test_a_geopackage_cannot_be_streamed() -> None:
    with pytest.raises(InputError, match="standard output"):
        guess_format(STDOUT, "GPKG")


@pytest.mark.parametrize("form", FORMATS)
def test_writing_and_the_trial_before_it(tmp_path: Path, spec: LayerSpec, make_frame: MakeFrame, form: Format) -> None:
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


def test_the_trial_finds_what_would_fail_at_the_end(tmp_path: Path, spec: LayerSpec) -> None:
    with pytest.raises(InputError, match="WGS 84"):
        check_layer(tmp_path / "out.geojsonl", GEOJSONSEQ, spec, overwrite=False)
    with pytest.raises(OutputError, match="no folder"):
        check_layer(tmp_path / "missing" / "out.gpkg", GPKG, spec, overwrite=False)
    with pytest.raises(OutputError, match=r"out\.gpkg"):
        check_layer(tmp_path / "out.gpkg", GPKG, replace(spec, crs_wkt="no CRS"), overwrite=False)
    assert os.listdir(tmp_path) == []
