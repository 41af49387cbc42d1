"""Examples that were drawn, and those of corrected layers, together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.parse import parse_labels_file
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.options import FinetuneOptions
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.training.examples.test_corrected_layer import edit, labelled

__all__ = ["make_layer"]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """48 tiles of 10 pixels: 8 in a row."""
    return str(make_raster(np.random.default_rng(0).integers(1, 256, (3, 60, 80), dtype=np.uint8)))


@pytest.fixture
def layer(scene: str, make_layer: MakeLayer) -> Path:
    """Labelled forest, river and harbour in turn."""
    return make_layer(scene, tile_size="10")


@pytest.fixture
def train(layer: Path, tmp_path: Path) -> str:
    """Polygons of two tiles each: forest, river."""
    import pyogrio

    tiles = pyogrio.read_dataframe(layer, layer="tiles").set_index(["row", "col"]).geometry
    shapes = [shapely.union_all([tiles[row, 0], tiles[row, 1]]) for row in (0, 5)]
    geopandas.GeoDataFrame({"class": ["Forest", "river"]}, geometry=shapes, crs=tiles.crs).to_file(
        tmp_path / "train.gpkg"
    )
    return str(tmp_path / "train.gpkg")


def find(bundle: Bundle, *sources: object, tile_size: str = "10", **given: Any) -> Examples:
    options = FinetuneOptions(sources=tuple(map(str, sources)), tile_size=tile_size, model=str(bundle.folder), **given)
    return find_examples(options, bundle)


def test_polygons_and_a_checked_layer(scene: str, layer: Path, train: str, tiny_bundle: Bundle) -> None:
    edit(layer, "UPDATE tiles SET label = 'harbour' WHERE row = 2 AND col = 3")
    edit(layer, "UPDATE tiles SET label = 'forest' WHERE row = 2 AND col = 6")
    examples = find(tiny_bundle, scene, polygons=train, field="class", corrected=(str(layer),))
    assert examples.labels.names == ("Forest", "river", "harbour")
    assert labelled(examples) == {
        "scene/0/0": "Forest",
        "scene/0/1": "Forest",
        "scene/5/0": "river",
        "scene/5/1": "river",
        "scene/2/3": "harbour",
        "scene/2/6": "Forest",
    }
    groups = {one.source_id: one.group for one in examples.examples}
    assert groups["scene/0/0"] == groups["scene/0/1"] != groups["scene/2/3"] == "scene/0/0"
    # Pictures and labels stay together.
    alone = find(tiny_bundle, layer)
    row = [one.source_id for one in examples.examples].index("scene/2/3")
    other = [one.source_id for one in alone.examples].index("scene/2/3")
    picture, same = examples.images.read(row), alone.images.read(other)
    assert picture is not None and same is not None and (picture == same).all()
    assert f"{layer} (2 tiles)" in examples.description["corrected"] and examples.description["source"] == "polygons"


def test_the_corrected_label_wins(
    scene: str, layer: Path, train: str, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    edit(layer, "UPDATE tiles SET label = 'harbour' WHERE row = 0 AND col = 1")
    examples = find(tiny_bundle, scene, polygons=train, field="class", corrected=(str(layer),))
    assert labelled(examples)["scene/0/1"] == "harbour" and len(examples) == 4
    assert "1 tiles have another label" in caplog.text and "adds the class 'harbour'" in caplog.text


def test_two_layers_and_a_part_of_the_labels(
    scene: str, layer: Path, make_layer: MakeLayer, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    second = make_layer(scene, tile_size="10", name="second.gpkg")
    edit(layer, "UPDATE tiles SET label = 'harbour' WHERE row = 0 AND col = 0")
    edit(second, "UPDATE tiles SET label = 'moor' WHERE row = 1 AND col = 1")
    both = find(tiny_bundle, layer, corrected=(str(second),))
    assert labelled(both) == {"scene/0/0": "harbour", "scene/1/1": "moor"}
    assert both.labels.names == ("forest", "river", "harbour", "moor") and both.optional == {0, 1, 2}
    words = tmp_path / "labels.txt"
    words.write_text("moor\nharbour\n")
    some = find(tiny_bundle, layer, corrected=(str(second),), labels=parse_labels_file(str(words)))
    assert labelled(some) == labelled(both) and some.labels.names == ("moor", "harbour")


def test_other_tiles_other_scenes_and_image_files(
    scene: str, layer: Path, train: str, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path
) -> None:
    edit(layer, "UPDATE tiles SET label = 'harbour' WHERE row = 2 AND col = 3")
    given = {"polygons": train, "field": "class", "corrected": (str(layer),)}
    with pytest.raises(InputError, match="tiles of 10 x 10 px, and the other examples of 20 x 20 px") as error:
        find(tiny_bundle, scene, tile_size="20", **given)
    assert "--tile-size 10" in str(error.value.hint)
    (tmp_path / "other").mkdir()
    other = make_raster(np.ones((3, 60, 90), np.uint8), name="other/scene.tif")
    with pytest.raises(InputError, match="has the name of another"):
        find(tiny_bundle, other, **given)
    # Another scene is one more scene.
    east = make_raster(np.ones((3, 60, 80), np.uint8), name="east.tif")
    assert {one.source_id for one in find(tiny_bundle, east, **given).examples} >= {"scene/2/3", "east/0/0"}


def test_labels_of_the_run_without_examples_are_not_learned(
    scene: str, layer: Path, train: str, tiny_bundle: Bundle
) -> None:
    edit(layer, "UPDATE tiles SET label = 'forest' WHERE row = 2 AND col = 4")
    examples = find(tiny_bundle, scene, polygons=train, field="class", corrected=(str(layer),))
    assert examples.labels.names == ("Forest", "river") and not examples.optional
