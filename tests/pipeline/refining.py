"""Runs with a tiny bundle whose tiles settle their labels together, for the tests of that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.run import run
from bimors_cli.pipeline.summary import Summary
from tests.conftest import MakeRaster

LABELS = ["forest", "river", "bare land", "port"]
P = [f"p_{label}" for label in LABELS]
Classify = Callable[..., Summary]


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Noise in a few colours, so that tiles are not all alike."""
    random = np.random.default_rng(seed)
    colours = np.kron(random.integers(0, 200, (3, -(-height // 48), -(-width // 48))), np.ones((1, 48, 48), int))
    return (colours[:, :height, :width] + random.integers(1, 50, (3, height, width))).astype(np.uint8)


@pytest.fixture
def options(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., ClassifyOptions]:
    def make(scene: Any, output: str = "out.gpkg", **given: Any) -> ClassifyOptions:
        known = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "captions": False}
        scenes = (scene,) if isinstance(scene, str) else tuple(scene)
        where = output if output == "-" else str(tmp_path / output)
        return ClassifyOptions(scenes=scenes, labels=Labels.of(LABELS), output=where, **{**known, **given})

    return make


@pytest.fixture
def classify(options: Callable[..., ClassifyOptions]) -> Classify:
    def make(*args: Any, progress: Any = None, **given: Any) -> Summary:
        return run(options(*args, **given), progress=progress, stop=progress)

    return make


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """Ten tiles by seven, the last ones clipped, with a hole and an island in it."""
    data = picture(215, 310)
    data[:, 40:150, 100:200] = 0
    data[:, 70:120, 130:175] = 90
    return make_raster(data, nodata=0)


def rows(summary: Summary, layer: str = "tiles") -> geopandas.GeoDataFrame:
    return geopandas.read_file(str(summary.output), layer=layer)


def assert_same_rows(one: geopandas.GeoDataFrame, other: geopandas.GeoDataFrame) -> None:
    numbers = [name for name in one if name.startswith(("p_", "confidence"))]
    assert list(one) == list(other)
    for name in set(one) - set(numbers):
        assert one[name].fillna("").tolist() == other[name].fillna("").tolist()
    np.testing.assert_allclose(one[numbers].astype(float), other[numbers].astype(float), atol=2e-4, rtol=0)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def bimors(*args: object, cwd: Path) -> Any:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])
