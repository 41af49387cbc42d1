"""Copies of a layer as another program exports them: made by geopandas, without the record of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest

from tests.conftest import MakeRaster
from tests.layers import MakeLayer

LABELS = ["forest", "river", "harbour"]


def read(path: Path, layer: str = "tiles") -> geopandas.GeoDataFrame:
    return pyogrio.read_dataframe(path, layer=layer)


def write(path: Path, frame: geopandas.GeoDataFrame, **options: Any) -> Path:
    pyogrio.write_dataframe(frame, path, **options)
    return path


def answered(original: Path, **labels: str | None) -> geopandas.GeoDataFrame:
    """The rows of a layer with other labels for tiles (as r0c1), which are checked."""
    frame = read(original)
    frame["checked"] = None
    for place, label in labels.items():
        row, col = map(int, place[1:].split("c"))
        here = (frame["row"] == row) & (frame["col"] == col)
        assert here.sum() == 1
        frame.loc[here, "label"] = label
        frame.loc[here, "checked"] = True
    frame["checked"] = frame["checked"].astype("boolean")
    return frame


@pytest.fixture
def original(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """A map of 5 x 4 tiles of 32 pixels, the last column and row clipped."""
    import numpy as np

    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 120, 150), dtype=np.uint8), name="coast.tif")
    return make_layer(scene, tile_size="32", device="cpu")


__all__ = ["LABELS", "answered", "original", "read", "write"]
