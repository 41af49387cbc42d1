"""Vector files: what cannot be used says why, and features that can be used are."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS

from bimors_cli.errors import VectorError
from bimors_cli.scene.around import Extent, bounds_around, reproject_around
from bimors_cli.scene.geometries import polygonal_parts
from bimors_cli.scene.vector import check_vector_file
from bimors_cli.scene.vector_crs import check_crs
from bimors_cli.training.examples.vector_features import open_features


def collection_file(path: Path, geometry: Any, crs: str | None = "EPSG:32631", **how: Any) -> str:
    geopandas.GeoDataFrame({"class": ["pond"]}, geometry=[geometry], crs=crs).to_file(path, **how)
    return str(path)


def test_polygons_of_collections() -> None:
    """Google Earth writes a label point next to each polygon, also in nested collections."""
    square, point = shapely.box(0, 0, 1, 1), shapely.Point(5, 5)
    nested = shapely.GeometryCollection([point, shapely.GeometryCollection([shapely.MultiPolygon([square])])])
    lines = shapely.GeometryCollection([point, shapely.LineString([(0, 0), (1, 1)])])
    found = polygonal_parts(np.array([square, nested, lines], object))
    assert found[0].equals(square) and found[1].equals(square) and found[1].geom_type == "MultiPolygon"
    assert found[2] is lines


@pytest.mark.parametrize(
    "crs, bounds, says",
    [
        (None, (0, 0, 1, 1), "has no CRS"),
        ('LOCAL_CS["Undefined Cartesian SRS",UNIT["metre",1]]', (0, 0, 1, 1), "has no CRS: it is recorded as"),
        ('GEOGCS["Undefined geographic SRS",DATUM["u",SPHEROID["u",6378137,298.25]],PRIMEM["G",0],UNIT["d",0.017453]]',
         (0, 0, 1, 1), "has no CRS: it is recorded as 'Undefined geographic SRS'"),
        ("EPSG:4326", (485900, 5.2e6, 488460, 5.21e6), r"in degrees, but the coordinates span \(485900, 5.2e\+06"),
        ("nonsense", (0, 0, 1, 1), "a CRS that PROJ does not know"),
    ],
)  # fmt: skip
def test_a_crs_that_cannot_be(crs: str | None, bounds: tuple[float, ...], says: str) -> None:
    with pytest.raises(VectorError, match=says) as caught:
        check_crs("a.gpkg", crs, bounds)
    assert "ogr2ogr -a_srs" in str(caught.value.hint) and "inf" not in str(caught.value)


def test_crs_that_are_fine() -> None:
    for crs, bounds in (("EPSG:4326", (0, -90, 360, 90)), ("EPSG:32631", (4e5, 5e6, 5e5, 6e6))):
        assert check_crs("a.gpkg", crs, bounds) == crs


def test_an_undefined_geopackage(tmp_path: Path) -> None:
    path = collection_file(tmp_path / "a.gpkg", shapely.box(0, 0, 1, 1), None, SRID="0")
    with pytest.raises(VectorError, match="has no CRS"):
        open_features(path, "class")


def test_longitudes_of_0_to_360() -> None:
    """Features of -180 to 180 degrees are found on a scene of 0 to 360, in the same or another CRS."""
    globe = Extent("scene", "globe.tif", CRS.from_epsg(4326).to_wkt(), (0, -60, 360, 60))
    europe = np.array([shapely.box(-10, 35, 30, 58)], object)
    (found,) = reproject_around(europe, "EPSG:4326", globe, "a.gpkg")
    expected = shapely.union(shapely.box(-10, 35, 30, 58), shapely.box(350, 35, 390, 58))
    assert found.symmetric_difference(expected).area < 1e-9
    america = np.array([shapely.box(-100, 30, -90, 40)], object)
    assert reproject_around(america, "EPSG:4326", globe, "a.gpkg")[0].equals(shapely.box(260, 30, 270, 40))
    assert bounds_around(globe, "EPSG:4326") is None  # all features are read
    metres = shapely.transform(america, lambda xy: xy * 111319.490793)
    (found,) = reproject_around(metres, "EPSG:32662", globe, "a.gpkg")
    assert np.allclose(found.bounds, (260, 30, 270, 40), atol=0.01)


@pytest.mark.parametrize(
    "header, command",
    [
        (
            "id,longitude,latitude,class",
            "-oo X_POSSIBLE_NAMES=longitude -oo Y_POSSIBLE_NAMES=latitude -a_srs EPSG:4326",
        ),
        ("id;Lon;Lat", "-oo X_POSSIBLE_NAMES=Lon -oo Y_POSSIBLE_NAMES=Lat -a_srs EPSG:4326"),
        ("X,Y,z", "-oo X_POSSIBLE_NAMES=X -oo Y_POSSIBLE_NAMES=Y -a_srs EPSG:..."),
        ("a,b", "convert others"),
    ],
)
def test_points_in_a_table(tmp_path: Path, header: str, command: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"{header}\n1,-98.2,47.0,pond\n")
    with pytest.raises(VectorError, match="not in a supported vector format") as caught:
        check_vector_file(str(path))
    assert command in str(caught.value.hint)


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="needs GDAL's programs")
def test_the_command_for_points_works(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("id,longitude,latitude,class\n1,-98.2,47.0,pond\n")
    with pytest.raises(VectorError) as caught:
        check_vector_file(str(path))
    command = str(caught.value.hint).removeprefix("convert it: ")
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    found = geopandas.read_file(tmp_path / "points.gpkg")
    assert found.crs.to_epsg() == 4326 and found.geometry[0].equals(shapely.Point(-98.2, 47.0))
