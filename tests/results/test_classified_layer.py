"""A finished layer, read back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.results.classified_layer import open_recorded_scene, read_classified_layer, read_tiles
from tests.layers import MakeLayer


@pytest.fixture
def scene(make_raster: Any) -> str:
    return str(make_raster(np.full((3, 50, 90), 100, np.uint16)))


def test_what_was_written_comes_back(scene: str, make_layer: MakeLayer) -> None:
    labels = Labels.of(["forest", "river"])
    layer = make_layer(scene, labels=labels, tile_size="20", overlap="5", stretch="50,150", nodata="7")
    result = read_classified_layer(layer)
    (used,) = result.scenes
    assert result.name == "tiles" and result.labels.names == labels.names
    assert (used.grid.tile_width, used.grid.stride_x, used.grid.scene_width) == (20, 15, 90)
    assert str(used.stretch) == "range 50..150 50..150 50..150" and str(used.nodata) == "7" and used.bands == (1, 2, 3)
    tiles = read_tiles(result, used)
    assert len(tiles.windows) == len(used.grid)
    assert tiles.windows[-1].tolist() == [75, 30, 90, 50]
    assert tiles.text["label"][:2] == ["forest", "river"] and tiles.text["label"][9] is None
    assert tiles.number["confidence_2"][1] == pytest.approx(0.95)


def test_a_layer_in_longitudes_across_the_antimeridian(make_raster: Any, make_layer: MakeLayer) -> None:
    path = make_raster(
        np.zeros((3, 40, 40), np.uint8), crs="EPSG:32660", transform=Affine(100, 0, 832_000, 0, -100, 2000)
    )
    layer = make_layer(path, tile_size="20", dst_crs="EPSG:4326")
    result = read_classified_layer(layer)
    with open_recorded_scene(result) as (used, _):
        tiles = read_tiles(result, used)
    assert tiles.windows.tolist() == [[0, 0, 20, 20], [20, 0, 40, 20], [0, 20, 20, 40], [20, 20, 40, 40]]
    assert {polygon.geom_type for polygon in tiles.polygons} == {"MultiPolygon"}


def test_drawn_features_without_a_place_are_left_out(
    scene: str, make_layer: MakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make_layer(scene, tile_size="30")
    change(layer, "UPDATE tiles SET \"row\" = NULL WHERE tile_id = 'scene/0/0'")
    change(layer, "UPDATE tiles SET \"col\" = 99 WHERE tile_id = 'scene/0/1'")
    result = read_classified_layer(layer)
    assert len(read_tiles(result, result.scenes[0]).windows) == 4
    assert "skipped 2 features" in caplog.text


def test_a_renamed_layer_is_found(scene: str, make_layer: MakeLayer) -> None:
    assert read_classified_layer(make_layer(scene, tile_size="30", layer="Kacheln neu")).name == "Kacheln neu"


def test_a_damaged_provenance_is_one_line(scene: str, make_layer: MakeLayer) -> None:
    layer = make_layer(scene, tile_size="30")
    with closing(sqlite3.connect(layer)) as database, database:
        rows = database.execute("SELECT id, metadata FROM gpkg_metadata").fetchall()
        for number, text in rows:
            changed = text.replace("&quot;pixels&quot;", "&quot;pix&quot;").replace('"pixels"', '"pix"')
            assert changed != text
            database.execute("UPDATE gpkg_metadata SET metadata = ? WHERE id = ?", (changed, number))
    with pytest.raises(InputError, match="invalid provenance") as error:
        read_classified_layer(layer)
    assert "\n" not in str(error.value)


def test_a_foreign_geopackage_is_refused(tmp_path: Path) -> None:
    import geopandas
    import shapely

    path = tmp_path / "roads.gpkg"
    geopandas.GeoDataFrame({"name": ["A1"]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32618").to_file(path)
    with pytest.raises(InputError, match="holds no layer of bimors classify"):
        read_classified_layer(path)
    row: dict[str, list[Any]] = {
        name: [None] for name in ("tile_id", "scene", "row", "col", "label", "confidence", "reason", "caption")
    }
    copy = tmp_path / "copy.gpkg"
    geopandas.GeoDataFrame(row, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32618").to_file(copy)
    with pytest.raises(InputError, match="has no provenance of bimors classify"):
        read_classified_layer(copy)


def change(layer: Path, statement: str) -> None:
    with closing(sqlite3.connect(layer)) as database, database:
        # GDAL's triggers call functions that SQLite alone has not.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        assert database.execute(statement).rowcount == 1
