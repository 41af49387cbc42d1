"""Reading ahead: order, bounds, threads, and no block decoded again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from bimors_cli.errors import ReadError, SceneError
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.inference.tile_reader import LEAST_CACHE, ReadTile, cache_bytes, read_ahead
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import TilePixels
from tests.conftest import MakeRaster

IO = Path("/proc/self/io")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


def plan(path: str, tile: int = 64, overlap: str = "0") -> ScenePlan:
    (scene,) = plan_scenes([path], SceneOptions(tile_size=str(tile), overlap=overlap, stretch="none"))
    return scene


def read_all(scene: ScenePlan, side: int = 64, ahead: int = 8) -> list[ReadTile]:
    return list(read_ahead(scene, enumerate(scene.grid), side, ahead))


def bytes_read() -> int:
    """Count the bytes that this process has read, from a disk or from the system's memory of it."""
    return int(IO.read_text().split("rchar:")[1].split()[0])


STRIPS = {"tiled": False, "blockysize": 48, "compress": "deflate"}
TILES = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


@pytest.mark.parametrize("layout", [STRIPS, TILES], ids=["strips", "tiles"])
def test_tiles_come_in_order_with_their_own_pixels(make_raster: MakeRaster, layout: dict[str, object]) -> None:
    data = noise(3, 200, 700)
    scene = plan(make_raster(data, **layout))
    found = read_all(scene)
    assert [tile.index for tile in found] == list(range(len(scene.grid)))
    for tile, place in zip(found, scene.grid, strict=True):
        assert isinstance(tile.pixels, TilePixels) and tile.cache_key is None
        own = data[:, place.y : place.y + place.height, place.x : place.x + place.width]
        np.testing.assert_array_equal(tile.pixels.image[:, : place.height, : place.width], own)


@pytest.mark.skipif(not IO.exists(), reason="counts reads as Linux does")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("overlap", ["0", "16"])
def test_no_strip_is_read_twice(make_raster: MakeRaster, overlap: str, interleave: str) -> None:
    # Noise does not compress, so bytes tell how often strips are read. Most strips belong to two rows of tiles.
    path = make_raster(noise(3, 700, 1000), interleave=interleave, **STRIPS)
    scene, size = plan(path, overlap=overlap), Path(path).stat().st_size
    before = bytes_read()
    assert len(read_all(scene)) == len(scene.grid) > 150
    assert 1 <= (bytes_read() - before) / size < 1.1


@pytest.mark.skipif(not IO.exists(), reason="counts reads as Linux does")
def test_blocks_are_read_once_but_for_the_edges_of_stripes(make_raster: MakeRaster) -> None:
    path = make_raster(noise(3, 700, 1000), **TILES)
    scene, size = plan(path, tile=24), Path(path).stat().st_size
    before = bytes_read()
    read_all(scene)
    # Of 16 blocks in a row, 3 lie across the edge of a stripe.
    assert 1 <= (bytes_read() - before) / size < 1.3


def test_no_more_wait_than_were_asked_for(make_raster: MakeRaster) -> None:
    scene = plan(make_raster(noise(3, 512, 512)))
    taken: list[int] = []

    def tiles() -> Iterator[tuple[int, Tile]]:
        for index, tile in enumerate(scene.grid):
            taken.append(index)
            yield index, tile

    for count, tile in enumerate(read_ahead(scene, tiles(), 64, ahead=3)):
        assert tile.index == count and taken[-1] <= count + 3


def test_pictures_get_their_fingerprint_in_the_thread_that_read_them(make_raster: MakeRaster) -> None:
    data = noise(3, 128, 128)
    data[:, :64, :64] = 0
    scene = plan(make_raster(data, nodata=0))
    threads = set()

    def mean(image: np.ndarray) -> bytes:
        threads.add(threading.current_thread())
        return bytes([int(image.mean())])

    found = list(read_ahead(scene, enumerate(scene.grid), 64, 8, mean))
    assert found[0].cache_key is None  # nothing is there
    for tile in found[1:]:
        assert isinstance(tile.pixels, TilePixels) and tile.cache_key == bytes([int(tile.pixels.image.mean())])
    assert threads and threading.current_thread() not in threads


def test_a_tile_that_cannot_be_read_is_its_own_answer(make_raster: MakeRaster) -> None:
    path = make_raster(noise(3, 192, 64), **TILES)
    scene = plan(path)
    Path(path).write_bytes(Path(path).read_bytes()[:-3000])
    kinds = [type(tile.pixels) for tile in read_all(scene)]
    assert kinds == [TilePixels, TilePixels, ReadError]


def test_a_scene_that_went_away(make_raster: MakeRaster) -> None:
    path = make_raster(noise(3, 64, 64))
    scene = plan(path)
    Path(path).unlink()
    with pytest.raises(SceneError):
        read_all(scene)


def test_a_fault_in_a_thread_reaches_the_caller(make_raster: MakeRaster) -> None:
    scene = plan(make_raster(noise(3, 64, 64)))

    def broken(image: np.ndarray) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_ahead(scene, enumerate(scene.grid), 64, 8, broken))


def test_who_stops_early_leaves_no_thread(make_raster: MakeRaster) -> None:
    scene = plan(make_raster(noise(3, 512, 512)))
    before = threading.active_count()
    tiles = read_ahead(scene, enumerate(scene.grid), 64, 20)
    next(tiles)
    assert threading.active_count() > before
    tiles.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_cache_takes_what_a_row_of_tiles_needs(make_raster: MakeRaster) -> None:
    strips = plan(make_raster(noise(3, 256, 1000), **STRIPS))
    assert cache_bytes(strips) == 3 * 48 * 1000 * 3  # 64 rows may lie on three strips
    path = make_raster(noise(3, 256, 1000), **TILES)
    assert cache_bytes(plan(path, tile=24)) == cache_bytes(plan(path, tile=64)) == 2 * 64 * 1000 * 3
    assert cache_bytes(plan(path, tile=200)) == 5 * 64 * 1000 * 3
    assert cache_bytes(plan(path, tile=256)) == 0


def test_a_small_scene_has_the_least_cache(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    strips = plan(make_raster(noise(3, 256, 1000), **STRIPS))
    sizes = set()

    def key(_image: np.ndarray) -> bytes:
        sizes.add(rasterio.env.getenv()["GDAL_CACHEMAX"])
        return b""

    list(read_ahead(strips, enumerate(strips.grid), 64, 8, key))
    assert cache_bytes(strips) < LEAST_CACHE and sizes == {LEAST_CACHE}
