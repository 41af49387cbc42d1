"""Values of an attribute as class names."""

from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from shapely.geometry import box

from bimors_cli.errors import VectorError
from bimors_cli.scene.around import Extent
from bimors_cli.scene.feature_counts import Place, nothing_inside
from bimors_cli.training.examples.class_texts import class_texts
from bimors_cli.training.examples.vector_features import (
    open_features,
    read_around,
)


def texts(*values: Any, path: str = "a.gpkg") -> list[str]:
    return class_texts(values, range(len(values)), path, "class").tolist()


@pytest.mark.parametrize(
    "value, text",
    [
        (None, ""), (float("nan"), ""), (3.0, "3"), (2.5, "2.5"), (7, "7"), (True, "True"), ("", ""), ("  ", ""),
        (" pond ", "pond"), ("bare\nland", "bare land"), ("meadow\r\n", "meadow"), ("wet\u00a0land", "wet land"),
        (unicodedata.normalize("NFD", "Gewässer"), "Gewässer"), ("NULL", ""), ("<NULL>", ""), ("nan", ""),
        (["pond"], "pond"), (np.array(["pond"], object), "pond"), ('["pond"]', "pond"), ([], ""), ([["x"]], "x"),
        ("[bare] land", "[bare] land"), ("[x]", "[x]"), ("nullarbor", "nullarbor"),
    ],
)  # fmt: skip
def test_one_value(value: Any, text: str) -> None:
    assert texts(value) == [text]


@pytest.mark.parametrize(
    "value, what", [(["a", "b"], "a list of 2 items"), ({"a": 1}, "an object"), ('{"a": 1}', "an object")]
)
def test_what_is_no_name(value: Any, what: str) -> None:
    with pytest.raises(VectorError, match=f"a.gpkg: class of feature 1 is {what}") as caught:
        texts("pond", value)
    assert "text field" in str(caught.value.hint)


@given(st.text())
def test_a_text_is_one_line_in_one_form(value: str) -> None:
    try:
        (text,) = texts(value)
    except VectorError:
        return
    assert "\n" not in text and text == text.strip()
    assert texts(text) == [text]


def written(path: Path, values: list[str], encoding: str) -> Path:
    frame = geopandas.GeoDataFrame({"class": values}, geometry=[box(0, 0, 1, 1)] * len(values), crs=32631)
    frame.to_file(path, encoding=encoding)
    path.with_suffix(".cpg").unlink(missing_ok=True)
    with path.with_suffix(".dbf").open("r+b") as table:
        table.seek(29)
        table.write(b"\0")
    return path


def classes_of(path: Path) -> list[str]:
    source = open_features(str(path), "class")
    _, classes, _ = read_around(
        source, Extent("scene", "scene.tif", CRS.from_user_input(source.crs).to_wkt(), (-9, -9, 9, 9))
    )
    return list(classes)


def test_a_shapefile_without_its_encoding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["Gewässer", "Grünland", "Acker"]
    with caplog.at_level(logging.WARNING):
        assert classes_of(written(tmp_path / "utf8.shp", names, "UTF-8")) == names
    assert "is read as UTF-8" in caplog.text and "Gewässer" in caplog.text
    caplog.clear()
    assert classes_of(written(tmp_path / "latin.shp", names, "ISO-8859-1")) == names
    assert caplog.text == ""


@pytest.mark.parametrize("value, text", [(["pond"], "pond"), (["pond", "x"], None), ({"a": 1}, None)])
def test_lists_of_annotation_tools(tmp_path: Path, value: Any, text: str | None) -> None:
    path = tmp_path / "a.geojson"
    feature = {"type": "Feature", "properties": {"class": value}, "geometry": box(0, 0, 1, 1).__geo_interface__}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, feature]}))
    if text is None:
        with pytest.raises(VectorError, match="class of feature 0 is a"):
            classes_of(path)
    else:
        assert classes_of(path) == [text, text]


def test_swapped_coordinates() -> None:
    bounds = (47.0, -98.2, 47.1, -98.1)
    scene = Place("scene.tif", CRS.from_epsg(4326).to_wkt(), shapely.box(-98.3, 46.9, -98.0, 47.2))
    assert "swapped?" in str(nothing_inside("a.geojson", "EPSG:4326", bounds, [scene]).hint)
    elsewhere = Place("scene.tif", CRS.from_epsg(4326).to_wkt(), shapely.box(10, 10, 11, 11))
    assert "swapped" not in str(nothing_inside("a.geojson", "EPSG:4326", bounds, [elsewhere]).hint)


def test_measurements_are_not_classes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        texts(*[value + 0.5 for value in range(20)], *range(100))
        assert not caplog.text
        texts(*[value / 7 for value in range(100)])
    assert "a.gpkg: class has 85 different values with decimals, such as 0.142857" in caplog.text
