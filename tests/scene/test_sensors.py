"""Guessing the satellite or camera of a scene, and what its bands are then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.scene.band_names import BandIdentities, identify_bands
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.sensor_table import FAMILIES
from bimors_cli.scene.sensors import Described, SensorGuess, guess
from tests.conftest import MakeRaster


@dataclass(frozen=True)
class Source:
    """What `guess` needs of a scene."""

    descriptions: tuple[str | None, ...] = (None,)
    name: str = "scene.tif"
    tags: tuple[tuple[str, str], ...] = ()
    scales: tuple[float, ...] = ()


def identities(source: Source, colours: list[str] | None = None) -> BandIdentities:
    found, count = guess(source), len(source.descriptions)
    sensor = None if found is None else found.sensor
    return identify_bands(source.descriptions, [None] * count, colours or ["undefined"] * count, sensor)


def title(source: Described) -> str | None:
    found = guess(source)
    return None if found is None else found.title


@pytest.mark.parametrize(
    "name, expected",
    [
        ("T32TQM_20200101T100000_B04_10m.jp2", "Sentinel-2"),
        ("S2A_MSIL2A_20200101T100000_N0500_R022_T32TQM_20200101T120000.tif", "Sentinel-2 L2A (surface reflectance)"),
        ("S2B_MSIL1C_20200101T100000_N0209_R022_T32TQM.tif", "Sentinel-2 L1C (top of atmosphere)"),
        ("HLS.S30.T10SEG.2020001T184000.v2.0.tif", "Sentinel-2 surface reflectance (HLS)"),
        ("LC08_L2SP_198024_20200101_20200110_02_T1.tif", "Landsat 8/9 surface reflectance, collection 2"),
        ("LC09_L1TP_198024_20220101_20220110_02_T1_B4.TIF", "Landsat 8/9 level 1, collection 2"),
        ("LE07_L2SP_198024_20000101_20200110_02_T1_SR_B3.TIF", "Landsat 4-7 surface reflectance, collection 2"),
        ("LT05_L1TP_198024_19990101_20200110_01_T1.tif", "Landsat 4-7 level 1"),
        ("LM05_L1TP_198024_19850101_20200110_02_T2.tif", "Landsat MSS"),
        ("20230101_101010_12_2414_3B_AnalyticMS_SR_8b.tif", "PlanetScope"),
        ("20230101_101010_1012_3B_AnalyticMS.tif", "PlanetScope"),
        ("20200814_162132_ssc4d3_0021_analytic.tif", "SkySat"),
        ("2019-05-01_RE3_3A_Analytic.tif", "RapidEye"), ("m_3008501_ne_16_1_20110815.tif", "NAIP"),
        ("MOD09GA_h18v03.tif", "MODIS"), ("AST_L1T_00301012020.tif", "ASTER"),
        ("scene.tif", None), ("films2a.tif", None), ("model8.tif", None), ("S2A_LC08_fused.tif", None),
        ("ls2ab.tif", None), ("aster_of_naip.tif", None),
    ],
)  # fmt: skip
def test_file_names(name: str, expected: str | None) -> None:
    assert title(Source(name=name)) == expected


@pytest.mark.parametrize(
    "tags, expected",
    [
        ({"SPACECRAFT_ID": "LANDSAT_9", "COLLECTION_NUMBER": "02"}, "Landsat 8/9, collection 2"),
        ({"SPACECRAFT_ID": "LANDSAT_5", "SENSOR_ID": "TM"}, "Landsat 4-7"),
        ({"SPACECRAFT_ID": "LANDSAT_5", "SENSOR_ID": "MSS"}, "Landsat MSS"),
        ({"SATELLITEID": "WV03"}, "WorldView-2/3"), ({"SATID": "QB02"}, "GeoEye-1 or QuickBird"),
        ({"PLATFORM": "Sentinel-2B", "PRODUCT_TYPE": "S2MSI1C"}, "Sentinel-2"),
        ({"PLATFORM": "Sentinel-2B", "PROCESSING_LEVEL": "L2A"}, "Sentinel-2 L2A (surface reflectance)"),
        ({"TIFFTAG_SOFTWARE": "Agisoft Metashape Professional 1.8"}, "orthomosaic of a drone survey"),
        ({"TIFFTAG_SOFTWARE": "pix4dmapper"}, "orthomosaic of a drone survey"),
        ({"TIFFTAG_SOFTWARE": "pix4dmapper", "EXIF_MAKE": "MicaSense"}, "MicaSense camera"),
        ({"EXIF_MODEL": "FC6360"}, "DJI multispectral camera"), ({"TIFFTAG_SOFTWARE": "IrfanView"}, None),
        ({"PROCESSING_LEVEL": "L2SP"}, None),
    ],
)  # fmt: skip
def test_tags(tags: dict[str, str], expected: str | None) -> None:
    assert title(Source(tags=tuple(tags.items()))) == expected


def test_scale_of_collection_2_and_evidence() -> None:
    found = guess(Source(("SR_B4", "SR_B6"), scales=(2.75e-5, 2.75e-5)))
    assert isinstance(found, SensorGuess)
    assert str(found) == "Landsat 8/9 surface reflectance, collection 2 (bands SR_B4, SR_B6)"
    found = guess(Source(("B4",), tags=(("SPACECRAFT_ID", "LANDSAT_8"),)))
    assert found is not None and found.evidence == ("tag SPACECRAFT_ID is LANDSAT_8", "bands B4")


def test_order_of_published_products() -> None:
    planet = Source((None,) * 8, "20230101_101010_12_2414_3B_AnalyticMS_SR_8b_clip.tif")
    names = ("coastal", "blue", None, "green", None, "red", "rededge1", "nir")
    assert identities(planet) == BandIdentities(names, by_order=True)
    four = Source((None,) * 4, "20230101_101010_1012_3B_AnalyticMS.tif")
    assert identities(four).names == ("blue", "green", "red", "nir")
    # Colours of the file are surer than the order, and an alpha band does not count.
    assert identities(four, ["red", "green", "blue", "undefined"]) == BandIdentities(("red", "green", "blue", None))
    visual = Source((None,) * 4, "20230101_101010_1012_3B_Visual.tif")
    assert identities(visual, ["red", "green", "blue", "alpha"]).names == ("red", "green", "blue", None)
    assert identities(Source((None,) * 5, four.name)).names == (None,) * 5
    naip = Source((None,) * 4, "m_3008501_ne_16_1_20110815.tif")
    assert identities(naip).names == ("red", "green", "blue", "nir")
    described = Source(("blue", "green", "red", "x"), four.name)
    assert identities(described) == BandIdentities(("blue", "green", "red", None))


def test_stacks_of_dates() -> None:
    stack = Source(("2019_B4", "2019_B3", "2019_B2", "2020_B4", "2020_B3", "2020_B2"), "S2A_stack.tif")
    assert identities(stack) == BandIdentities((None,) * 6, repeated=(1, 2, 3))
    by_band = ("blue_2019", "blue_2020", "green_2019", "green_2020", "red_2019", "red_2020")
    assert identities(Source(by_band)).repeated == (5, 3, 1)
    assert identities(Source(("nir", *by_band[1:]))).repeated == (6, 4, 2)
    assert identities(Source(("red", "green", "blue") * 2)).repeated == (1, 2, 3)
    assert identities(Source(("red", "red"))).repeated == ()


def test_the_nearest_of_several_wavelengths() -> None:
    names = ("Blue-444", "Blue-475", "Green-531", "Green-560", "Red-650", "Red-668", "NIR-842")
    assert identities(Source(names)).names == (None, "blue", None, "green", None, "red", "nir")
    hyper = identify_bands([None] * 60, [400 + 10.0 * band for band in range(60)], ["undefined"] * 60)
    assert [hyper.names.index(colour) for colour in ("red", "green", "blue")] == [26, 16, 8]


def test_numbers_that_only_count_say_nothing() -> None:
    for names in ([f"b{n}" for n in range(1, 13)], [f"Band {n}" for n in range(1, 21)], ["Band_01", "Band_02"]):
        assert set(identities(Source(tuple(names))).names) == {None}
        assert set(identities(Source(tuple(names), "LC08_stack.tif")).names) == {None}


def test_other_numbers_than_those_of_sentinel_2() -> None:
    modis = Source(tuple(f"sur_refl_b0{number}" for number in range(1, 8)))
    assert identities(modis).names == ("red", "nir", "blue", "green", None, "swir1", "swir2")
    assert identities(Source(("B01", "B02", "B3N", "B04"))).names == ("green", "red", "nir", None)
    hls = Source(tuple(f"B0{number}" for number in range(1, 8)), "HLS.L30.T10SEG.2020001T184000.v2.0.tif")
    assert identities(hls).names == ("coastal", "blue", "green", "red", "nir", "swir1", "swir2")
    mss = Source(("B1", "B2", "B3", "B4"), tags=(("SPACECRAFT_ID", "LANDSAT_5"), ("SENSOR_ID", "MSS")))
    assert identities(mss).names == (None,) * 4


def test_colours_of_gdal() -> None:
    assert identities(Source((None,) * 4), ["blue", "green", "red", "nir"]).names == ("blue", "green", "red", "nir")
    # A name is surer than a colour, and takes it away from another band.
    found = identities(Source((None, "B04", "B03", "B02")), ["red", "undefined", "undefined", "undefined"])
    assert found.names == (None, "red", "green", "blue")


def test_sources_of_a_vrt(make_raster: MakeRaster, tmp_path: Path) -> None:
    """As `gdalbuildvrt -separate` makes it: bands have no descriptions, their files have."""
    bands = ""
    for number, code in enumerate(("B02", "B03", "B04"), 1):
        name = f"T32TQM_20200101T100000_{code}_10m.tif"
        make_raster(np.ones((1, 4, 4), np.uint16), name=name)
        bands += (
            f'<VRTRasterBand dataType="UInt16" band="{number}"><ComplexSource>'
            f'<SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand>'
            "</ComplexSource></VRTRasterBand>"
        )
    path = tmp_path / "stack.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>500000, 10, 0, 4000000, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    info = scene_info(str(path))
    assert info.band_names == ("blue", "green", "red")
    assert title(info) == "Sentinel-2"


def test_tags_of_files(make_raster: MakeRaster) -> None:
    path = make_raster(np.zeros((8, 4, 4), np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMD", satId='"WV02"')
    info = scene_info(path)
    assert title(info) == "WorldView-2/3"
    assert info.band_names[1:5] == ("blue", "green", None, "red") and info.named_by_order
    path = make_raster(np.zeros((2, 4, 4), np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, NETCDF_VARNAME="red")
        dataset.update_tags(2, BANDNAME="B8A")
    assert scene_info(path).band_names == ("red", "nir")


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=6), st.text(max_size=60), st.text(max_size=60))
def test_any_text(descriptions: list[str | None], name: str, tag: str) -> None:
    source = Source(tuple(descriptions), name, (("SPACECRAFT_ID", tag), ("TIFFTAG_SOFTWARE", tag)))
    found = guess(source)
    assert found is None or found.evidence
    bands = identities(source)
    assert len(bands.names) == len(descriptions)
    known = [one for one in bands.names if one is not None]
    assert len(set(known)) == len(known)


def test_table() -> None:
    """Orders are as long as they say; a suggestion has three bands that the stack has."""
    for sensor in (sensor for family in FAMILIES for sensor in family):
        assert all(len(order) == count for count, order in sensor.orders.items())
        for count, (bands, _) in sensor.stacks.items():
            assert len(bands.split(",")) == 3 and all(1 <= int(band) <= count for band in bands.split(","))
