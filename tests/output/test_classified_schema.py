"""The rows of the layer and their columns."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError, OutputError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.classified_schema import (
    MAX_COLUMN_NAME,
    ClassifiedSchema,
    TileRow,
    check_frame,
    clean_text,
    to_frame,
)
from tests.output.conftest import MakeFrame, with_odd_geometries


def test_columns_are_those_of_the_contract(spec: ClassifiedSchema) -> None:
    fixed = ["tile_id", "scene", "row", "col", "label", "confidence", "reason", "label_2", "confidence_2"]
    classes = [f"p_{name}" for name in spec.labels.names]
    assert list(spec.columns()) == [*fixed, "label_3", "confidence_3", "caption", *classes]
    assert list(replace(spec, top_k=2, probabilities=False).columns()) == [*fixed, "caption"]
    assert list(replace(spec, top_k=2, probabilities=False, novelty=True).columns()) == [*fixed, "caption", "novelty"]


def test_sets_of_labels_have_two_columns() -> None:
    labels = Labels.of(["a; b", "c, d", "e"])
    spec = ClassifiedSchema("tiles", "EPSG:32633", labels, label_sets=True)
    assert list(spec.columns())[-3:] == ["caption", "label_set", "label_set_size"]
    sets = [("c, d", "a; b"), ("e",), (), None]
    rows = [
        TileRow(f"scene/0/{col}", "scene.tif", 0, col, reason="unlike_examples" if not each else None,
                label=each[0] if each else None, label_set=each)
        for col, each in enumerate(sets)
    ]  # fmt: skip
    frame = to_frame(rows, np.array([shapely.box(0, 0, 1, 1)] * 4), spec)
    check_frame(frame, spec)
    assert frame["label_set"].tolist() == ["c, d | a; b", "e", "", None]
    assert frame["label_set_size"].tolist() == [2, 1, 0, 0]


def test_a_frame_has_exactly_these_columns_and_dtypes(spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    for count in (0, 1, 14):
        frame = make_frame(spec, count)
        assert dict(frame.drop(columns="geometry").dtypes) == spec.columns()
        assert len(frame) == count
        check_frame(frame, spec)


def test_what_is_missing_is_none_in_text_and_nan_in_numbers(spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    empty = make_frame(spec).iloc[len(spec.labels)]
    assert empty["label"] is None
    assert empty["label_2"] is None
    assert empty["caption"] is None
    assert empty["reason"] == "nodata"
    assert np.isnan([empty["confidence"], empty["confidence_2"], empty["p_forest"]]).all()


@given(st.lists(st.text(min_size=1), min_size=2, max_size=30))
def test_probability_columns_are_unique_in_any_case(names: list[str]) -> None:
    spec = ClassifiedSchema("tiles", "EPSG:4326", Labels(tuple(Label(name) for name in names)), probabilities=True)
    found = [name.casefold() for name in spec.columns()]
    assert len(set(found)) == len(found) == 10 + len(names)
    assert max(map(len, spec.columns())) <= MAX_COLUMN_NAME


def test_names_that_clash_get_a_number() -> None:
    labels = Labels(tuple(Label(name) for name in ("Lake", "lake", "x" * 200, "x" * 201)))
    names = list(ClassifiedSchema("tiles", "EPSG:4326", labels, probabilities=True).columns())[-4:]
    assert names == ["p_Lake", "p_lake_2", "p_" + "x" * 98, "p_" + "x" * 96 + "_2"]


def test_odd_characters_are_replaced(spec: ClassifiedSchema) -> None:
    # How Python hands on a file name that is not UTF-8, and what no XML can hold.
    assert clean_text("caf\udce9\x00\x0b 🌲\n") == "caf\ufffd\ufffd\ufffd 🌲\n"
    row = TileRow("caf\udce9/0/0", "caf\udce9.tif", 0, 0, label="forest", confidence=1.0)
    frame = to_frame([row], np.array([shapely.box(0, 0, 1, 1)]), spec)
    assert frame["scene"].tolist() == ["caf\ufffd.tif"]


@pytest.mark.parametrize(
    "name", ["", "  ", "gpkg_contents", "RTree_x", "sqlite_master", "Layer_Styles", "bimors_predictions", "a\x00b"]
)
def test_layer_names_that_a_geopackage_keeps_for_itself_are_refused(spec: ClassifiedSchema, name: str) -> None:
    with pytest.raises(InputError, match="invalid layer name"):
        replace(spec, name=name)


def test_more_columns_than_sqlite_has_are_refused(spec: ClassifiedSchema) -> None:
    many = Labels.of([f"class {i}" for i in range(2000)])
    with pytest.raises(InputError, match="1998"):
        replace(spec, labels=many)
    replace(spec, labels=many, probabilities=False)


def test_mistakes_of_the_caller(spec: ClassifiedSchema) -> None:
    with pytest.raises(ValueError, match="top_k"):
        replace(spec, top_k=1)
    with pytest.raises(ValueError, match="metadata key"):
        replace(spec, metadata={"a=b": ""})
    with pytest.raises(ValueError, match="not a reason"):
        TileRow("s/0/0", "s", 0, 0, reason="cloud")
    with pytest.raises(ValueError, match="either a label or a reason"):
        TileRow("s/0/0", "s", 0, 0)
    with pytest.raises(ValueError, match="either a label or a reason"):
        TileRow("s/0/0", "s", 0, 0, label="forest", reason="low_confidence")
    row = TileRow("s/0/0", "s", 0, 0, label="forest", probabilities=(1.0,))
    with pytest.raises(ValueError, match="1 probabilities for 6 labels"):
        to_frame([row], np.array([shapely.box(0, 0, 1, 1)]), spec)
    with pytest.raises(ValueError, match="1 rows"):
        to_frame([row], np.empty(0, dtype=object), spec)


def test_a_frame_that_does_not_fit_is_refused(spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    frame = make_frame(spec)
    with pytest.raises(OutputError, match="columns"):
        check_frame(frame.drop(columns="caption"), spec)
    with pytest.raises(OutputError, match="columns"):
        check_frame(frame[[*frame.columns[::-1]]], spec)
    with pytest.raises(OutputError, match="column row is int64, expected int32"):
        check_frame(frame.assign(row=frame["row"].astype("int64")), spec)
    with pytest.raises(OutputError, match="the CRS of the rows"):
        check_frame(frame.set_crs("EPSG:32634", allow_override=True), spec)
    with pytest.raises(OutputError, match="a Point in a layer of polygons"):
        check_frame(frame.set_geometry(frame.geometry.centroid), spec)


def test_parts_are_taken_where_the_layer_says_so_and_no_geometry_everywhere(
    spec: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    frame = with_odd_geometries(make_frame(spec))
    with pytest.raises(OutputError, match="a MultiPolygon in"):
        check_frame(frame, spec)
    check_frame(frame, replace(spec, multipart=True))
    check_frame(frame.drop(index=1), spec)


def test_the_rows_alone_import_neither_geopandas_nor_pyogrio() -> None:
    code = (
        "import sys, bimors_cli.output.formats, bimors_cli.output.style\n"
        "sys.exit(', '.join({'geopandas', 'pandas', 'pyogrio', 'shapely', 'torch'} & sys.modules.keys()) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
