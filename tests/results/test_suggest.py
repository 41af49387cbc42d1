"""Tiles to label next, of a layer with features."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

import bimors_cli
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.evaluation.areas.sample import sample as draw_sample
from bimors_cli.options.sample import SampleOptions
from bimors_cli.options.suggest import SuggestOptions
from bimors_cli.output.image_features import add_features
from bimors_cli.output.predictions import read_predictions
from bimors_cli.results.classified_layer import read_classified_layer
from bimors_cli.results.suggest import suggest
from bimors_cli.scene.tile_set import TileSet
from bimors_cli.training.examples.corrected_layer import from_layer
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.training.examples.test_corrected_layer import edit

__all__ = ["make_layer"]

SIDE = 8


@pytest.fixture
def layer(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """400 tiles with features: 120 of each class, 40 without a label."""
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 160, 160), dtype=np.uint8))
    path = make_layer(str(scene), tile_size=str(SIDE))
    with_features(path)
    return path


def with_features(path: Path, order: int = 1) -> None:
    ids = pyogrio.read_dataframe(path, layer="tiles", read_geometry=False)["tile_id"].tolist()
    values = np.random.default_rng(1).normal(size=(len(ids), 4)).astype("<f2")
    rows = list(zip(ids, values, strict=True))[::order]
    add_features(path, "tiles", ((one, row.tobytes()) for one, row in rows))


def frame_of(path: Path) -> geopandas.GeoDataFrame:
    return pyogrio.read_dataframe(path, layer="suggestions")


def run(layer: Path, **given: Any) -> Any:
    output = layer.with_name("s.gpkg")
    return suggest(SuggestOptions(file=layer, output=output, overwrite=True, **given))


def test_a_layer_ready_for_correction(layer: Path) -> None:
    summary = run(layer, tiles=12)
    found, tiles = frame_of(summary.path), pyogrio.read_dataframe(layer, layer="tiles").set_index("tile_id")
    assert found["rank"].tolist() == list(range(1, 13)) and found["tile_id"].is_unique
    assert found["checked"].tolist() == [0] * 12 and summary.left == 400 and sum(summary.labels.values()) == 12
    same = tiles.loc[found["tile_id"]]
    for name in ("label", "confidence", "reason", "row", "col"):
        assert found[name].astype(object).fillna("-").tolist() == same[name].astype(object).fillna("-").tolist()
    assert shapely.equals(found.geometry.to_numpy(), same.geometry.to_numpy()).all() and found.crs == tiles.crs
    assert (found["gain"].diff().dropna() <= 1e-4).all() and found["unlike"].between(0, 1).all()
    predicted = read_predictions(summary.path, "suggestions") or {}
    assert predicted == {one.tile_id: one.label for one in summary.suggestions} and None in predicted.values()


def test_finetune_takes_the_rows_that_were_checked_or_changed(layer: Path) -> None:
    path = run(layer, tiles=12).path
    found = frame_of(path)
    with pytest.raises(InputError, match="no row of suggestions is corrected or checked"):
        from_layer(path, image_size=16)
    labelled = found[found["label"].notna()]
    ticked, changed = labelled.iloc[0], labelled.iloc[1]
    other = next(name for name in ("forest", "river") if name != changed["label"])
    edit(path, f"UPDATE suggestions SET checked = 1 WHERE tile_id = '{ticked['tile_id']}'")
    edit(path, f"UPDATE suggestions SET label = '{other}' WHERE tile_id = '{changed['tile_id']}'")
    examples = from_layer(path, image_size=16)
    assert {one.source_id: examples.labels.names[one.label] for one in examples.examples} == {
        ticked["tile_id"]: ticked["label"],
        changed["tile_id"]: other,
    }
    assert examples.images.read(0) is not None


@given(st.integers(1, 500), st.integers(0, 5), st.sampled_from([0.0, 2.5, 7.0]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_distinct_tiles_that_keep_their_distance(layer: Path, count: int, seed: int, apart: float) -> None:
    pixel = pyogrio.read_dataframe(layer, layer="tiles", max_features=1).geometry.iloc[0].area ** 0.5 / SIDE
    summary = run(layer, tiles=count, seed=seed, min_distance=apart * SIDE * pixel)
    ids = [one.tile_id for one in summary.suggestions]
    assert len(set(ids)) == len(ids) <= count and (apart or len(ids) == min(count, 400))
    places = [(one.row, one.col) for one in summary.suggestions]
    # A grid in a projected CRS: distances on the ground differ from those of the map by less than a thousandth.
    assert all(np.hypot(a - c, b - d) >= apart * 0.999 for (a, b), (c, d) in combinations(places, 2))


def test_the_order_of_the_rows_has_no_effect_and_the_seed_decides(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bimors_cli.results.suggest.CANDIDATES", 60)
    monkeypatch.setattr("bimors_cli.results.suggest.REFERENCE", 50)
    first = run(layer, seed=3).suggestions
    assert first == run(layer, seed=3).suggestions != run(layer, seed=4).suggestions
    with closing(sqlite3.connect(layer)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE tiles SET fid = -fid")
    rows = [*sqlite3.connect(layer).execute("SELECT tile_id, feature FROM bimors_features")][::-1]
    add_features(layer, "tiles", rows)
    assert run(layer, seed=3).suggestions == first


def test_what_is_never_suggested(layer: Path, tmp_path: Path) -> None:
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    # A point in each tile of the first row, polygons of whole tiles in another CRS, and a sample.
    points = tiles[tiles["row"] == 0][["geometry"]].copy()
    points.geometry = points.geometry.representative_point()
    points.to_file(tmp_path / "points.gpkg")
    tiles[tiles["row"] == 5][["geometry"]].to_crs(4326).to_file(tmp_path / "train.geojson")
    sample = tmp_path / "sample.gpkg"
    draw_sample(SampleOptions(file=layer, output=sample, tiles=50, design="random"))
    with closing(sqlite3.connect(layer)) as database:
        database.execute("ALTER TABLE tiles ADD COLUMN checked TEXT")
        database.commit()
    edit(layer, "UPDATE tiles SET checked = 'yes' WHERE \"row\" = 7", "UPDATE tiles SET label = 'moor' WHERE col = 9")
    summary = run(
        layer,
        tiles=400,
        examples=(str(tmp_path / "train.geojson"),),
        exclude=(str(tmp_path / "points.gpkg"), str(sample)),
    )
    drawn = set(pyogrio.read_dataframe(sample, layer="sample")["tile_id"])
    found = {one.tile_id for one in summary.suggestions}
    left = tiles[~tiles["row"].isin([0, 5, 7]) & (tiles["col"] != 9) & ~tiles["tile_id"].isin(drawn)]
    # Neighbours of polygons are left, as they only touch them.
    assert found == set(left["tile_id"]) and summary.left == len(left)
    assert summary.examples == 20 and summary.corrected == 39
    assert summary.excluded == len(drawn | set(tiles[tiles["row"] == 0]["tile_id"]))


def test_examples_count_as_known_and_excluded_tiles_do_not(layer: Path, tmp_path: Path) -> None:
    near = run(layer, tiles=1).suggestions[0]
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    tiles[tiles["tile_id"] == near.tile_id][["geometry"]].to_file(tmp_path / "one.gpkg")
    known = run(layer, tiles=1, examples=(str(tmp_path / "one.gpkg"),)).suggestions[0]
    excluded = run(layer, tiles=1, exclude=(str(tmp_path / "one.gpkg"),)).suggestions[0]
    assert near.tile_id not in (known.tile_id, excluded.tile_id)
    assert excluded.unlike == 1.0 > known.unlike


def test_examples_that_the_layer_records_count_as_those_of_a_file(layer: Path, tmp_path: Path) -> None:
    (scene,) = read_classified_layer(layer).scenes
    chosen = [7, 8, 90, 250]
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    at = tiles["row"].to_numpy() * scene.grid.cols + tiles["col"].to_numpy()
    tiles[np.isin(at, chosen)][["geometry"]].to_file(tmp_path / "some.gpkg")
    given = run(layer, examples=(str(tmp_path / "some.gpkg"),))
    recorded = TileSet.of(scene.name, CRS.from_wkt(scene.crs_wkt), scene.transform, scene.grid, chosen)
    entry = f'<MDI key="bimors_examples">{escape(json.dumps([recorded.to_json()]))}</MDI></Metadata>'
    with closing(sqlite3.connect(layer)) as database, database:
        database.execute("UPDATE gpkg_metadata SET metadata = replace(metadata, '</Metadata>', ?)", (entry,))
    found = run(layer)
    assert found.examples == given.examples == 4
    assert [one.tile_id for one in found.suggestions] == [one.tile_id for one in given.suggestions]


def test_tiles_without_data_are_not_suggested(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    def answer(index: int) -> dict[str, Any]:
        return {"reason": "nodata"} if index % 2 else {"ranking": ((0, 0.9), (1, 0.1))}

    scene = make_raster(np.ones((3, 32, 32), np.uint8))
    path = make_layer(str(scene), tile_size="8", keep_empty=True, answer=answer)
    with_features(path)
    assert {one.reason for one in run(path, tiles=99).suggestions} == {None}
    assert len(run(path, tiles=99).suggestions) == 8


def test_errors(layer: Path, make_layer: MakeLayer, tmp_path: Path) -> None:
    options = SuggestOptions(file=layer, output=tmp_path / "s.gpkg")
    suggest(options)
    with pytest.raises(OutputExistsError):
        suggest(options)
    everything = geopandas.GeoDataFrame(geometry=[shapely.box(-180, -89, 180, 89)], crs=4326)
    everything.to_file(tmp_path / "all.gpkg")
    with pytest.raises(InputError, match="no tile of layer 'tiles' is left"):
        suggest(replace(options, exclude=(str(tmp_path / "all.gpkg"),), overwrite=True))
    with closing(sqlite3.connect(layer)) as database, database:
        database.execute("DROP TABLE bimors_features")
    with pytest.raises(InputError, match="has no image features") as error:
        suggest(replace(options, overwrite=True))
    assert "--keep-features" in str(error.value.hint)
    with pytest.raises(InputError, match="is the layer itself"):
        SuggestOptions(file=layer, output=layer)
    with pytest.raises(InputError, match="only a GeoPackage"):
        SuggestOptions(file=layer, output=tmp_path / "s.geojson")


def test_the_function_of_the_package(layer: Path, tmp_path: Path) -> None:
    summary = bimors_cli.suggest(layer, tmp_path / "s.gpkg", bimors_cli.SuggestOptions(tiles=3))
    assert summary.path == tmp_path / "s.gpkg" and len(frame_of(summary.path)) == len(summary.suggestions) == 3


def test_the_style_has_a_form(layer: Path) -> None:
    path = run(layer, tiles=3).path
    with closing(sqlite3.connect(path)) as database:
        ((text,),) = database.execute("SELECT styleQML FROM layer_styles").fetchall()
    root = ET.fromstring(text)
    widgets = {
        field.get("name"): field.find("editWidget")
        for field in root.iter("field")
        if field.find("editWidget") is not None
    }
    kinds = {name: widget.get("type") for name, widget in widgets.items() if widget is not None}
    assert set(kinds) == set(frame_of(path).columns) - {"geometry"}
    assert (kinds["label"], kinds["checked"], kinds["tile_id"]) == ("ValueMap", "CheckBox", "TextEdit")
    entries = widgets["label"].findall("./config/Option/Option/Option/Option")
    assert [one.get("value") for one in entries] == ["forest", "river", "harbour"]
    editable = {one.get("name") for one in root.findall("./editable/field") if one.get("editable") == "1"}
    assert editable == {"label", "checked"}
    assert {"Fields", "Forms", "Symbology"} <= set(str(root.get("styleCategories")).split("|"))
