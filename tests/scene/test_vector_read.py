"""Reading vector files: geometries and values as they are, or a one-line error."""

from __future__ import annotations

import datetime
import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from shapely.geometry import box

from bimors_cli.errors import VectorError
from bimors_cli.scene.vector import find_layer
from bimors_cli.scene.vector_fields import find_field
from bimors_cli.scene.vector_read import Field, layer_info, read_rows

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}


def geojson(path: Path, *features: dict[str, Any], geometry: Any = SQUARE) -> str:
    rows = [{"type": "Feature", "properties": row, "geometry": row.pop("geometry", geometry)} for row in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return str(path)


def values(path: str, field: str) -> list[Any]:
    return read_rows(*find_layer(path), field).values or []


def refusal(path: str, field: str | None = None) -> str:
    with pytest.raises(VectorError) as caught:
        name, layer = find_layer(path)
        if field is not None:
            find_field(name, layer, layer_info(name, layer).fields, field)
        read_rows(name, layer, field)
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


def test_values_with_nulls_keep_their_type(tmp_path: Path) -> None:
    path = geojson(
        tmp_path / "a.geojson",
        {"yes": True, "code": 7, "share": 1.5, "day": "2020-01-31", "names": ["pond"], "more": {"a": 1}},
        {"yes": False, "code": 8},
        {},
    )
    assert values(path, "yes") == [True, False, None] and isinstance(values(path, "yes")[0], bool)
    assert values(path, "code") == [7, 8, None] and isinstance(values(path, "code")[0], int)
    assert values(path, "day") == [datetime.date(2020, 1, 31), None, None]
    kinds = {field.name: field.kind for field in layer_info(*find_layer(path)).fields}
    assert kinds == {"yes": "boolean", "code": "integer", "share": "real", "day": "date", "names": "list of texts",
                     "more": "JSON"}  # fmt: skip


def test_large_whole_numbers(tmp_path: Path) -> None:
    large = 2**53 + 1
    assert values(geojson(tmp_path / "a.geojson", {"code": large}), "code") == [large]
    assert "above 2^53" in refusal(geojson(tmp_path / "b.geojson", {"code": large}, {"code": None}), "code")


def test_real_numbers_of_four_bytes(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(
        {"code": np.array([1.1, 2.0], np.float32)}, geometry=[box(0, 0, 1, 1)] * 2, crs=32631
    )
    frame.to_file(tmp_path / "a.fgb")
    assert values(str(tmp_path / "a.fgb"), "code") == [1.1, 2.0]


@pytest.mark.parametrize("suffix", [".fgb", ".geojson"])
def test_names_that_differ_by_case_only(tmp_path: Path, suffix: str) -> None:
    """Of joined tables; OGR alone would return nulls for the first of them in a FlatGeobuf file."""
    path = tmp_path / f"a{suffix}"
    frame = geopandas.GeoDataFrame({"class": ["a"], "Class": ["B"]}, geometry=[box(0, 0, 1, 1)], crs=4326)
    frame.to_file(path)
    assert values(str(path), "class") == ["a"] and values(str(path), "Class") == ["B"]


def test_odd_names(tmp_path: Path) -> None:
    names = ["a.b", 'q"u', "it's", "Fläche", "with space", "SELECT", "x" * 200]
    path = geojson(tmp_path / "a.geojson", {name: name for name in names})
    assert [values(path, name) for name in names] == [[name] for name in names]


def test_a_field_that_is_missing(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", {"class": "pond", "code": 1, "day": "2020-01-31"})
    listed = "its fields are class (text), code (integer), day (date)"
    assert f"has no field 'CLASS' | did you mean 'class'? {listed}" in refusal(path, "CLASS")
    assert f"has no field 'clas' | did you mean 'class'? {listed}" in refusal(path, "clas")
    assert f"has no field 'zzz' | {listed}" in refusal(path, "zzz")
    assert f"the field 'day' is of type date, not classes | {listed}" in refusal(path, "day")
    with pytest.raises(VectorError, match="has 2 fields 'a'"):
        find_field(path, "a", [Field("a", "text"), Field("a", "text")], "a")


def test_shapefiles_shorten_names_and_lose_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.shp"
    with pytest.warns(RuntimeWarning, match="landcover"):
        geopandas.GeoDataFrame({"landcover_class": ["pond"]}, geometry=[box(0, 0, 1, 1)], crs=32631).to_file(path)
    text = refusal(str(path), "landcover_class")
    assert "did you mean 'landcover_'? A shapefile shortens names to 10 characters" in text
    (tmp_path / "a.dbf").unlink()
    assert f"has no field 'class' | {tmp_path}/a.dbf is missing" in refusal(str(path), "class")


def test_the_alias_of_a_field(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame({"lc": ["pond"]}, geometry=[box(0, 0, 1, 1)], crs=32631).to_file(path)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE gpkg_data_columns (table_name TEXT, column_name TEXT, name TEXT, title TEXT, "
            "description TEXT, mime_type TEXT, constraint_name TEXT)"
        )
        database.execute("INSERT INTO gpkg_data_columns VALUES ('a', 'lc', 'Land cover', NULL, NULL, NULL, NULL)")
    database.close()
    assert "did you mean 'lc', which has that alias?" in refusal(str(path), "Land cover")


WKT = {
    "curve": "CURVEPOLYGON(COMPOUNDCURVE(CIRCULARSTRING(0 0,1 1,2 0),(2 0,0 0)))",
    "surface": "MULTISURFACE(CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,2 0,1 -1,0 0)))",
    "m": "POLYGON M((0 0 1,1 0 1,1 1 1,0 0 1))",
    "zm": "POLYGON ZM((0 0 1 2,1 0 1 2,1 1 1 2,0 0 1 2))",
    "tin": "TIN Z(((0 0 0,0 1 0,1 1 0,0 0 0)))",
    "polyhedral surface": "POLYHEDRALSURFACE Z(((0 0 0,0 1 0,1 1 0,0 0 0)))",
}


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="needs GDAL's programs")
def test_curves_measures_and_surfaces(tmp_path: Path) -> None:
    def written(name: str) -> str:
        table, path = tmp_path / f"{name}.csv", tmp_path / f"{name}.gpkg"
        table.write_text(f'WKT,class\n"{WKT[name]}",pond\n')
        command = ["ogr2ogr", "-a_srs", "EPSG:32631", str(path), str(table)]
        subprocess.run(command, check=True, capture_output=True)
        return str(path)

    areas = {"curve": np.pi / 2, "surface": np.pi, "m": 0.5, "zm": 0.5}
    for name, area in areas.items():
        (found,) = read_rows(*find_layer(written(name))).geometries
        assert found.area == pytest.approx(area, rel=0.01) and not found.has_z
    for name in ("tin", "polyhedral surface"):
        path = written(name)
        text = refusal(path)
        assert f"feature 1 is a {name}".casefold() in text.casefold()
        command = text.partition("convert it: ")[2]
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=tmp_path)
        (found,) = read_rows(*find_layer(str(tmp_path / "features.gpkg"))).geometries
        assert found.area == 0.5
        (tmp_path / "features.gpkg").unlink()


def test_rings_that_are_not_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}
    with caplog.at_level(logging.WARNING):
        (found,) = read_rows(*find_layer(geojson(tmp_path / "a.geojson", {}, geometry=ring))).geometries
    assert found.area == 1 and not caplog.records


def test_coordinates_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    wkb = np.array([box(0, 0, 1, 1).wkb, shapely.Polygon([(0, 0), (np.inf, 0), (1, 1)]).wkb], object)
    pyogrio.raw.write(path, wkb, [], [], geometry_type="Polygon", crs="EPSG:32631")
    assert "feature 2 has a vertex with infinite or NaN coordinates" in refusal(str(path))


def test_empty_and_missing_geometries(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", {"geometry": None}, {"geometry": {"type": "Polygon", "coordinates": []}})
    name, layer = find_layer(path)
    first, second = read_rows(name, layer).geometries
    assert first is None and second.is_empty and layer_info(name, layer).count == 2


def test_damaged_files(tmp_path: Path) -> None:
    geopandas.GeoDataFrame({"class": ["a"] * 99}, geometry=[box(0, 0, 1, 1)] * 99, crs=32631).to_file(
        tmp_path / "a.gpkg"
    )
    path = tmp_path / "b.gpkg"
    path.write_bytes((tmp_path / "a.gpkg").read_bytes()[:30_000])
    assert "is damaged or incomplete" in refusal(str(path))
    cut = tmp_path / "a.geojson"
    cut.write_text(Path(geojson(cut, {"class": "a"})).read_text()[:-20])
    assert "is damaged or incomplete" in refusal(str(cut)) and "copy the file again" in refusal(str(cut))
