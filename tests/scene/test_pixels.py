"""Palettes and decimated reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bimors_cli.scene import pixels
from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster
from tests.scene.reading import read_all, reader_of, rgb


def test_palette(make_raster: MakeRaster) -> None:
    """Indexes become colours; a transparent entry and nodata are empty; decimation averages colours, not indexes."""
    data = np.zeros((1, 8, 8), np.uint8)
    data[0, :, 4:] = 200
    table = {0: (10, 20, 30, 255), 1: (0, 0, 0, 0), 200: (110, 120, 130, 255)}
    image = read_all(reader_of(make_raster(data, palette=table), 8))[0].image
    assert image[:, 0, 0].tolist() == [10, 20, 30] and image[:, 0, 7].tolist() == [110, 120, 130]
    data[0, 0] = 1
    path = make_raster(data, nodata=1, palette=table)
    assert read_all(reader_of(path, 8))[0].valid_fraction == 7 / 8
    table[2] = (0, 0, 0, 0)  # of a single transparent entry GDAL would make nodata
    transparent = make_raster(data, name="transparent.png", palette=table, driver="PNG")
    assert scene_info(transparent).nodata == (None,)
    assert read_all(reader_of(transparent, 8))[0].valid_fraction == 7 / 8
    small = read_all(reader_of(path, 8), 1)[0]
    assert small.image.ravel() == pytest.approx([60, 70, 80], abs=1)


@pytest.mark.parametrize("size", [(64, 64), (61, 47)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_decimated_equals_averaged(make_raster: MakeRaster, size: tuple[int, int], dtype: str) -> None:
    """Reading small gives the mean of what it stands for, noise included."""
    data = np.random.default_rng(4).integers(0, 256, (3, *size)).astype(dtype)
    tile = read_all(reader_of(make_raster(data), 64, stretch="0,255"), 16)[0]
    assert tile.image.shape == (3, 16, 16)
    rows, cols = (max(1, round(n / 4)) for n in size)
    edges = [np.linspace(0, n, k + 1).round().astype(int) for n, k in zip(size, (rows, cols), strict=True)]
    full = data.astype(float)
    means = [
        [full[:, r0:r1, c0:c1].mean(axis=(1, 2)) for c0, c1 in zip(edges[1], edges[1][1:], strict=False)]
        for r0, r1 in zip(edges[0], edges[0][1:], strict=False)
    ]
    error = np.abs(tile.image[:, :rows, :cols] - np.moveaxis(np.array(means), 2, 0))
    if size == (64, 64):
        assert error.max() <= 1  # whole pixels: the rounding of the two averages only
    else:
        assert error.mean() < 15  # the cells straddle pixels; white noise of sigma 74 is the worst case


def test_decimated_through_overviews(make_raster: MakeRaster) -> None:
    """A long way down, with and without overviews, the picture stays the mean."""
    smooth = np.add.outer(np.linspace(0, 120, 1024), np.linspace(0, 120, 1024))
    data = (smooth + np.random.default_rng(5).uniform(0, 15, smooth.shape)).astype(np.uint8)[None]
    expected = data[0].reshape(32, 32, 32, 32).mean(axis=(1, 3))
    for overviews in (None, [2, 4, 8]):
        image = read_all(reader_of(make_raster(data, overviews=overviews), 1024, stretch="0,255"), 32)[0].image
        assert np.abs(image[0] - expected).max() < 2


@pytest.mark.parametrize("how", ["nodata", "override", "nan", "mask", "alpha"])
def test_emptiness_does_not_bleed_when_decimated(make_raster: MakeRaster, how: str) -> None:
    """The mean of valid pixels only: a border of nodata makes no dark fringe, its share is measured."""
    data = np.full((3, 256, 256), 200, np.float32)
    empty = np.zeros((256, 256), bool)
    empty[:, :101] = True
    empty[::37, ::41] = True  # single pixels
    options: dict[str, object] = {}
    nodata = FILE_NODATA
    bad = {"nan": np.nan, "mask": 0, "alpha": 0}.get(how, -9999)
    data[:, empty] = bad
    if how == "nodata":
        options["nodata"] = -9999
    elif how == "override":
        nodata = Nodata("value", -9999)
    elif how == "mask":
        options["mask"] = ~empty
    elif how == "alpha":
        data = np.concatenate([data, np.where(empty, 0, 255).astype(np.float32)[None]])
        options["colorinterp"] = ["red", "green", "blue", "alpha"]
    tile = read_all(reader_of(make_raster(data, **options), 256, stretch="0,255", nodata=nodata), 32)[0]
    assert (tile.image == 200).all()
    assert tile.valid_fraction == pytest.approx((~empty).mean(), abs=0.02)


def test_a_large_tile_is_not_read_in_full(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of GDAL is bounded by the picture, not by the tile."""
    asked: list[tuple[int, int]] = []
    sample = pixels.sample_window

    def spy(*args: Any) -> Any:
        asked.append(args[4])
        return sample(*args)

    monkeypatch.setattr(pixels, "sample_window", spy)
    read_all(reader_of(make_raster(rgb(2000, 2000)), 2000), 32)
    assert asked == [(128, 128)]
