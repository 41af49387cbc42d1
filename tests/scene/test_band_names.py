"""What bands are, by their descriptions, codes, wavelengths and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import rasterio

from bimors_cli.scene.band_names import identify_bands
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.sensors import guess
from tests.conftest import MakeRaster


@dataclass(frozen=True)
class Source:
    """What `guess` needs of a scene."""

    descriptions: tuple[str | None, ...]
    name: str = "scene.tif"
    tags: tuple[tuple[str, str], ...] = ()
    scales: tuple[float, ...] = ()


def band_names(
    descriptions: Sequence[str | None],
    wavelengths: Sequence[float | None],
    colours: Sequence[str],
    name: str = "scene.tif",
) -> tuple[str | None, ...]:
    sensor = guess(Source(tuple(descriptions), name))
    return identify_bands(descriptions, wavelengths, colours, sensor and sensor.sensor).names


def named(*descriptions: str | None, colours: Sequence[str] | None = None) -> tuple[str | None, ...]:
    count = len(descriptions)
    return band_names(descriptions, [None] * count, colours or ["undefined"] * count)


@pytest.mark.parametrize(
    "text, name",
    [
        ("Red", "red"), ("GREEN", "green"), ("Blu", "blue"), ("NIR", "nir"), ("Near Infrared", "nir"),
        ("near-infrared", "nir"), ("SWIR 1", "swir1"), ("swir_2", "swir2"), ("SWIR22", "swir2"), ("nir08", "nir"),
        ("Coastal aerosol", "coastal"), ("Red Edge 1", "rededge1"), ("vegetation red edge 3", "rededge3"),
        ("Narrow NIR", "nir"), ("Water vapour", "water vapour"), ("cirrus", "cirrus"), ("reduced", None),
        ("infrared thermal", None), ("", None), (None, None), ("Band 4", None), ("B4", None),
    ],
)  # fmt: skip
def test_words(text: str | None, name: str | None) -> None:
    assert named(text) == (name,)


def test_sentinel_2_codes() -> None:
    codes = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12", "SCL"]
    expected = (
        *("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir narrow"),
        *("water vapour", "cirrus", "swir1", "swir2", None),
    )
    assert named(*codes) == expected
    assert named("b4", "b8a") == ("red", "nir")
    assert named("B04", "B03", "B02") == ("red", "green", "blue")  # two digits: not Landsat's own bands
    assert named("B4", "B3", "B2") == (None,) * 3  # of Landsat they would be others


def test_landsat_8_codes() -> None:
    codes = [f"SR_B{number}" for number in range(1, 8)]
    assert named(*codes, "QA_PIXEL") == ("coastal", "blue", "green", "red", "nir", "swir1", "swir2", None)
    assert named("SR_B3", "SR_B4") == (None, None)  # Landsat 7's are red and near infrared


def test_landsat_7_codes() -> None:
    codes = ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7", "QA_PIXEL"]
    assert named(*codes) == ("blue", "green", "red", "nir", "swir1", "swir2", None)


@pytest.mark.parametrize(
    "origin, names",
    [
        ("LANDSAT_8", ("red", "green", "blue")), ("LC09_L2SP_001001_20240101.tif", ("red", "green", "blue")),
        ("LE07_L1TP_001001.tif", ("nir", "red", "green")), ("LANDSAT-5", ("nir", "red", "green")),
        ("Sentinel-2B", ("red", "green", "blue")), ("S2A_MSIL2A_20240101.tif", ("red", "green", "blue")),
        ("scene.tif", (None, None, None)), ("LANDSAT_7 S2A_", (None, None, None)), ("films2a.tif", (None, None, None)),
    ],
)  # fmt: skip
def test_the_satellite_says_what_a_code_means(origin: str, names: tuple[str | None, ...]) -> None:
    found = band_names(["B4", "B3", "B2"], [None] * 3, ["undefined"] * 3, origin)
    assert found == names


def test_codes_that_two_satellites_share() -> None:
    assert named("B2", "B3", "B4", "B9") == ("blue", "green", "red", None)  # Sentinel-2, Landsat 8 and 9 have B9


@pytest.mark.parametrize(
    "text, name",
    [
        ("B4, central wavelength 665 nm", "red"), ("Red: 668.0 nm", "red"), ("Blue-475", "blue"),
        ("band_1 (560.0 Nanometers)", "green"), ("Band 7: 2200 nm", "swir2"), ("2014-06-01", None),
    ],
)  # fmt: skip
def test_descriptions_with_a_wavelength(text: str, name: str | None) -> None:
    assert named(text) == (name,)


def test_tags_of_the_file(make_raster: MakeRaster) -> None:
    path = make_raster(np.zeros((3, 4, 4), np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B3", "B2", "B1")
        dataset.update_tags(SPACECRAFT_ID="LANDSAT_5")
    assert scene_info(path).band_names == ("red", "green", "blue")


def test_two_bands_that_say_the_same_say_nothing() -> None:
    assert named("red", "nir", "Red") == (None, "nir", None)


def test_colours_are_the_last_resort() -> None:
    assert named(None, "nir", None, colours=["red", "green", "alpha"]) == ("red", "nir", None)
    assert band_names([None], [850.0], ["red"]) == ("nir",)
    assert band_names(["nir"], [665.0], ["undefined"]) == ("nir",)


@pytest.mark.parametrize(
    "nanometres, name",
    [(443, "coastal"), (490, "blue"), (560, "green"), (665, "red"), (842, "nir"), (865, "nir"), (610, None),
     (1610, "swir1"), (2190, "swir2"), (10_900, None), (0.0, None), (-1.0, None), (float("nan"), None)],
)  # fmt: skip
def test_wavelengths(nanometres: float, name: str | None) -> None:
    assert band_names([None], [nanometres], ["undefined"]) == (name,)


@pytest.mark.parametrize(
    "tags, domain",
    [
        ({"wavelength": "{}", "wavelength_units": "Nanometers"}, None),
        ({"WAVELENGTH": "{}", "WAVELENGTH_UNIT": "nm"}, None),
        ({"wavelength": "{um}", "wavelength_units": "Micrometers"}, None),
        ({"wavelength": "{um}", "wavelength_units": "um"}, None),
        ({"CENTRAL_WAVELENGTH_UM": "{um}"}, "IMAGERY"),
    ],
)
def test_tags_of_a_file(make_raster: MakeRaster, tags: dict[str, str], domain: str | None) -> None:
    path = make_raster(np.ones((4, 4, 4), np.uint16))
    with rasterio.open(path, "r+") as dataset:
        for index, value in enumerate((560, 665, 842), 1):
            texts = {key: text.format(value, um=value / 1000) for key, text in tags.items()}
            dataset.update_tags(index, **({} if domain is None else {"ns": domain}), **texts)
        dataset.update_tags(4, wavelength="unknown")
    assert scene_info(path).band_names == ("green", "red", "nir", None)


def test_descriptions_of_a_file(make_raster: MakeRaster) -> None:
    path = make_raster(np.ones((3, 4, 4), np.uint16))
    assert scene_info(path).band_names == (None, None, None)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B8A", "B04", "quality")
    assert scene_info(path).band_names == ("nir", "red", None)
