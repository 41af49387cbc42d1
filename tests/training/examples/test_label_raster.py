"""Scenes and the land cover map that labels them."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject

from bimors_cli.errors import InputError, ReadError, SceneError
from bimors_cli.labels import Labels
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.label_raster import RasterSpec, write_raster
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import open_scene
from bimors_cli.training.examples import tile_codes as module
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.label_raster import from_label_raster
from bimors_cli.training.examples.tile_codes import NO_CLASS, CodeClasses, tile_codes
from tests.conftest import NORTH_UP, MakeRaster

TILES = SceneOptions(tile_size="10")
NAMES = ClassNames.of({1: "water", 2: "forest", 3: "town"})


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """A scene of 60 x 40 pixels: 6 x 4 tiles of 10."""
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 40, 60), dtype=np.uint8))


def halves(left: int = 1, right: int = 2, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    """Codes on the grid of the scene: the left half, the right half."""
    codes = np.full((1, 40, 60), left, dtype)
    codes[:, :, 30:] = right
    return codes


def take(scenes: str | list[str], raster: str, **more: Any) -> Examples:
    options = {"image_size": 8, "options": TILES, **more}
    return from_label_raster([scenes] if isinstance(scenes, str) else scenes, raster, **options)


def labelled(examples: Examples) -> dict[str, str]:
    return {example.source_id: examples.labels.names[example.label] for example in examples.examples}


def test_tiles_of_a_map_on_the_same_grid(scene: str, make_raster: MakeRaster) -> None:
    codes = halves()
    codes[0, :10, :4] = 3  # 40 % of the first tile
    codes[0, 10:20, :6] = 3  # 60 % of the one below
    examples = take(scene, make_raster(codes, name="map.tif"), names=NAMES)
    assert examples.labels.names == ("water", "forest", "town")
    assert examples.description["class names"] == "category names"
    numbers = [example.label + 1 for example in examples.examples]
    assert numbers == codes.ravel()[1:].tolist()


def refused(scene: str, raster: str, said: str, **more: Any) -> None:
    with pytest.raises(InputError, match=said) as caught:
        take(scene, raster, **more)
    assert "\n" not in caught.value.message and caught.value.hint


def test_what_is_refused(scene: str, make_raster: MakeRaster) -> None:
    refused(scene, make_raster(np.ones((2, 40, 60), np.uint8), name="two.tif"), "two.tif has 2 bands")
    refused(scene, make_raster(halves(0.25, 1, np.float32), name="f.tif"), "f.tif: 0.25 is not a class code")
    refused(scene, make_raster(halves(np.inf, 1, np.float32), name="f.tif"), "f.tif: inf is not a class code")
    away = make_raster(halves(), name="away.tif", transform=Affine(10, 0, 900_000, 0, -10, 4_600_000))
    refused(scene, away, "away.tif: no labelled pixel overlaps scene.tif")
    refused(scene, make_raster(halves(2, 2), name="one.tif"), "one.tif: only the class '2' found")
    refused(scene, make_raster(halves(5, 6), name="map.tif"), r"map.tif: none of its codes has a name", names=NAMES)
    mixed = np.random.default_rng(0).integers(1, 4, (1, 40, 60), dtype=np.uint8)
    refused(scene, make_raster(mixed, name="mixed.tif"), "no class covers a fraction of 0.9", min_overlap=0.9)
    mixed[:, :10, :10] = 1
    refused(scene, make_raster(mixed, name="mixed.tif"), "only the class '1' covers a fraction", min_overlap=0.9)
    measured = np.arange(2400, dtype=np.int16).reshape(1, 40, 60)
    refused(scene, make_raster(measured, name="dem.tif"), "dem.tif: more than 1,000 different values")
    with pytest.raises(InputError, match="must be between 0 and 1"):
        take(scene, make_raster(halves(), name="map.tif"), min_overlap=2)
    with pytest.raises(SceneError, match="not found"):
        take(scene, "nowhere.tif")


def test_whole_numbers_as_floats_and_negative_codes(scene: str, make_raster: MakeRaster) -> None:
    assert take(scene, make_raster(halves(1, 2, np.float64), name="f.tif"), names=NAMES).labels.names == (
        "water",
        "forest",
    )
    assert take(scene, make_raster(halves(-1, 2, np.int16), name="s.tif")).labels.names == ("-1", "2")


def test_a_damaged_map(scene: str, make_raster: MakeRaster) -> None:
    path = make_raster(np.random.default_rng(0).integers(0, 3, (1, 40, 60), dtype=np.uint8), name="map.tif")
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match=r"cannot read map.tif at scene.tif"):
        take(scene, path)


def test_a_map_on_another_planet(scene: str, make_raster: MakeRaster) -> None:
    moon = CRS.from_user_input("+proj=longlat +R=1737400 +no_defs").to_wkt()
    path = make_raster(halves(), name="moon.tif", crs=moon, transform=Affine(1, 0, 10, 0, -1, 20))
    with pytest.raises((InputError, ReadError), match=r"moon.tif"):
        take(scene, path)


@pytest.mark.shared
def test_land_cover_of_zion(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared / "scenes" / "labelled" / "zion"
    examples = from_label_raster(
        [str(folder / "zion_landsat8.tif")],
        str(folder / "zion_nlcd2011.tif"),
        image_size=16,
        options=SceneOptions(tile_size="16"),
        min_overlap=0.8,
    )
    assert examples.labels.names[:5] == (
        "open water", "barren land", "deciduous forest", "evergreen forest", "shrub/scrub",
    )  # fmt: skip
    with rasterio.open(folder / "zion_nlcd2011.tif") as dataset:
        codes = dataset.read(1)
    whole = codes[: 1428 // 16 * 16, : 1128 // 16 * 16].reshape(89, 16, 70, 16)
    shrub = (whole == 52).mean(axis=(1, 3)) >= 0.8
    found = {place for place, name in labelled(examples).items() if name == "shrub/scrub"}
    assert {f"zion_landsat8/{r}/{c}" for r, c in np.argwhere(shrub)} == {
        place for place in found if int(place.split("/")[1]) < 89 and int(place.split("/")[2]) < 70
    }
    assert len(caplog.messages) == 1 and "'mixed forest'" in caplog.messages[0]
