"""Checked tiles of a copy that was exported, on the scene that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.options import FinetuneOptions
from tests.layers import make_layer
from tests.results.copies import answered, original, read, write

__all__ = ["make_layer", "original"]

EDITS = {"r0c1": "Forest ", "r1c1": "forest", "r2c2": "salt marsh"}
WANTED = {"coast/0/1": "Forest", "coast/1/1": "Forest", "coast/2/2": "salt marsh"}


def find(original: Path, copy: Path, bundle: Bundle, **options: Any) -> Examples:
    given = {"tile_size": "32", "sources": (str(original.with_name("coast.tif")),), "corrected": (str(copy),)}
    return find_examples(FinetuneOptions(**given | options), bundle)


def labelled(examples: Examples) -> dict[str, str]:
    return {one.source_id: examples.labels.names[one.label] for one in examples.examples}


@pytest.mark.parametrize("name", ["copy.gpkg", "copy.geojson", "copy.shp", "copy.fgb"])
def test_checked_rows_are_examples(name: str, original: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    copy = write(tmp_path / name, answered(original, **EDITS).to_crs(4326))
    examples = find(original, copy, tiny_bundle)
    assert labelled(examples) == WANTED and examples.images.read(0) is not None


def test_corrected_rows_without_a_tick_are_not(original: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    frame = answered(original, **EDITS)
    frame.loc[frame["tile_id"] == "coast/1/1", "checked"] = False
    copy = write(tmp_path / "copy.gpkg", frame)
    assert set(labelled(find(original, copy, tiny_bundle))) == {"coast/0/1", "coast/2/2"}
    without = write(tmp_path / "without.gpkg", frame.drop(columns="checked"))
    with pytest.raises(InputError, match="has no column checked and no predicted labels") as caught:
        find(original, without, tiny_bundle)
    assert caught.value.hint and f"--original {original}" in caught.value.hint


def test_the_tile_size_that_fits_is_named(original: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    copy = write(tmp_path / "copy.geojson", answered(original, **EDITS).to_crs(4326))
    with pytest.raises(
        InputError, match=r"most features have 32 x 32 pixels of coast.tif, its tiles 20 x 20"
    ) as caught:
        find(original, copy, tiny_bundle, tile_size="20")
    assert caught.value.hint and f"--corrected {copy} --tile-size 32" in caught.value.hint


def test_polygons_and_a_copy_together(original: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    drawn = read(original)[:2].assign(kind=["river", "forest"])
    polygons = write(tmp_path / "train.gpkg", drawn[["kind", "geometry"]])
    copy = write(tmp_path / "copy.shp", answered(original, r2c2="salt marsh"))  # one class is enough here
    examples = find(original, copy, tiny_bundle, polygons=str(polygons), field="kind")
    assert labelled(examples) == {"coast/0/0": "river", "coast/0/1": "forest", "coast/2/2": "salt marsh"}
    with pytest.raises(InputError, match="only the class 'salt marsh' found"):
        find(original, copy, tiny_bundle)


def test_a_map_as_polygons_is_suspect(
    original: Path, tmp_path: Path, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    copy = write(tmp_path / "copy.geojson", answered(original, r2c2="salt marsh"))
    find(original, copy, tiny_bundle, polygons=str(copy), field="label", corrected=())
    assert "is a map of bimors, and its labels are answers of a model" in caplog.text


def test_the_original_needs_no_scene(original: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    frame = read(original)
    with pytest.raises(InputError, match="no row of tiles is corrected"):
        find(original, original, tiny_bundle)
    with pytest.raises(InputError, match="does not exist"):
        find(original, tmp_path / "none.gpkg", tiny_bundle)
    other = write(tmp_path / "roads.gpkg", frame[["geometry"]].assign(geometry=[shapely.box(0, 0, 1, 1)] * len(frame)))
    with pytest.raises(InputError, match=r"are not where the tiles of coast.tif are"):
        find(original, other, tiny_bundle)
    with pytest.raises(InputError, match="several sources need"):
        FinetuneOptions(sources=("a.tif", "b.tif"))
