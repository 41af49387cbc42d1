"""A layer that classify wrote, corrected as QGIS would."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.predictions import read_predictions
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.corrected_layer import from_layer
from bimors_cli.training.examples.few_shot import few_shot
from tests import api
from tests.conftest import MakeRaster

LABELS = ["river", "forest", "bare land"]
Edit = Callable[..., None]


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 3000, (3, 70, 100), dtype=np.uint16)


@pytest.fixture
def layer(tiny_bundle: Bundle, make_raster: MakeRaster, data: np.ndarray, tmp_path: Path) -> Path:
    """The layer of a 16-bit scene with a hole: 4 x 3 tiles of 32, the tile in the middle of the first row empty."""
    data[:, :32, 32:64] = 0
    scene = make_raster(data, nodata=0, name="coast.tif")
    out = tmp_path / "out" / "coast.gpkg"
    out.parent.mkdir()
    api.classify(
        scene, LABELS, out, model=str(tiny_bundle.folder), tile_size="32", device="cpu", keep_empty=True, bidx=(3, 2, 1)
    )
    return out


def edit(path: Path, *statements: str) -> None:
    for statement in statements:
        _execute(path, statement)


def _execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        # The layer's triggers keep its spatial index; they need functions that GDAL brings.
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _geometry: 0)
        database.execute(statement)


def relabel(path: Path, **labels: str | None) -> None:
    """Give tiles (as r0c1) another label."""
    for place, label in labels.items():
        row, col = place[1:].split("c")
        text = "NULL" if label is None else f"'{label}'"
        _execute(path, f"UPDATE tiles SET label = {text} WHERE row = {row} AND col = {col}")


def another(path: Path, row: int, col: int) -> str:
    """A label that the tile does not have."""
    predicted = (read_predictions(path) or {})[f"coast/{row}/{col}"]
    return next(name for name in LABELS if name != predicted)


def labelled(examples: Examples) -> dict[str, str]:
    return {example.source_id: examples.labels.names[example.label] for example in examples.examples}


def test_what_was_predicted_is_in_the_file_and_no_layer(layer: Path) -> None:
    frame = pyogrio.read_dataframe(layer, layer="tiles")
    assert read_predictions(layer) == {
        tile: None if label is None or label != label else label
        for tile, label in zip(frame["tile_id"], frame["label"], strict=True)
    }
    assert pyogrio.list_layers(layer)[:, 0].tolist() == ["tiles", "layer_styles"]


def test_changed_rows_are_examples(layer: Path, tmp_path: Path, data: np.ndarray) -> None:
    first, second = another(layer, 0, 0), another(layer, 2, 3)
    relabel(layer, r0c0=first, r2c3=second)
    examples = from_layer(layer, image_size=16)
    assert labelled(examples) == {"coast/0/0": first, "coast/2/3": second}
    assert examples.labels.names == tuple(LABELS) and examples.optional == {0, 1, 2} and examples.name == "coast"
    assert {example.spatial_block for example in examples.examples} == {"coast/0/0"}
    # The picture of the run: its grid, bands, stretch, nodata and padding.
    (plan,) = plan_scenes([str(tmp_path / "coast.tif")], SceneOptions(tile_size="32", bidx=(3, 2, 1)))
    for index, tile in enumerate((plan.grid.tile(0, 0), plan.grid.tile(2, 3))):
        with SceneReader(plan.info, plan.grid, plan.bands, plan.stretch, plan.nodata) as reader:
            expected = read_tile(reader, tile, 16).image
        image = examples.images.read(index)
        assert image is not None and (image == expected).all()


def test_a_bar_in_what_was_typed_is_a_letter(layer: Path) -> None:
    relabel(layer, r0c0="forest | woodland", r2c3="a|b")
    examples = from_layer(layer, image_size=16)
    assert labelled(examples) == {"coast/0/0": "forest | woodland", "coast/2/3": "a|b"}
    assert examples.labels.names == (*LABELS, "a|b", "forest | woodland") and not examples.labels.synonyms


def test_a_synonym_of_the_run_that_was_typed_is_its_label(
    tiny_bundle: Bundle, make_raster: MakeRaster, data: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out.gpkg"
    labels = ["river | stream", "forest | Wood_Land", "bare land"]
    options = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu"}
    api.classify(make_raster(data, name="coast.tif"), labels, out, **options)
    relabel(out, r0c0=None, r2c3=None)
    relabel(out, r0c0="wood_land ", r2c3="STREAM")
    edit(out, "ALTER TABLE tiles ADD COLUMN checked BOOLEAN", "UPDATE tiles SET checked = 1 WHERE row + col IN (0, 5)")
    examples = from_layer(out, image_size=16)
    assert labelled(examples) == {"coast/0/0": "forest", "coast/2/3": "river"}
    assert examples.labels.names == ("river", "forest", "bare land")


def test_the_bundle_is_told(layer: Path, tiny_bundle: Bundle) -> None:
    relabel(layer, r0c0=another(layer, 0, 0))
    description = from_layer(layer, image_size=16).description
    assert (description["bundle"], description["bundle_sha256"]) == (tiny_bundle.name, tiny_bundle.sha256)


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        ("BOOLEAN", "1", "0"),
        ("MEDIUMINT", "1", "0"),
        ("REAL", "1.0", "NULL"),
        ("TEXT", "'Yes'", "''"),
        ("TEXT", "'x'", "'no'"),
    ],
)
def test_checked_rows_are_examples(layer: Path, kind: str, yes: str, no: str) -> None:
    changed = another(layer, 2, 2)
    relabel(layer, r2c2=changed)
    edit(
        layer,
        f"ALTER TABLE tiles ADD COLUMN checked {kind}",
        f"UPDATE tiles SET checked = {no} WHERE row = 1",
        f"UPDATE tiles SET checked = {yes} WHERE row = 1 AND col IN (1, 3)",
    )
    predicted = read_predictions(layer) or {}
    assert labelled(from_layer(layer, image_size=16)) == {
        "coast/1/1": predicted["coast/1/1"],
        "coast/1/3": predicted["coast/1/3"],
        "coast/2/2": changed,
    }


def test_new_words_come_last(layer: Path, caplog: pytest.LogCaptureFixture) -> None:
    relabel(layer, r0c0="salt marsh", r0c3=" kelp ", r1c0="Kelp")
    examples = from_layer(layer, image_size=16)
    assert examples.labels.names == (*LABELS, "kelp", "salt marsh")
    assert labelled(examples) == {"coast/0/0": "salt marsh", "coast/0/3": "kelp", "coast/1/0": "kelp"}
    assert "labels that the run did not have: 'kelp', 'salt marsh'" in caplog.text
    assert examples.optional == {0, 1, 2}
    sample = few_shot(examples, 1, 0)
    assert {examples.examples[i].label for i in sample.train} == {3, 4} and not sample.short


def test_case_and_blanks_are_no_correction(layer: Path) -> None:
    predicted = (read_predictions(layer) or {})["coast/0/0"]
    assert predicted is not None
    relabel(layer, r0c0=f" {predicted.upper()} ", r1c0=another(layer, 1, 0))
    assert set(labelled(from_layer(layer, image_size=16))) == {"coast/1/0"}


def test_weights(layer: Path) -> None:
    relabel(layer, r0c0=another(layer, 0, 0), r1c0=another(layer, 1, 0))
    edit(layer, "ALTER TABLE tiles ADD COLUMN weight REAL", "UPDATE tiles SET weight = 2.5 WHERE row = 1")
    assert [e.weight for e in from_layer(layer, image_size=16).examples] == [1.0, 2.5]
    edit(layer, "UPDATE tiles SET weight = 0 WHERE row = 1")
    with pytest.raises(InputError, match=r"coast/1/0: weight is 0.0"):
        from_layer(layer, image_size=16)


def test_rows_without_a_label_or_data_are_left_out(layer: Path, caplog: pytest.LogCaptureFixture) -> None:
    relabel(layer, r0c0=None, r0c1="forest", r2c2=another(layer, 2, 2))
    assert set(labelled(from_layer(layer, image_size=16))) == {"coast/2/2"}
    assert "1 corrected rows without label" in caplog.text and "1 corrected rows without data" in caplog.text


def test_rows_that_are_no_tiles_are_left_out(layer: Path, caplog: pytest.LogCaptureFixture) -> None:
    relabel(layer, r2c2=another(layer, 2, 2))
    edit(
        layer,
        "INSERT INTO tiles (tile_id, label) VALUES ('coast/9/0', 'forest'), (NULL, 'river'), ('by hand', 'river')",
    )
    assert set(labelled(from_layer(layer, image_size=16))) == {"coast/2/2"}
    assert caplog.text.count("not a tile of the run") == 3


def test_one_tile_with_two_labels(layer: Path) -> None:
    relabel(layer, r2c2="kelp")
    edit(layer, "INSERT INTO tiles (tile_id, label) VALUES ('coast/2/2', 'kelp')")
    assert len(from_layer(layer, image_size=16)) == 1
    edit(layer, "INSERT INTO tiles (tile_id, label) VALUES ('coast/2/2', 'moor')")
    with pytest.raises(InputError, match="coast/2/2: two rows with different labels"):
        from_layer(layer, image_size=16)


def test_a_scene_that_moved_is_found_beside_the_layer(layer: Path, tmp_path: Path) -> None:
    relabel(layer, r0c0=another(layer, 0, 0))
    expected = from_layer(layer, image_size=16).images.read(0)
    shutil.move(tmp_path / "coast.tif", layer.parent / "coast.tif")
    image = from_layer(layer, image_size=16).images.read(0)
    assert image is not None and expected is not None and (image == expected).all()
    os.remove(layer.parent / "coast.tif")
    with pytest.raises(InputError, match=r"the scene of .* does not exist") as caught:
        from_layer(layer, image_size=16)
    assert caught.value.hint and str(layer.parent / "coast.tif") in caught.value.hint


def test_another_scene_in_its_place(layer: Path, make_raster: MakeRaster) -> None:
    relabel(layer, r0c0=another(layer, 0, 0))
    make_raster(np.ones((3, 70, 99), np.uint16), name="coast.tif")
    with pytest.raises(InputError, match="has 99 x 70 pixels, the scene of"):
        from_layer(layer, image_size=16)


def test_a_renamed_layer(layer: Path) -> None:
    relabel(layer, r0c0=another(layer, 0, 0))
    _execute(layer, "ALTER TABLE tiles RENAME TO mine")
    _execute(layer, "UPDATE gpkg_contents SET table_name = 'mine', identifier = 'mine' WHERE table_name = 'tiles'")
    _execute(layer, "UPDATE gpkg_geometry_columns SET table_name = 'mine' WHERE table_name = 'tiles'")
    _execute(layer, "UPDATE gpkg_metadata_reference SET table_name = 'mine' WHERE table_name = 'tiles'")
    assert set(labelled(from_layer(layer, image_size=16))) == {"coast/0/0"}
    with pytest.raises(InputError, match="has no layer 'tiles'") as caught:
        from_layer(layer, "tiles", image_size=16)
    assert caught.value.hint and "--layer: mine" in caught.value.hint


def test_a_copy_without_the_record_needs_checked(layer: Path, tmp_path: Path) -> None:
    relabel(layer, r0c0="forest")
    copy = tmp_path / "copy.gpkg"
    if shutil.which("ogr2ogr") is None:
        shutil.copy(layer, copy)
        _execute(copy, "DROP TABLE bimors_predictions")
    else:
        subprocess.run(["ogr2ogr", copy, layer], check=True, capture_output=True)
    with pytest.raises(InputError, match="holds no predicted labels") as caught:
        from_layer(copy, image_size=16)
    assert caught.value.hint and "`checked`" in caught.value.hint
    edit(copy, "ALTER TABLE tiles ADD COLUMN checked BOOLEAN", "UPDATE tiles SET checked = 1 WHERE row = 0 AND col = 0")
    assert labelled(from_layer(copy, image_size=16)) == {"coast/0/0": "forest"}


def test_refused(layer: Path, tmp_path: Path, make_raster: MakeRaster) -> None:
    def refusal(path: Path, name: str | None = None) -> str:
        with pytest.raises(InputError) as caught:
            from_layer(path, name, image_size=16)
        assert caught.value.exit_code == 2 and caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint
        return caught.value.message

    assert "no row of tiles is corrected or checked" in refusal(layer)
    assert "has no layer 'other'" in refusal(layer, "other")
    assert "does not exist" in refusal(tmp_path / "none.gpkg")
    geopandas.read_file(layer, layer="tiles").to_file(tmp_path / "export.gpkg", layer="tiles")
    assert "has no provenance of bimors classify" in refusal(tmp_path / "export.gpkg")
    edit(layer, "ALTER TABLE tiles ADD COLUMN checked TEXT", "UPDATE tiles SET checked = 'perhaps'")
    assert "invalid value 'perhaps' in column checked" in refusal(layer)
    _execute(layer, "ALTER TABLE tiles DROP COLUMN tile_id")
    assert "has no column tile_id" in refusal(layer)


def test_a_plain_picture_comes_back_with_its_assumed_crs(
    tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path
) -> None:
    scene = make_raster(np.random.default_rng(1).integers(0, 255, (3, 64, 64), np.uint8), crs=None)
    options: dict[str, Any] = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu"}
    out = api.classify(scene, LABELS, tmp_path / "out.gpkg", assume_crs="EPSG:32618", **options).output
    assert out is not None
    _execute(Path(out), "UPDATE tiles SET label = 'moor' WHERE row = 0")
    examples = from_layer(Path(out), image_size=16)
    assert len(examples) == 2 and examples.images.read(1) is not None


def test_a_layer_that_is_open_elsewhere(layer: Path) -> None:
    """QGIS keeps the file open, in its write-ahead mode."""
    with closing(sqlite3.connect(layer)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        _execute(layer, "UPDATE tiles SET label = 'moor' WHERE row = 2 AND col = 0")
        database.execute("SELECT count(*) FROM tiles").fetchone()
        assert labelled(from_layer(layer, image_size=16)) == {"coast/2/0": "moor"}


def test_nothing_is_left_beside_the_layer(layer: Path) -> None:
    relabel(layer, r0c0=another(layer, 0, 0))
    before = sorted(os.listdir(layer.parent))
    from_layer(layer, image_size=16)
    assert sorted(os.listdir(layer.parent)) == before
