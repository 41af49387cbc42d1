"""Scenes on a server that fails, stalls or answers short: asked again, counted, never taken for nodata."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from bimors_cli.errors import ReadError, SceneError
from bimors_cli.scene.gdal import gdal_env, gdal_name, is_remote
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster
from tests.hardening.conftest import Bimors, Server
from tests.scene.reading import read_all, reader_of


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    return Path(make_raster(noise(3, 192, 192), tiled=True, blockxsize=64, blockysize=64))


def pixels(path: str, tile: int = 64) -> list[npt.NDArray[np.uint8]]:
    return [tile.image for tile in read_all(reader_of(path, tile))]


@pytest.mark.parametrize(
    "rule", ["good", "fail-2-503", "fail-2-500", "fail-2-429", "fail-1-502", "fail-1-404", "short-1", "drop-1"]
)
def test_what_passes_is_waited_for(scene: Path, server: Server, rule: str) -> None:
    expected = pixels(str(scene))
    read = pixels(server.url(rule, scene.name))
    assert all((a == b).all() for a, b in zip(expected, read, strict=True))


def test_a_server_that_stalls_is_left(scene: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    began = time.monotonic()
    assert (pixels(server.url("stall-1", scene.name))[0] == pixels(str(scene))[0]).all()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("rule", ["fail-9999-503", "fail-9999-404", "short-9999", "drop-9999"])
def test_what_does_not_pass_is_read_errors_and_resume_takes_them(
    scene: Path, server: Server, bimors: Bimors, rows: Any, tmp_path: Path, rule: str
) -> None:
    """8-bit RGB needs no stretch, so the plan succeeds; no tile is black, none is nodata."""
    url = server.url(rule, scene.name)
    result = bimors(url, "--keep-empty", code=3)
    layer = rows()
    assert set(layer["reason"].dropna()) == {"read_error"} and len(layer) == 9
    assert "--resume" in result.stderr and (tmp_path / "out.gpkg.bimors-journal").exists()


def test_a_server_that_recovers_before_resume(scene: Path, server: Server, bimors: Bimors, rows: Any) -> None:
    url = server.url("fail-40-503", scene.name)
    bimors(url, code=3)
    failed = set(rows()[rows()["reason"] == "read_error"]["tile_id"])
    assert failed
    for _ in range(10):
        if bimors(url, "--resume", code=(0, 3)).exit_code == 0:
            break
    else:
        pytest.fail("the server has recovered")
    assert rows()["reason"].isna().all() and len(rows()) == 9


def test_tries_are_counted(scene: Path, server: Server, bimors: Bimors) -> None:
    result = bimors(server.url("fail-2-503", scene.name))
    assert "2 HTTP requests were repeated" in result.stderr
    assert "repeated" not in bimors(server.url("good", scene.name), "--overwrite").stderr


def test_an_index_that_cannot_be_fetched_is_no_empty_scene(server: Server, make_raster: MakeRaster) -> None:
    """The places of a TIFF's blocks are fetched when they are needed: what fails there must not read as zeros."""
    scene = make_raster(noise(1, 1536, 1536), tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    url = server.url("fail-9999-404", "scene.tif")
    # Header and position lie at the end of this file, beyond what the server gives: it is refused at once.
    with pytest.raises(SceneError, match=r"incomplete|no CRS"):
        scene_info(url)
    # Now the header is read before the server fails.
    healthy = reader_of(server.url("good", "scene.tif"), 64, stretch="0,255")
    expected = read_all(healthy)
    with gdal_env(), rasterio.Env(GDAL_HTTP_MAX_RETRY=0):
        assert scene
        outcomes = []
        info = scene_info(server.url("after-4", "scene.tif"))
        broken = type(healthy)(info, healthy.grid, healthy.bands, healthy.stretch)
        from bimors_cli.scene.read import read_tile

        try:
            with broken:
                for index, tile in enumerate(broken.grid):
                    try:
                        same = (read_tile(broken, tile, 10_000).image == expected[index].image).all()
                        outcomes.append("same" if same else "different")
                    except ReadError:
                        outcomes.append("error")
        except SceneError:
            outcomes.append("error")
    assert "different" not in outcomes and "error" in outcomes


def test_a_server_without_ranges_gives_the_right_pixels_or_none(
    scene: Path, server: Server, bimors: Bimors, make_raster: MakeRaster
) -> None:
    """GDAL takes a small file as a whole."""
    small = server.url("whole", scene.name)
    assert all((a == b).all() for a, b in zip(pixels(small), pixels(str(scene)), strict=True))
    make_raster(noise(3, 1024, 1024), name="large.tif", tiled=True)
    result = bimors(server.url("whole", "large.tif"), code=2)
    assert "range requests" in result.stderr and "download the file first" in result.stderr


def test_nothing_there_and_nobody_there(scene: Path, server: Server, bimors: Bimors) -> None:
    assert "its server refuses it" in bimors(server.url("good", "none.tif"), code=2).stderr
    bimors("http://127.0.0.1:9/scene.tif?sig=hush", code=2)
    assert "server refuses it" in bimors(server.url("token", scene.name), code=2).stderr
    assert bimors(server.url("token", scene.name) + "?sig=hush").exit_code == 0


def test_gdal_names() -> None:
    assert gdal_name("a.tif") == "a.tif" and gdal_name("/vsizip/a.zip/b.tif") == "/vsizip/a.zip/b.tif"
    assert gdal_name("https://h/a.tif?s=1") == "/vsisubfile/0,/vsicurl/https://h/a.tif?s=1"
    assert gdal_name("/vsis3/b/a.tif") == "/vsisubfile/0,/vsis3/b/a.tif" == gdal_name("s3://b/a.tif")
    for path in ("http://h/a.tif", "/vsicurl/http://h/a", "/vsigs/b/a", "/vsizip//vsicurl/http://h/a.zip/b.tif"):
        assert is_remote(path), path
    assert not is_remote("a.tif") and not is_remote("/vsizip/a.zip/b.tif")
