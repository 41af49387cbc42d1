"""A layer that search wrote, judged as in QGIS, becomes examples of the class that was searched and of others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

import bimors_cli
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, SceneError
from bimors_cli.options.search import SearchOptions
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.examples.found_layer import from_found
from bimors_cli.training.options import FinetuneOptions
from tests import api
from tests.conftest import NORTH_UP
from tests.found import edited, judge

LABELS = ["river | stream", "forest", "bare land"]
RUN: dict[str, Any] = {"tile_size": "32", "device": "cpu", "keep_features": True, "captions": False}


def write_raster(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "crs": "EPSG:32618", "transform": NORTH_UP}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", **profile) as dataset:
        dataset.write(pixels)


@pytest.fixture(scope="module")
def classified(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with coast.tif, 4 x 3 tiles of 32, and the layer out.gpkg."""
    folder = tmp_path_factory.mktemp("classified")
    noise = np.random.default_rng(0).integers(1, 255, (3, 96, 128), dtype=np.uint8)
    write_raster(folder / "coast.tif", noise)
    api.classify(folder / "coast.tif", LABELS, folder / "out.gpkg", model=str(tiny_bundle.folder), **RUN)
    return folder


@pytest.fixture
def folder(classified: Path, tmp_path: Path) -> Path:
    """A copy of it, with found.gpkg: all tiles by their likeness to coast/0/0."""
    copy = Path(shutil.copytree(classified, tmp_path / "work"))
    search(copy, "found.gpkg", like=("coast/0/0",), accepted_as="Solar farm")
    return copy


def search(folder: Path, output: str, query: str | None = None, **options: Any) -> list[str]:
    chosen = SearchOptions(output=str(folder / output), **options)
    return [hit.tile_id for hit in bimors_cli.search(folder / "out.gpkg", query, chosen)]


def labelled(examples: Examples) -> dict[str, str]:
    return {example.source_id: examples.labels.names[example.label] for example in examples.examples}


def read(folder: Path, **names: str) -> Examples:
    return from_found(folder / "found.gpkg", image_size=16, **names)


def predicted(folder: Path, tile_id: str) -> str:
    with edited(folder / "found.gpkg") as database:
        return str(database.execute("SELECT label FROM found WHERE tile_id = ?", (tile_id,)).fetchone()[0])


def other_label(folder: Path, tile_id: str) -> str:
    """A label of the run that the tile does not have."""
    return next(name for name in ("river", "forest", "bare land") if name != predicted(folder, tile_id))


def test_accepted_and_rejected_tiles_are_examples(folder: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/2/0": 1, "coast/0/3": 0})
    examples = read(folder)
    assert labelled(examples) == {"coast/0/3": "other", "coast/1/1": "Solar farm", "coast/2/0": "Solar farm"}
    assert examples.labels.names == ("Solar farm", "other") and not examples.optional
    assert examples.name == "found" and {example.weight for example in examples.examples} == {1.0}
    image = examples.images.read(1)
    assert image is not None and image.shape[0] == 3


def test_a_changed_label_of_a_rejected_tile_is_its_class(folder: Path) -> None:
    changed = other_label(folder, "coast/0/3")
    judge(
        folder / "found.gpkg",
        {"coast/1/1": 1, "coast/0/3": 0, "coast/2/2": 0, "coast/2/1": 0},
        {"coast/0/3": changed.upper(), "coast/2/2": " Pond "},
    )
    examples = read(folder)
    assert labelled(examples) == {
        "coast/0/3": changed,
        "coast/1/1": "Solar farm",
        "coast/2/1": "other",
        "coast/2/2": "Pond",
    }
    assert examples.labels.names == ("Solar farm", *sorted(["Pond", changed]), "other")


def test_the_label_of_classify_is_no_evidence(folder: Path) -> None:
    """A rejected tile keeps the label that classify wrote, which nobody checked: it is not an example of that."""
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    assert labelled(read(folder))["coast/0/3"] == "other" != predicted(folder, "coast/0/3")


def test_a_tile_that_was_relabelled_alone_is_an_example(folder: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1}, {"coast/0/3": "pond", "coast/0/2": "solar FARM"})
    assert labelled(read(folder)) == {"coast/0/2": "Solar farm", "coast/0/3": "pond", "coast/1/1": "Solar farm"}


def test_names_of_the_classes(folder: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    examples = read(folder, accepted_as=" forest", rejected_as="background")
    assert examples.labels.names == ("forest", "background")
    search(folder, "text.gpkg", like=("coast/0/0",))
    judge(folder / "text.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    with pytest.raises(InputError, match="does not say of what class") as caught:
        from_found(folder / "text.gpkg", image_size=16)
    assert "--as NAME" in str(caught.value.hint)
    assert from_found(folder / "text.gpkg", image_size=16, accepted_as="pond").labels.names == ("pond", "other")


def test_the_text_of_a_search_is_the_class(folder: Path, tiny_bundle: Bundle) -> None:
    search(folder, "text.gpkg", "a  green river", model=str(tiny_bundle.folder))
    judge(folder / "text.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    assert from_found(folder / "text.gpkg", image_size=16).labels.names == ("a green river", "other")


def test_a_renamed_layer_is_read(folder: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0}, {"coast/0/3": "pond"})
    wanted = labelled(read(folder))
    with edited(folder / "found.gpkg") as database:
        for table, column in (
            ("gpkg_contents", "table_name"),
            ("gpkg_geometry_columns", "table_name"),
            ("gpkg_ogr_contents", "table_name"),
            ("gpkg_metadata_reference", "table_name"),
            ("layer_styles", "f_table_name"),
        ):
            database.execute(f"UPDATE {table} SET {column} = 'farms' WHERE {column} = 'found'")
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("DELETE FROM gpkg_extensions WHERE table_name = 'found'")
        database.execute("ALTER TABLE found RENAME TO farms")
    assert labelled(read(folder)) == wanted


@pytest.mark.parametrize(
    ("verdicts", "labels", "problem", "hint"),
    [
        ({}, {}, "no tile of found is accepted", "accept tiles in QGIS"),
        ({"coast/0/3": 0}, {}, "no tile of found is accepted", "accept tiles in QGIS"),
        ({"coast/0/3": 1, "coast/1/1": 1}, {}, "only the class 'Solar farm' found", "reject some tiles"),
        ({"coast/0/3": 2}, {}, "coast/0/3: accept is 2", "0 to reject"),
        ({"coast/0/3": "yes"}, {}, "coast/0/3: accept is 'yes'", "0 to reject"),
        ({"coast/0/3": 1}, {"coast/0/3": "pond"}, "accepted as Solar farm, and its label was changed", "reject it"),
        ({"coast/0/3": 0}, {"coast/0/3": "solar farm"}, "rejected as Solar farm, and its label", "accept it"),
    ],
)
def test_judgements_that_teach_nothing(
    folder: Path, verdicts: dict[str, object], labels: dict[str, str], problem: str, hint: str
) -> None:
    judge(folder / "found.gpkg", verdicts, labels)
    with pytest.raises(InputError, match=problem) as caught:
        read(folder)
    assert hint in str(caught.value.hint)


def test_both_classes_of_one_name_are_refused(folder: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    with pytest.raises(InputError, match="would both be examples of 'Other'") as caught:
        read(folder, accepted_as="Other")
    assert "--others NAME" in str(caught.value.hint)


def test_a_missing_or_another_scene_is_refused(folder: Path, classified: Path) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    (folder / "coast.tif").unlink()
    with edited(folder / "found.gpkg") as database:
        database.execute("UPDATE gpkg_metadata SET metadata = replace(metadata, ?, '/nowhere')", (str(classified),))
    with pytest.raises(InputError, match="does not exist") as caught:
        read(folder)
    assert str(folder / "coast.tif") in str(caught.value.hint)
    write_raster(folder / "coast.tif", np.full((3, 64, 64), 7, np.uint8))
    with pytest.raises(SceneError, match="64 x 64 pixels"):
        read(folder)


def test_copied_rows_and_lost_columns_are_refused(folder: Path) -> None:
    with edited(folder / "found.gpkg") as database:
        database.execute("UPDATE found SET tile_id = 'coast/1/1' WHERE tile_id = 'coast/1/2'")
    with pytest.raises(InputError, match="the tile coast/1/1 twice"):
        read(folder)
    with edited(folder / "found.gpkg") as database:
        database.execute("UPDATE found SET tile_id = NULL WHERE row = 1 AND col = 2")
    with pytest.raises(InputError, match="a row without tile_id"):
        read(folder)
    with edited(folder / "found.gpkg") as database:
        database.execute("ALTER TABLE found RENAME COLUMN accept TO verdict")
    with pytest.raises(InputError, match=r"no such column: t\.accept"):
        read(folder)


def test_finetune_finds_the_kind_of_a_layer(folder: Path, tiny_bundle: Bundle) -> None:
    judge(folder / "found.gpkg", {"coast/1/1": 1, "coast/0/3": 0})
    found, out = (str(folder / name) for name in ("found.gpkg", "out.gpkg"))
    options = FinetuneOptions(sources=(found,), accepted_as="pond", rejected_as="land")
    assert find_examples(options, tiny_bundle).labels.names == ("pond", "land")
    for name in ("accepted_as", "rejected_as"):
        with pytest.raises(InputError, match="has no effect with") as caught:
            find_examples(FinetuneOptions(sources=(out,), **{name: "pond"}), tiny_bundle)
        assert "bimors search" in str(caught.value.hint)
        with pytest.raises(InputError, match="no effect with examples on scenes"):
            FinetuneOptions(sources=("scene.tif",), polygons="x.gpkg", field="class", **{name: "pond"})
        with pytest.raises(InputError, match="the name of the class is empty"):
            FinetuneOptions(sources=(found,), **{name: " "})
    with pytest.raises(InputError, match="was not written by bimors search"):
        from_found(folder / "out.gpkg", image_size=16)
