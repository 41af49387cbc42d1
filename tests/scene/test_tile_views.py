"""What is read of a tile besides its image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.errors import RasterioIOError

from bimors_cli.errors import ReadError, SceneError
from bimors_cli.scene import tile_views
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.read import read_tile
from bimors_cli.scene.statistics import OF_BAND, StatisticsSpec
from bimors_cli.scene.stretch import Stretch
from bimors_cli.scene.tile_views import (
    AROUND,
    BANDS,
    BANDS_AROUND,
    CONTEXT,
    FALSE_COLOUR,
    ViewInputs,
    around_window,
    read_views,
)
from tests.conftest import MakeRaster
from tests.scene.reading import reader_of, rgb

SIDES = st.integers(1, 60)
SPEC = StatisticsSpec((1, 2, 3), (None,) * 3, (1.0,) * 3, (0.0,) * 3)


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_the_ground_around_a_tile(width: int, height: int, tile_x: int, tile_y: int, data: st.DataObject) -> None:
    grid = Grid(width, height, tile_x, tile_y, data.draw(st.integers(1, tile_x)), data.draw(st.integers(1, tile_y)))
    tile = grid[data.draw(st.integers(0, len(grid) - 1))]
    window = around_window(grid, tile)
    assert window.width == min(CONTEXT * tile_x, width) and window.height == min(CONTEXT * tile_y, height)
    assert window.col_off >= 0 and window.col_off + window.width <= width
    assert window.row_off >= 0 and window.row_off + window.height <= height
    assert window.col_off <= tile.x and tile.x + tile.width <= window.col_off + window.width
    assert window.row_off <= tile.y and tile.y + tile.height <= window.row_off + window.height


def test_views_of_a_tile(make_raster: MakeRaster) -> None:
    data = rgb(48, 48)
    inputs = ViewInputs(SPEC, (BANDS, BANDS_AROUND), (FALSE_COLOUR, AROUND), (Bands((3, 1, 2)), Stretch("none")))
    with reader_of(make_raster(data), 16) as reader:
        middle = read_views(reader, reader.grid[4], inputs, 100)
        corner = read_views(reader, reader.grid[0], inputs, 100)
    tile, everything = data[:, 16:32, 16:32], data
    np.testing.assert_array_equal(middle.images[FALSE_COLOUR], tile[[2, 0, 1]])
    np.testing.assert_array_equal(middle.images[AROUND], everything)
    np.testing.assert_array_equal(corner.images[AROUND], everything)
    assert middle.numbers[BANDS].shape == (len(SPEC),) and middle.numbers[BANDS_AROUND].shape == (2 * len(SPEC),)
    np.testing.assert_allclose(middle.numbers[BANDS][:: len(OF_BAND)], tile.mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(middle.numbers[BANDS_AROUND][: len(SPEC)], middle.numbers[BANDS])
    around = middle.numbers[BANDS_AROUND][len(SPEC) :: len(OF_BAND)]
    np.testing.assert_allclose(around, everything.mean(axis=(1, 2)), rtol=1e-6)


def test_only_what_is_asked_for_is_read(make_raster: MakeRaster) -> None:
    with reader_of(make_raster(rgb(16, 16)), 16) as reader:
        found = read_views(reader, reader.grid[0], ViewInputs(), 100)
        assert not found.numbers and not found.images
        found = read_views(reader, reader.grid[0], ViewInputs(SPEC, (BANDS_AROUND,)), 100)
    assert list(found.numbers) == [BANDS_AROUND] and not found.images


@pytest.mark.parametrize("limit", [16, 10, 8])
def test_false_colours_have_the_scale_of_the_image(make_raster: MakeRaster, limit: int) -> None:
    """With the bands of the image they are the image, clipped tiles at the edges included."""
    path = make_raster(rgb(24, 41))
    inputs = ViewInputs(images=(FALSE_COLOUR,), false_colour=(Bands((1, 2, 3)), Stretch("none")))
    with reader_of(path, 16) as reader:
        for tile in reader.grid:
            found = read_views(reader, tile, inputs, limit).images[FALSE_COLOUR]
            np.testing.assert_array_equal(found, read_tile(reader, tile, limit).image)


def test_the_ground_around_has_one_shape_and_scale(make_raster: MakeRaster) -> None:
    """A scene of fewer than three tiles is mirrored, as a clipped tile is."""
    with reader_of(make_raster(rgb(20, 100)), 16) as reader:
        images = [read_views(reader, tile, ViewInputs(images=(AROUND,)), 24).images[AROUND] for tile in reader.grid]
    assert {image.shape for image in images} == {(3, 24, 24)}
    for image in images:  # 20 of 48 rows are 10 of 24
        np.testing.assert_array_equal(image[:, 10:20], image[:, 9::-1])


def test_damaged_pixels_are_a_read_error(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RasterioIOError("no such block")

    monkeypatch.setattr(tile_views, "read_values", fail)
    with reader_of(make_raster(rgb(16, 16)), 16) as reader:
        inputs = ViewInputs(SPEC, (BANDS,))
        with pytest.raises(ReadError, match=r"cannot read row 0, col 0 of .*: no such block"):
            read_views(reader, reader.grid[0], inputs, 16)
        assert not reader.dataset.closed

        def gone() -> None:
            raise SceneError("scene.tif not found")

        monkeypatch.setattr(reader, "reopen", gone)
        with pytest.raises(ReadError, match="cannot read row 0"):
            read_views(reader, reader.grid[0], inputs, 16)


def test_the_key_says_which_bands_are_read() -> None:
    inputs = ViewInputs(SPEC, (BANDS,), (FALSE_COLOUR,), (Bands((3, 1, 2)), Stretch("range", (0,) * 3, (9,) * 3)))
    assert inputs.key() == [[[1, 2, 3], [1.0] * 3, [0.0] * 3], [[3, 1, 2], "range", [0] * 3, [9] * 3]]
    assert replace(inputs, statistics=replace(SPEC, indexes=(1, 3, 2))).key() != inputs.key()
    assert ViewInputs(images=(AROUND,)).key() == [None, None]
