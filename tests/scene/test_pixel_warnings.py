"""What makes the pixels of a scene suspect, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from bimors_cli.scene import pixel_warnings as module
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.pixel_warnings import pixel_warnings
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.stretch import compute_stretch, parse_stretch
from tests.conftest import MakeRaster

LOWEST = float(np.finfo(np.float32).min)


def noise(count: int, dtype: Any = np.uint8, low: int = 30, high: int = 200) -> npt.NDArray[Any]:
    """Bands of 64 x 64 pixels between two values."""
    return np.random.default_rng(0).integers(low, high, (count, 64, 64)).astype(dtype)


def found(
    path: str, nodata: str | None = None, *, masks: bool = True, bidx: tuple[int, ...] | None = None
) -> dict[str, str]:
    with open_scene(path) as scene:
        rule, bands = parse_nodata(nodata, masks=masks), choose_bands(scene.info, bidx)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch("auto"), rule)
        warnings = pixel_warnings(scene, bands, stretch, rule, bands_given=bidx is not None)
    return {warning.kind: f"{warning.text}; {warning.advice}" for warning in warnings}


def test_a_plain_scene_is_not_suspect(make_raster: MakeRaster) -> None:
    assert found(make_raster(noise(3))) == {}
    assert found(make_raster(noise(1, np.uint16))) == {}


def test_bands_without_names(make_raster: MakeRaster) -> None:
    path = make_raster(noise(5, np.uint16))
    assert found(path)["bands"].startswith("bands 1, 2, 3 are used as red, green and blue")
    assert found(path, bidx=(3, 2, 1)) == {}
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("Blue", "Green", "Red", "NIR", "x")
    assert found(path) == {}
    assert found(make_raster(noise(3, np.uint16))) == {}  # three bands have one order at least


def test_near_infrared_as_alpha(make_raster: MakeRaster) -> None:
    data = noise(4)
    data[3, :20] = 0
    path = make_raster(data, colorinterp=["red", "green", "blue", "alpha"])
    text = found(path)["alpha"]
    assert "band 4" in text and "31%" in text and "--ignore-mask" in text
    assert found(path, masks=False) == {}
    data[3] = np.where(data[3] > 0, 255, 0)
    assert found(make_raster(data, colorinterp=["red", "green", "blue", "alpha"])) == {}


@pytest.mark.parametrize(
    "dtype, value, kind",
    [
        (np.uint8, 0, "fill"), (np.uint8, 255, "fill"), (np.uint16, 65535, "fill"), (np.int16, -9999, "fill"),
        (np.int16, -32768, "fill"), (np.float32, -9999, "fill"), (np.float32, 0, "fill"), (np.float64, 1e20, "fill"),
        (np.float32, LOWEST, "values"), (np.uint8, 100, None),
    ],
)  # fmt: skip
def test_undeclared_fill(make_raster: MakeRaster, dtype: Any, value: float, kind: str | None) -> None:
    data = noise(3, dtype)
    data[:, :16] = value
    warnings = found(make_raster(data))
    assert set(warnings) == ({kind} if kind else set())
    if kind == "fill":
        assert "25%" in warnings["fill"] and f"--nodata {value:g}" in warnings["fill"]
    assert found(make_raster(data, nodata=value)) == {}
    assert found(make_raster(data), f"{value!r}") == {}


def test_dark_water_and_clouds_are_no_fill(make_raster: MakeRaster) -> None:
    """They do not follow the edge of the scene; a missing measurement, -9999, may lie anywhere."""
    data = noise(3, np.int16)
    data[:, 20:40, 20:40] = np.iinfo(np.int16).max
    assert found(make_raster(data)) == {}
    data[:, 20:40, 20:40] = -9999
    assert set(found(make_raster(data))) == {"fill"}


def test_one_band_of_fill_values_is_not_a_pixel_of_them(make_raster: MakeRaster) -> None:
    data = noise(3)
    data[0, :32] = 0
    assert found(make_raster(data)) == {}


def test_large_scenes_are_read_in_rows(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(3)
    data[:, :, :16] = 0
    monkeypatch.setattr(module, "_READ_WHOLE", 0)
    assert "25%" in found(make_raster(data))["fill"]
