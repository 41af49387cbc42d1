"""STAC items and their assets on a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bimors_cli.errors import SceneError
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.read import SceneReader
from bimors_cli.scene.stretch import Stretch
from tests.conftest import MakeRaster
from tests.hardening.conftest import Server
from tests.scene.test_stac_scene import asset, write_item


def test_an_item_on_a_server(server: Server, make_raster: MakeRaster, tmp_path: Path) -> None:
    """Relative and absolute addresses; a reader opens the assets again after a failure."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 50), dtype=np.uint8)
    make_raster(pixels[:1], name="red.tif")
    make_raster(pixels[1:], name="nir.tif")
    assets = {"red": asset("red.tif", "red"), "nir": asset(server.url("ok", "nir.tif"), "nir")}
    write_item(tmp_path / "item.json", assets)
    with open_scene(server.url("ok", "item.json"), asset=("red", "nir")) as scene:
        info = scene.info
        np.testing.assert_array_equal(scene.dataset.read(), pixels)
    assert info.size_bytes is None and info.name == "item.json:red,nir"
    with SceneReader(info, Grid(50, 40, 50, 40, 50, 40), choose_bands(info), Stretch("none", (), ())) as reader:
        assert reader.is_remote
        reader.reopen()
        np.testing.assert_array_equal(reader.dataset.read(), pixels)


def test_assets_on_a_server_of_an_item_here(server: Server, make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster(np.ones((1, 40, 50), np.uint8))
    path = write_item(tmp_path / "item.json", {"red": asset(server.url("ok", "scene.tif"), "red")})
    with open_scene(path) as scene:
        assert scene.dataset.read().min() == 1
        with SceneReader(
            scene.info, Grid(50, 40, 50, 40, 50, 40), choose_bands(scene.info), Stretch("none", (), ())
        ) as reader:
            assert reader.is_remote


def test_an_item_that_is_not_there(server: Server) -> None:
    with pytest.raises(SceneError, match="404") as caught, open_scene(server.url("ok", "no.json") + "?sig=secret"):
        pass
    assert caught.value.hint and "secret" not in caught.value.message
