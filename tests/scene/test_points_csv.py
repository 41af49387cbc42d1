"""CSV tables of field points: which columns are coordinates, in which CRS, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from bimors_cli.errors import VectorError
from bimors_cli.scene.around import Extent
from bimors_cli.scene.feature_counts import Place
from bimors_cli.scene.points_csv import PointTable, is_point_table, read_point_table
from bimors_cli.training.examples.vector_features import open_features, read_around


def table(tmp_path: Path, text: str, crs: str | None = None, encoding: str = "utf-8") -> PointTable:
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode(encoding))
    return read_point_table(str(path), crs)


def xy(found: PointTable) -> list[tuple[float, float]]:
    return [tuple(point) for point in shapely.get_coordinates(found.geometries).tolist()]


@pytest.mark.parametrize(
    "x, y",
    [
        ("longitude", "latitude"), ("Lon", "Lat"), ("LONG", "LAT"), ("lng", "lat"),
        ("decimalLongitude", "decimalLatitude"),
        ("_gps_longitude", "_gps_latitude"), ("location-Longitude", "location-Latitude"), ("lon_wgs84", "lat_wgs84"),
        ("Longitude (°)", "Latitude (°)"), ("x_lon", "y_lat"), ("Start.Lon", "Start.Lat"),
    ],
)  # fmt: skip
def test_titles_of_degrees(tmp_path: Path, x: str, y: str) -> None:
    for text in (f"id,{x},{y},class\n7,-98.25,47.5,pond\n", f"{y};class;{x}\n47,5;pond;-98,25\n"):
        found = table(tmp_path, text)
        assert xy(found) == [(-98.25, 47.5)] and found.crs == "EPSG:4326" and found.layer == "points"
        assert found.within(None, "class")[1:] == (["pond"], np.array([1]))


@pytest.mark.parametrize(
    "x, y",
    [("x", "y"), ("X_coord", "Y_COORD"), ("Easting", "Northing"), ("POINT_X", "POINT_Y"), ("utm_e", "utm_n")],
)
def test_titles_of_metres(tmp_path: Path, x: str, y: str) -> None:
    text = f"{x}\t{y}\tclass\n431250.5\t5.4e6\tpond\n"
    found = table(tmp_path, text, "EPSG:32633")
    assert xy(found) == [(431250.5, 5.4e6)] and found.crs == "EPSG:32633"
    with pytest.raises(VectorError, match=rf"the CRS of the coordinates \({x} and {y}\) is not known") as caught:
        table(tmp_path, text)
    assert caught.value.hint == "add --points-crs EPSG:..., the CRS of the coordinates"


def test_x_and_y_that_look_like_degrees(tmp_path: Path) -> None:
    text = "x,y,class\n-98.25,47.5,pond\n"
    with pytest.raises(VectorError, match="is not known") as caught:
        table(tmp_path, text)
    assert "--points-crs EPSG:4326" in str(caught.value.hint)
    assert xy(table(tmp_path, text, "EPSG:4326")) == [(-98.25, 47.5)]
    with pytest.raises(VectorError, match="is not in degrees, but the coordinates span x -98"):
        table(tmp_path, text, "EPSG:32614")
    with pytest.raises(VectorError, match="is in degrees, but the coordinates span x 4312"):
        table(tmp_path, "x,y,class\n431250,5400000,pond\n", "EPSG:4326")
    with pytest.raises(VectorError, match="are degrees, but --points-crs EPSG:32614"):
        table(tmp_path, "lon,lat,class\n-98.25,47.5,pond\n", "EPSG:32614")
    with pytest.raises(VectorError, match="--points-crs EPSG:0: PROJ does not know this CRS"):
        table(tmp_path, text, "EPSG:0")


def test_degrees_of_another_datum_and_both_kinds_of_columns(tmp_path: Path) -> None:
    text = "lon,lat,x,y,class\n-98.25,47.5,556000,5261000,pond\n"
    assert table(tmp_path, text).crs == "EPSG:4326" and table(tmp_path, text, "EPSG:4269").crs == "EPSG:4269"
    found = table(tmp_path, text, "EPSG:32614")
    assert xy(found) == [(556000, 5261000)] and found.crs == "EPSG:32614"


@pytest.mark.parametrize(
    "column, cell, crs, place",
    [
        ("WKT", "POINT (-98.25 47.5)", "EPSG:4326", (-98.25, 47.5)),
        ("geom", "SRID=4326;POINT(-98.25 47.5)", None, (-98.25, 47.5)),
        ("the_geom", "POINT Z (-98.25 47.5 300)", "EPSG:4326", (-98.25, 47.5)),
        ("geom", shapely.to_wkb(shapely.set_srid(shapely.Point(-98.25, 47.5), 4326), True, include_srid=True), None,
         (-98.25, 47.5)),
        (".geo", '"{""type"":""Point"",""coordinates"":[-98.25,47.5]}"', None, (-98.25, 47.5)),
        ("wkt", "multipoint ((431250 5400000))", "EPSG:32633", (431250, 5400000)),
    ],
)  # fmt: skip
def test_geometries(tmp_path: Path, column: str, cell: str, crs: str | None, place: tuple[float, float]) -> None:
    """A column of geometries is used rather than coordinates, which may be those of a centre."""
    found = table(tmp_path, f"class,{column},lon,lat\npond,{cell},1,2\nlake,,1,2\n", crs)
    assert xy(found) == [place] and found.crs == (crs or "EPSG:4326")
    assert not shapely.has_z(found.geometries).any()


def test_polygons_as_wkt(tmp_path: Path) -> None:
    text = 'WKT,class\n"POLYGON ((0 0,100 0,100 100,0 0))",pond\n'
    assert table(tmp_path, text, "EPSG:32633").geometries[0].area == 5000
    with pytest.raises(VectorError, match=r"the CRS of the coordinates \(WKT\) is not known"):
        table(tmp_path, text)
    with pytest.raises(VectorError, match="line 3: WKT is not a geometry: 'POLYGON"):
        table(tmp_path, text + '"POLYGON ((0 0,100 0))",lake\n', "EPSG:32633")
    with pytest.raises(VectorError, match="several CRSs: EPSG:1, EPSG:2"):
        table(tmp_path, "wkt,class\nSRID=1;POINT(1 2),a\nSRID=2;POINT(1 2),b\n")
    with pytest.raises(VectorError, match="geom is in EPSG:4326, not in --points-crs EPSG:32633"):
        table(tmp_path, "geom,class\nSRID=4326;POINT(1 2),a\n", "EPSG:32633")


def test_a_column_named_geometry_without_geometries(tmp_path: Path) -> None:
    assert xy(table(tmp_path, "geometry,lon,lat\nPoint,1,2\n")) == [(1, 2)]  # ArcGIS writes the type
    with pytest.raises(VectorError, match="the column geometry holds no geometries"):
        table(tmp_path, "geometry,class\nPoint,pond\n")


def test_rows_without_coordinates_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = table(tmp_path, "lon,lat,class\n1,2,a\n,,b\nNA,n/a,c\n3,,d\n\n5,6,\n")
    assert xy(found) == [(1, 2), (5, 6)] and found.ids.tolist() == [1, 5]
    assert found.within(None, "class")[1] == ["a", None]
    (message,) = caplog.messages
    assert "skipped 3 of 5 rows without coordinates (lon and lat): fill them in" in message
    with pytest.raises(VectorError, match="holds no coordinates"):
        table(tmp_path, "lon,lat,class\n,,b\n")


@pytest.mark.parametrize(
    "text, says, hint",
    [
        ("id,name\n1,pond\n", "no columns of coordinates: the first line holds id, name", "longitude and latitude"),
        ("-98.2,47.0,pond\n-98.1,47.1,pond\n", "no columns of coordinates: the first line holds -98.2", "name them"),
        ("", "no columns of coordinates", "name them"),
        ("lon,lat,class\n", "holds no rows", "one row per point"),
        ("lon,lat,gps_lon,gps_lat\n1,2,3,4\n", "several columns of coordinates: lon and lat; gps", "rename"),
        ("lon,lat\n12,5,41,9\n", "line 2: 4 cells, but 2 columns", "12.5, not 12,5"),
        ("lon,lat,class\n1,2,shrub, scrub\n", "line 2: 4 cells, but 3 columns", "double quotes"),
        ("lon,lat\n1,2\n12°30'E,41.9\n", "line 3: lon is not a number: \"12°30'E\"", "decimal degrees"),
        ("lon;lat\n1,5;2.5\n", "line 2: lon has commas and points", "thousands"),
        ("lon,lat\n1,2\n47.0,-98.2\n", "line 3: lat is -98.2, which is not in degrees", "swapped[?] Exchange"),
        ("lon,lat\n431250,5400000\n", "line 2: lat is 5400000", "metres or feet, name the columns x and y"),
        ("lon,lat\n-190,5\n", "line 2: lon is -190, which is not in degrees", "metres"),
        ('lon,lat,class\n1,2,"pond\n3,4,lake\n', "line 2: unexpected end of data", "quotation mark missing"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str, says: str, hint: str) -> None:
    with pytest.raises(VectorError, match=says) as caught:
        table(tmp_path, text)
    assert re.search(hint, caught.value.hint or "") and "\n" not in caught.value.message


def test_excel_and_other_encodings(tmp_path: Path) -> None:
    text = "lon;lat;class\r\n1,5;2,5;Gewässer\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        assert table(tmp_path, text, encoding=encoding).within(None, "class")[1] == ["Gewässer"]
    assert xy(table(tmp_path, f"sep=;\r\n# from a GPS\r\n{text}")) == [(1.5, 2.5)]
    with pytest.raises(VectorError, match="line 2: not UTF-8 text") as caught:
        table(tmp_path, text, encoding="cp1252")
    assert "CSV UTF-8" in str(caught.value.hint)
    with pytest.raises(VectorError, match="cannot be read"):
        read_point_table(str(tmp_path / "none.csv"))


def test_names_of_tables() -> None:
    assert is_point_table("a/points.CSV") and is_point_table("a.tsv")
    assert not is_point_table("a.gpkg") and not is_point_table("labels.txt")


def test_as_features(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("lon,lat,class,code\n-98.2,47.0,pond,7\n-98.1,47.1,null,8\n10,10,lake,\n")
    source = open_features(str(path), "class")
    assert (source.count, source.is_numeric, source.bounds) == (3, False, (-98.2, 10, 10, 47.1))
    scene = Extent("scene", "scene.tif", CRS.from_epsg(4326).to_wkt(), (-98.3, 46.9, -98.0, 47.2))
    geometries, classes, ids = read_around(source, scene)
    assert len(geometries) == 2 and classes.tolist() == ["pond", ""] and ids.tolist() == [1, 2]
    assert open_features(str(path), "code").is_numeric
    with pytest.raises(VectorError, match="has no field 'kind'") as caught:
        open_features(str(path), "kind")
    assert caught.value.hint == "its fields are lon (text), lat (text), class (text), code (text)"
    with pytest.raises(VectorError, match=r"--points-crs has no effect with a\.gpkg"):
        open_features("a.gpkg", "class", points_crs="EPSG:4326")


@pytest.mark.parametrize(
    "titles, crs, what", [("lat,lon", None, "latitude and longitude"), ("y,x", "EPSG:32614", "x and y")]
)
def test_swapped_titles(tmp_path: Path, titles: str, crs: str | None, what: str) -> None:
    path = tmp_path / "points.csv"
    place = (10.0, 47.0) if crs is None else (556000.0, 5261000.0)
    path.write_text(f"{titles},class\n{place[0]},{place[1]},pond\n")
    source = open_features(str(path), "class", points_crs=crs)
    bounds = (place[0] - 1, place[1] - 1, place[0] + 1, place[1] + 1)
    scene = Extent("scene", "scene.tif", CRS.from_user_input(crs or "EPSG:4326").to_wkt(), bounds)
    assert source.outside([Place.of_extent(scene)]).hint == (
        f"are {what} swapped? Exchange the titles of the two columns in the first line"
    )


COORDINATE = st.floats(-80, 80).map(lambda value: round(value, 7))


@given(
    st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.booleans(),
)
def test_any_coordinates_come_back(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, float]], delimiter: str, comma: bool
) -> None:
    def number(value: float) -> str:
        text = f"{value:.7f}"
        return text.replace(".", ",") if comma and delimiter != "," else text

    lines = [delimiter.join(("lat", "class", "lon"))]
    lines += [delimiter.join((number(y), json.dumps("a b"), number(x))) for x, y in places]
    found = table(tmp_path_factory.mktemp("t"), "\n".join(lines))
    assert np.allclose(xy(found), places, atol=1e-9)


@given(st.binary(max_size=120) | st.text(st.sampled_from("lonat,;\t\n\"'.0159- #wkPOINT()")).map(str.encode))
def test_any_bytes_give_a_table_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("t") / "points.csv"
    for head in (b"", b"lon,lat,class\n", b"wkt;class\n"):
        path.write_bytes(head + data)
        try:
            found = read_point_table(str(path))
        except VectorError as error:
            assert "\n" not in error.message
        else:
            assert np.isfinite(shapely.get_coordinates(found.geometries)).all()
