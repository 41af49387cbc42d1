"""`bimors suggest` from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.cli.main import app
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.results.test_suggest import with_features

__all__ = ["make_layer"]


@pytest.fixture
def layer(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """100 tiles, 10 of them without a label."""
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 80, 80), dtype=np.uint8))
    return make_layer(str(scene), tile_size="8")


def suggest(layer: Path, *args: object) -> Result:
    return CliRunner().invoke(app, ["suggest", str(layer), *map(str, args)])


def test_suggestions(layer: Path) -> None:
    with_features(layer)
    result = suggest(layer, "-n", 7)
    path = layer.with_name("out_suggestions.gpkg")
    assert (result.exit_code, result.stdout) == (0, f"{path}\n"), result.stderr
    assert "7 of 100 tiles suggested" in result.stderr and f"--corrected {path}" in result.stderr
    assert len(pyogrio.read_dataframe(path, layer="suggestions")) == 7
    again = suggest(layer, "-n", 7)
    assert again.exit_code == 2 and "--overwrite" in again.stderr


def test_fewer_than_asked_for(layer: Path) -> None:
    with_features(layer)
    result = suggest(layer, "-n", 500)
    assert result.exit_code == 0 and "100 of 500 tiles that were asked for: no other is left" in result.stderr
    result = suggest(layer, "-n", 50, "--min-distance", 1e9, "--overwrite")
    assert result.exit_code == 0 and "1 of 50 tiles that were asked for: --min-distance" in result.stderr


def test_a_layer_without_features(layer: Path) -> None:
    result = suggest(layer)
    assert result.exit_code == 2 and "has no image features" in result.stderr
    assert "--keep-features" in result.stderr and not layer.with_name("out_suggestions.gpkg").exists()


def test_no_torch_is_imported() -> None:
    program = "import sys, bimors_cli.results.suggest, bimors_cli.cli.suggest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
