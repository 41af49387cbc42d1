"""Choosing the bands of the image."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from bimors_cli.errors import InputError
from bimors_cli.options.parse import parse_bidx
from bimors_cli.scene.bands import Bands, choose_bands, colours_are_known
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster


def stack(count: int) -> np.ndarray:
    """Return `count` bands of 4 x 4."""
    return np.zeros((count, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("values", "bidx"),
    [([], ()), (["3,2,1"], (3, 2, 1)), (["3", "2", "1"], (3, 2, 1)), ([" 4 "], (4,)), (["1", "2,2"], (1, 2, 2))],
)
def test_parse(values: list[str], bidx: tuple[int, ...]) -> None:
    """Repeated and packed options."""
    assert parse_bidx(values) == bidx


@pytest.mark.parametrize("text", ["", "0", "-1", "red", "1,,2", "1.0", "²"])
def test_parse_refuses(text: str) -> None:
    """What is not a band number."""
    with pytest.raises(InputError):
        parse_bidx([text])


@pytest.mark.parametrize(
    ("count", "colours", "indexes"),
    [
        (1, None, (1,)),
        (2, ["gray", "alpha"], (1,)),
        (2, ["gray", "undefined"], (1,)),
        (3, ["gray", "undefined", "undefined"], (1, 2, 3)),
        (4, ["gray", "undefined", "undefined", "undefined"], (1, 2, 3)),
        (4, ["blue", "green", "red", "alpha"], (3, 2, 1)),
        (4, ["alpha", "gray", "undefined", "undefined"], (2, 3, 4)),
        (5, ["undefined", "blue", "green", "red", "undefined"], (4, 3, 2)),
    ],
)
def test_default(make_raster: MakeRaster, count: int, colours: list[str] | None, indexes: tuple[int, ...]) -> None:
    """Colour interpretation first, then order; alpha is no colour."""
    info = scene_info(make_raster(stack(count), colorinterp=colours))
    assert choose_bands(info) == Bands(indexes)
    assert choose_bands(info).channels == len(indexes)


@pytest.mark.parametrize(
    ("names", "dtype", "indexes", "known"),
    [
        (["B01", "B02", "B03", "B04", "B05"], np.uint16, (4, 3, 2), True),
        (["Red", "Green", "NIR", "Rededge", "Blue"], np.uint16, (1, 2, 5), True),
        (["blue", "green", "red"], np.uint8, (3, 2, 1), True),  # GDAL calls the first of three 8-bit bands red
        (["nir", "red", "green"], np.uint8, (1, 2, 3), True),  # as it is displayed
        (["nir", "red", "green"], np.uint16, (1, 2, 3), False),
        (["2020", "2021", "2022", "2023"], np.uint16, (1, 2, 3), False),
    ],
)
def test_names_before_colours(
    make_raster: MakeRaster, names: list[str], dtype: type, indexes: tuple[int, ...], known: bool
) -> None:
    """Names decide where they say which bands are red, green and blue."""
    path = make_raster(stack(len(names)).astype(dtype))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    info = scene_info(path)
    assert choose_bands(info) == Bands(indexes)
    assert colours_are_known(info) is known


def test_palette(make_raster: MakeRaster) -> None:
    """A palette is three channels, also where the user names the band."""
    info = scene_info(make_raster(stack(1), palette={0: (10, 20, 30, 255)}))
    for bands in (choose_bands(info), choose_bands(info, (1,))):
        assert bands.channels == 3 and bands.indexes == (1,)
        assert bands.lut()[0].tolist() == [10, 20, 30, 255]
    assert choose_bands(info, (1, 1, 1)).palette is None


def test_choice(make_raster: MakeRaster) -> None:
    """The user's bands, in the user's order, or a reason."""
    info = scene_info(make_raster(stack(4)))
    assert choose_bands(info, (4, 2, 2)) == Bands((4, 2, 2))
    assert choose_bands(info, (4,)).channels == 1
    for bidx in ((1, 2), (1, 2, 3, 4)):
        with pytest.raises(InputError) as caught:
            choose_bands(info, bidx)
        assert "one band" in str(caught.value.hint) and "three" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"scene.tif has no band 5") as caught:
        choose_bands(info, (5, 1, 1))
    assert caught.value.hint == "it has bands 1 to 4"
