"""The CSV and the KML of a sample: the same tiles, in degrees, without the labels of the map."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from bimors_cli.errors import OutputExistsError
from bimors_cli.evaluation.areas.companions import COLUMNS, in_degrees, write_csv, write_kml
from bimors_cli.evaluation.areas.places import centres
from bimors_cli.scene.positions import earth_centred
from tests.evaluation.areas.samples import drawn_tiles

UTM, WGS84 = pyproj.CRS.from_epsg(32618), pyproj.CRS.from_epsg(4326)
LABELS = ("river", None, 'a "b", c', "=1+1")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_of_centres(tmp_path: Path) -> None:
    tiles = drawn_tiles(LABELS, scenes=('s "é", 1.tif',) * 4)
    write_csv(tmp_path / "s.csv", tiles, UTM)
    header = (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == ",".join(COLUMNS) == "tile_id,scene,row,col,longitude,latitude,reference,note"
    found = rows(tmp_path / "s.csv")
    assert [row["tile_id"] for row in found] == list(tiles.tile_ids)
    assert found[2] | {"longitude": "", "latitude": ""} == dict(
        zip(COLUMNS, ("s/2/0", 's "é", 1.tif', "2", "0", "", "", "", ""), strict=True)
    )
    # On the central meridian of the zone + 50 m, whose scale there is 0.9996.
    back = pyproj.Transformer.from_crs(WGS84, UTM, always_xy=True)
    places = [back.transform(float(row["longitude"]), float(row["latitude"])) for row in found]
    np.testing.assert_allclose(places, [(500_050, 4_600_050 + 100 * n) for n in range(4)], atol=0.02)


def test_outlines_for_google_earth(tmp_path: Path) -> None:
    tiles = drawn_tiles(LABELS)
    write_kml(tmp_path / "s.kml", tiles, UTM)
    found = pyogrio.read_dataframe(tmp_path / "s.kml")
    assert found["Name"].tolist() == list(tiles.tile_ids) and found.crs.to_epsg() == 4326
    back = found.geometry.to_crs(UTM).to_numpy()
    assert shapely.area(shapely.symmetric_difference(back, tiles.polygons)).max() < 0.1  # of 10,000 m2
    text = (tmp_path / "s.kml").read_text(encoding="utf-8")
    assert "river" not in text and "=1+1" not in text and text.count("<fill>0</fill>") == 4


@pytest.mark.parametrize("write", [write_csv, write_kml])
def test_the_label_is_shown_on_demand_and_files_are_not_replaced(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "s.out"
    write(path, drawn_tiles(LABELS), UTM, show_label=True)
    assert "map_label" in path.read_text(encoding="utf-8") and "=1+1" in path.read_text(encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(OutputExistsError):
        write(path, drawn_tiles(["other"]), UTM)
    assert path.read_bytes() == before
    write(path, drawn_tiles(["other"]), UTM, overwrite=True)
    assert path.read_bytes() != before


def test_a_tile_across_the_antimeridian(tmp_path: Path) -> None:
    parts = shapely.MultiPolygon([shapely.box(178, 0, 180, 1), shapely.box(-180, 0, -179.5, 1)])
    tiles = drawn_tiles(["river"], polygons=np.array([parts], object))
    assert centres(tiles.polygons, WGS84).tolist() == [[179, 0.5]]
    assert in_degrees(tiles.polygons, WGS84)[0] is parts
    nad83 = pyproj.CRS.from_epsg(4269)
    assert shapely.bounds(in_degrees(tiles.polygons, nad83)).round(3).tolist() == [[-180, 0, 180, 1]]
    write_kml(tmp_path / "s.kml", tiles, WGS84)
    assert pyogrio.read_dataframe(tmp_path / "s.kml").geometry[0].equals(parts)
    # In the CRS of the scene the tile is one polygon on both sides.
    zone = pyproj.CRS.from_epsg(32701)
    x, y = pyproj.Transformer.from_crs(4326, zone, always_xy=True).transform(-180, -17)
    found = in_degrees(np.array([shapely.box(x - 500, y, x + 500, y + 1000)], object), zone)
    assert found[0].geom_type == "MultiPolygon" and shapely.bounds(found).round(1).tolist() == [[-180, -17, 180, -17]]


def test_distances_are_those_on_the_ground() -> None:
    one, other = np.array([[7.0, 51.0]]), np.array([[7.01, 51.005]])
    metres = float(np.linalg.norm(earth_centred(one, WGS84.to_wkt()) - earth_centred(other, WGS84.to_wkt())))
    assert metres == pytest.approx(pyproj.Geod(ellps="WGS84").inv(7, 51, 7.01, 51.005)[2], abs=0.001)
