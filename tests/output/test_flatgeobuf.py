"""FlatGeobuf: the rows of the GeoPackage, an index, the provenance."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pyogrio
import pyproj
import pytest
import shapely

from bimors_cli.errors import OutputError
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.flatgeobuf import build_flatgeobuf
from tests.output.conftest import MakeFrame, with_odd_geometries


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.fgb"


def test_every_column_and_null_comes_back(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    chunks = [make_frame(spec, 10, 0), make_frame(spec, 0), make_frame(spec, 11, 10)]
    assert build_flatgeobuf(target, iter(chunks), spec) == 21
    assert os.listdir(target.parent) == ["out.fgb"]
    wanted = make_frame(spec, 21)
    read = pyogrio.read_dataframe(target).sort_values(["row", "col"], ignore_index=True)
    assert list(read.columns) == list(wanted.columns) and read.crs == "EPSG:32633"
    for name, dtype in spec.columns().items():
        if dtype == np.dtype(object):
            assert [None if pandas.isna(text) else text for text in read[name]] == wanted[name].tolist()
        else:
            assert read[name].dtype == dtype
            np.testing.assert_array_equal(read[name].to_numpy(), wanted[name].to_numpy())
    assert shapely.equals(read.geometry.to_numpy(), wanted.geometry.to_numpy()).all()


def test_it_has_an_index_and_its_provenance(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    build_flatgeobuf(target, [make_frame(spec, 21)], spec)
    info = pyogrio.read_info(target)
    assert info["capabilities"]["fast_spatial_filter"] and info["layer_name"] == "tiles"
    assert info["layer_metadata"] == {"bimors_version": "0.1.0", "bimors_labels": '["a", "b"]'}
    assert pyogrio.read_dataframe(target, bbox=(1, -63, 2, -62))["tile_id"].tolist() == ["scene/0/0"]


def test_tiles_in_parts_and_tiles_without_a_place(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    spec = replace(spec, multipart=True)
    assert build_flatgeobuf(target, [with_odd_geometries(make_frame(spec))], spec) == 14
    read = pyogrio.read_dataframe(target)
    assert read.geometry[0] is None and set(read.geom_type[1:]) == {"MultiPolygon"}
    assert read["tile_id"].tolist() == make_frame(spec)["tile_id"].tolist()


def test_no_row_at_all(target: Path, spec: ClassifiedSchema) -> None:
    assert build_flatgeobuf(target, [], spec) == 0
    info = pyogrio.read_info(target, force_feature_count=True)
    assert (info["features"], info["crs"]) == (0, "EPSG:32633") and list(info["fields"]) == list(spec.columns())


@pytest.mark.parametrize("crs", ["EPSG:2193", "EPSG:25832+5783", "ESRI:54009"])
def test_any_crs_comes_back(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, crs: str) -> None:
    spec = replace(spec, crs_wkt=pyproj.CRS(crs).to_wkt())
    build_flatgeobuf(target, [make_frame(spec)], spec)
    assert pyproj.CRS(pyogrio.read_info(target)["crs"]).equals(pyproj.CRS(crs), ignore_axis_order=True)


def test_rows_that_get_lost_are_found(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pyogrio.raw.read
    monkeypatch.setattr(pyogrio.raw, "read", lambda *a, **k: (*real(*a, **k)[:1], [1, 2], None, None))
    with pytest.raises(OutputError, match="2 rows in the file, 14 were written"):
        build_flatgeobuf(target, [make_frame(spec)], spec)
