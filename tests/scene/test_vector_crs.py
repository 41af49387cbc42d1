"""The CRS of a vector file."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
import shapely
from pyproj import CRS

from bimors_cli.errors import VectorError
from bimors_cli.scene.feature_counts import Place, nothing_inside
from bimors_cli.scene.vector_crs import SWAPPED, check_crs
from bimors_cli.training.examples.vector_features import open_features


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


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_undefined_geopackage(tmp_path: Path) -> None:
    path = str(tmp_path / "a.gpkg")
    geopandas.GeoDataFrame({"class": ["pond"]}, geometry=[shapely.box(0, 0, 1, 1)]).to_file(path, SRID="0")
    with pytest.raises(VectorError, match="has no CRS"):
        open_features(path, "class")


def test_a_shapefile_without_prj(tmp_path: Path) -> None:
    path = str(tmp_path / "a.shp")
    geopandas.GeoDataFrame({"class": ["pond"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32631).to_file(path)
    (tmp_path / "a.prj").unlink()
    with pytest.raises(VectorError, match=r"has no CRS: .*a\.prj is missing"):
        open_features(path, "class")


@pytest.mark.parametrize("crs, kind", [("EPSG:4978", "geocentric"), ("EPSG:5703", "vertical")])
def test_crs_that_are_not_horizontal(crs: str, kind: str) -> None:
    with pytest.raises(VectorError, match=f"has the {kind} CRS"):
        check_crs("a.gpkg", crs, (0, 0, 1, 1))


def test_a_local_crs_and_a_compound_one_are_fine() -> None:
    for crs in ('LOCAL_CS["site",UNIT["metre",1]]', "EPSG:7415"):
        assert check_crs("a.gpkg", crs, (1e5, 4e5, 2e5, 5e5)) == crs


def test_latitudes_beyond_the_pole() -> None:
    """Latitude before longitude in America, and metres that are small."""
    with pytest.raises(VectorError, match="latitudes beyond 90") as caught:
        check_crs("a.gpkg", "EPSG:4326", (39, -99, 40, -98))
    assert "swapped?" in str(caught.value.hint)
    with pytest.raises(VectorError, match="latitudes beyond 90") as caught:
        check_crs("a.gpkg", "EPSG:4326", (100, 100, 200, 200))
    assert "-a_srs" in str(caught.value.hint)
    assert check_crs("a.gpkg", "EPSG:4807", (0, 0, 10, 100)) == "EPSG:4807"  # grads


def test_swapped_axes() -> None:
    europe = Place("eu.tif", CRS.from_epsg(32631).to_wkt(), shapely.box(450_000, 5_100_000, 550_000, 5_200_000))

    def look_swapped(crs: str, bounds: tuple[float, float, float, float]) -> bool:
        return nothing_inside("a.gpkg", crs, bounds, [europe]).hint == SWAPPED

    assert look_swapped("EPSG:4326", (46.5, 2.5, 47, 3))
    assert look_swapped("EPSG:32631", (5_150_000, 460_000, 5_180_000, 480_000))
    assert not look_swapped("EPSG:4326", (2.5, 46.5, 3, 47))
    assert not look_swapped("EPSG:4326", (60, 10, 61, 11))
    assert not look_swapped("EPSG:4326", (-60, -60, 60, 60))  # around the scene, but with no feature in it
