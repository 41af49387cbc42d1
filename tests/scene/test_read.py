"""Reading tiles: values, edges, readers, failures."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS

from bimors_cli.errors import ReadError
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import SceneInfo, open_scene
from bimors_cli.scene.read import SceneReader, image_shape, read_tile
from bimors_cli.scene.stretch import Stretch
from tests.conftest import MakeRaster
from tests.scene.reading import read_all, reader_of, rgb


def test_a_whole_tile_is_its_pixels(make_raster: MakeRaster) -> None:
    """8-bit pictures come through bit by bit, each tile from its own window."""
    data = rgb(40, 60)
    tiles = read_all(reader_of(make_raster(data), 20))
    assert len(tiles) == 6
    for index, tile in enumerate(tiles):
        row, col = divmod(index, 3)
        assert (tile.image == data[:, 20 * row : 20 * row + 20, 20 * col : 20 * col + 20]).all()
        assert tile.image.dtype == np.uint8 and tile.valid_fraction == 1


def test_band_order(make_raster: MakeRaster) -> None:
    """Red, green and blue are where the user or the file says."""
    data = rgb(8, 8)
    assert (read_all(reader_of(make_raster(data), 8, bidx=(3, 1, 2)))[0].image == data[[2, 0, 1]]).all()
    four = np.concatenate([data, data[:1] * 0 + 255])
    path = make_raster(four, colorinterp=["blue", "green", "red", "alpha"])
    assert (read_all(reader_of(path, 8))[0].image == data[::-1]).all()


def test_edge_tiles_are_mirrored(make_raster: MakeRaster) -> None:
    """The clipped tile's own pixels first, then their mirror image, as often as needed."""
    data = rgb(5, 13)
    images = [tile.image for tile in read_all(reader_of(make_raster(data), 8))]
    assert [image.shape for image in images] == [(3, 8, 8)] * 2
    assert (images[1][:, :5, :5] == data[:, :, 8:]).all()
    assert (images[1][:, :5, 5:] == data[:, :, 10:][:, :, ::-1]).all()
    assert (images[1][:, 5:, :5] == data[:, 2:, 8:][:, ::-1]).all()
    sliver = read_all(reader_of(make_raster(rgb(8, 9)), 8))[1]
    assert sliver.image.shape == (3, 8, 8) and (sliver.image == sliver.image[:, :, :1]).all()
    assert sliver.valid_fraction == 1


def test_scene_smaller_than_a_tile(make_raster: MakeRaster) -> None:
    """One pixel fills a tile."""
    tile = read_all(reader_of(make_raster(rgb(1, 1)), 16))[0]
    assert tile.image.shape == (3, 16, 16) and len(np.unique(tile.image[0])) == 1 and tile.valid_fraction == 1


def test_one_bit(make_raster: MakeRaster) -> None:
    """A 1-bit raster shows its ones white."""
    data = np.zeros((1, 16, 16), np.uint8)
    data[0, :8] = 1
    image = read_all(reader_of(make_raster(data, nbits=1), 16))[0].image
    assert (image[:, :8] == 255).all() and (image[:, 8:] == 0).all()


def test_edge_tiles_keep_the_scale(make_raster: MakeRaster) -> None:
    """Decimated edge tiles are as fine as the others."""
    data = np.zeros((3, 64, 96), np.uint8)
    data[:, :, 80:] = 200
    right = read_all(reader_of(make_raster(data), 64), 16)[1].image
    assert right.shape == (3, 16, 16)
    assert (right[:, :, :4] == 0).all() and (right[:, :, 4:8] == 200).all()  # 32 pixels wide: 8 of the picture's
    assert (right[:, :, 8:12] == 200).all() and (right[:, :, 12:] == 0).all()  # mirrored


def test_image_shape() -> None:
    """Each side is limited by itself."""
    assert image_shape(Grid(999, 999, 300, 200, 300, 200), 224) == (200, 224)
    assert image_shape(Grid(10, 10, 64, 64, 64, 64), 224) == (64, 64)
    assert image_shape(Grid(9999, 9999, 2000, 1000, 2000, 1000), 224) == (224, 224)


def test_reader_is_picklable_and_reopens(make_raster: MakeRaster) -> None:
    """Workers get the reader closed; each opens its own."""
    data = rgb(8, 8)
    reader = pickle.loads(pickle.dumps(reader_of(make_raster(data), 8)))
    with pytest.raises(RuntimeError, match="closed"):
        _ = reader.dataset
    for _ in range(2):
        assert (read_all(reader)[0].image == data).all()
    with reader:
        assert rasterio.env.getenv()["GDAL_VRT_ENABLE_PYTHON"] == "NO"


def test_threads(make_raster: MakeRaster) -> None:
    """A reader a thread, each with its own settings: the same pictures."""
    closed = reader_of(make_raster(rgb(64, 64), tiled=True, blockxsize=16, blockysize=16), 16)
    expected = [tile.image.tobytes() for tile in read_all(closed)]
    results: list[list[bytes]] = []

    def work() -> None:
        reader = SceneReader(closed.info, closed.grid, closed.bands, closed.stretch)
        results.append([tile.image.tobytes() for tile in read_all(reader)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_failure_names_tile_and_file(make_raster: MakeRaster) -> None:
    """A file cut off in the middle: the tiles before are read, those after name themselves."""
    path = make_raster(rgb(64, 16), tiled=True, blockxsize=16, blockysize=16)
    with open_scene(path) as scene:
        start = int(scene.dataset.get_tag_item("BLOCK_OFFSET_0_2", "TIFF", bidx=1))
    reader = reader_of(path, 16)
    Path(path).write_bytes(Path(path).read_bytes()[:start])
    with reader:
        read_tile(reader, reader.grid.tile(1, 0), 16)
        with pytest.raises(ReadError) as caught:
            read_tile(reader, reader.grid.tile(2, 0), 16)
    assert "row 2, col 0" in caught.value.message and path in caught.value.message
    assert "previous exception" not in caught.value.message and "\n" not in caught.value.message
    assert caught.value.exit_code == 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "tile", "share"),
    [
        ("naip_2014.tif", 224, (0.99, 1)),
        ("ortho_bridge.tif", 512, (1, 1)),
        ("wildfires_epsg4326.tif", 224, (1, 1)),
        ("landsat_uint16_border.tif", 224, (0.6, 0.75)),
        ("drone_alpha.tif", 224, (0.6, 0.9)),
        ("rgb_utm18_border.tif", 224, (0.5, 0.8)),
        ("rgba_uint16.tif", 224, (0.4, 0.8)),
        ("dateline_utm60.tif", 512, (1, 1)),
        ("mars.tif", 512, (1, 1)),
        ("polar_epsg3031.tif", 256, (0.2, 0.4)),
        ("float32_nan_cog.tif", 224, (0.4, 0.8)),
        ("uint16_nodata_cog.tif", 512, (0.5, 0.7)),
        ("south_up.tif", 224, (0, 0)),
        ("palette_large.tif", 2048, (0.54, 0.57)),
        ("world_36000x18000.tif", 6000, (0.2, 0.5)),
        ("alpha_98_percent_empty.tif", 224, (0.01, 0.04)),
        ("goes_geostationary.tif", 224, (0.7, 0.85)),
    ],
)
def test_real_scenes(scenes: Path, name: str, tile: int, share: tuple[float, float]) -> None:
    """Real files: pictures of one shape, and the share of valid pixels that the mask says."""
    reader = reader_of(str(scenes / name), tile)
    tiles = read_all(reader, 224)
    side = min(tile, 224)
    assert {t.image.shape for t in tiles} == {(3, side, side)}
    areas = [t.width * t.height for t in reader.grid]
    mean = np.average([t.valid_fraction for t in tiles], weights=areas)
    assert share[0] <= mean <= share[1]
    with open_scene(str(scenes / name)) as scene:
        if scene.info.dtypes[0] != "float32" and scene.info.width < 8000:
            shape = (scene.info.height // 2, scene.info.width // 2)
            mask = scene.dataset.dataset_mask(out_shape=shape) > 0
            assert mean == pytest.approx(mask.mean(), abs=0.02)
    if share[0] > 0 and name not in ("rgba_uint16.tif", "world_36000x18000.tif"):  # their valid pixels are all alike
        assert np.std([t.image.mean() for t in tiles]) > 0


@pytest.mark.shared
def test_real_damage(scenes: Path) -> None:
    """Some tiles of a damaged file fail one by one, the others are read."""
    reader = reader_of(str(scenes / "corrupt.tif"), 224)
    failed = 0
    with reader:
        for tile in reader.grid:
            try:
                read_tile(reader, tile, 224)
            except ReadError as error:
                failed += 1
                assert "corrupt.tif" in error.message
    assert 0 < failed < len(reader.grid)


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_damaged_files_read_or_fail_in_our_words(scenes: Path) -> None:
    """Files that crashed image libraries: a picture or a ReadError, once they are given a position."""
    outcomes = {"read": 0, "failed": 0}
    for path in sorted((scenes / "damaged").iterdir()):
        try:
            with rasterio.open(path) as d:
                size, count, dtypes = (d.width, d.height), d.count, tuple(d.dtypes)
        except rasterio.errors.RasterioIOError:
            continue
        if size[0] * size[1] > 10**7:
            continue
        info = SceneInfo(
            str(path), path.name, path.stem, "GTiff", *size, count, dtypes, ("undefined",) * count,
            CRS.from_epsg(32618), False, Affine.scale(2), (None,) * count, ((1, 1),) * count, (),
            "none", None, None, None,
        )  # fmt: skip
        bands = choose_bands(info)
        stretch = Stretch("range", (0,) * bands.channels, (255,) * bands.channels)
        reader = SceneReader(info, Grid(*size, *size, *size), bands, stretch)
        try:
            assert read_all(reader, 64)[0].image.dtype == np.uint8
            outcomes["read"] += 1
        except ReadError:
            outcomes["failed"] += 1
    assert outcomes["read"] > 30 and outcomes["failed"] >= 5
