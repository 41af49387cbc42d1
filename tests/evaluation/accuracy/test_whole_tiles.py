"""Features that were merged or split in QGIS, in a map that is assessed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import shapely

import bimors_cli
from bimors_cli.errors import InputError
from tests.layers import make_layer
from tests.results.copies import original, read, write

__all__ = ["make_layer", "original"]


def test_merged_and_split_features_are_left_out(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = read(original).set_index("tile_id", drop=False)
    truth = write(tmp_path / "truth.gpkg", frame[["label", "geometry"]].dropna())
    assert bimors_cli.assess(original, truth, "label").counts["samples"] == 18  # two of 20 have no label
    assert not caplog.messages
    shapes = frame.geometry.copy()
    left, bottom, right, top = shapes["coast/1/1"].bounds
    shapes["coast/2/0"] = shapes["coast/2/0"].union(shapes["coast/2/1"])
    shapes["coast/1/1"] = shapely.box(left, bottom, left + 150, top)
    half = frame.loc[["coast/1/1"]].assign(geometry=[shapely.box(left + 150, bottom, right, top)])
    frame["geometry"] = shapes
    edited = pd.concat([frame.drop("coast/2/1"), half, frame.loc[["coast/0/2"]]])
    copy = write(tmp_path / "copy.geojson", edited.reset_index(drop=True).to_crs(4326))
    assert bimors_cli.assess(copy, truth, "label").counts["samples"] == 15
    (warning,) = caplog.messages
    assert warning.endswith("1 merged from several tiles, 2 parts of a tile, 1 copies of a tile")


def test_a_dissolved_map_is_refused(original: Path, tmp_path: Path) -> None:
    frame = read(original)
    truth = write(tmp_path / "truth.gpkg", frame[["label", "geometry"]].dropna())
    dissolved = write(tmp_path / "copy.gpkg", frame.dissolve("label").reset_index())
    with pytest.raises(InputError, match="no feature is one tile"):
        bimors_cli.assess(dissolved, truth, "label")
