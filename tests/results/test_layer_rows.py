"""The rows of a layer without polygons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bimors_cli.errors import InputError
from bimors_cli.results.classified_layer import read_classified_layer
from bimors_cli.results.layer_rows import LayerRows, read_rows
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.training.examples.test_corrected_layer import edit

__all__ = ["make_layer"]


@pytest.fixture
def layer(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """Twelve tiles; the tenth in the order of the grid has no label."""
    return make_layer(str(make_raster(np.ones((3, 30, 40), np.uint8))), tile_size="10")


def rows_of(path: Path) -> LayerRows:
    return read_rows(read_classified_layer(path))


def test_rows_are_sorted_by_tile(layer: Path) -> None:
    rows = rows_of(layer)
    assert rows.tile_ids == [f"scene/{row}/{col}" for row in range(3) for col in range(4)]
    assert rows.row.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and rows.col.tolist() == [0, 1, 2, 3] * 3
    assert rows.labels[:4] == ["forest", "river", "harbour", "forest"] and rows.labels[9] is None
    assert rows.reasons[9] == "low_confidence" and rows.confidence[9] is None and rows.confidence[1] == 0.05
    assert rows.with_data.all() and not rows.corrected.any()


def test_what_a_user_did(layer: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(
        layer,
        "ALTER TABLE tiles ADD COLUMN checked BOOLEAN",
        "UPDATE tiles SET checked = 1 WHERE tile_id = 'scene/0/1'",
    )
    edit(layer, "UPDATE tiles SET label = 'moor' WHERE tile_id IN ('scene/0/2', 'scene/2/1')")
    edit(layer, "UPDATE tiles SET label = ' river ' WHERE tile_id = 'scene/1/0'")  # as it was, but for blanks
    edit(layer, "UPDATE tiles SET \"col\" = 99 WHERE tile_id = 'scene/2/3'")
    rows = rows_of(layer)
    found = [one for one, corrected in zip(rows.tile_ids, rows.corrected.tolist(), strict=True) if corrected]
    assert found == ["scene/0/1", "scene/0/2", "scene/2/1"]
    assert "scene/2/3" not in rows.tile_ids and "skipped 1 features" in caplog.text


def test_two_rows_of_one_tile(layer: Path) -> None:
    edit(layer, "UPDATE tiles SET tile_id = 'scene/0/0' WHERE tile_id = 'scene/0/1'")
    with pytest.raises(InputError, match="has the tile scene/0/0 twice"):
        rows_of(layer)


def test_an_invalid_check(layer: Path) -> None:
    edit(layer, "ALTER TABLE tiles ADD COLUMN checked TEXT", "UPDATE tiles SET checked = 'perhaps' WHERE col = 1")
    with pytest.raises(InputError, match="invalid value 'perhaps' in column checked"):
        rows_of(layer)
