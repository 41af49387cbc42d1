"""What PROJ lacks for an exact transformation is a warning with its error."""

from __future__ import annotations

import logging

import pytest
from pyproj import CRS, network
from pyproj.transformer import TransformerGroup

from bimors_cli.scene.transformation import inexact, not_on_the_map, warn_if_inexact

KANSAS = (400_000.0, 4_400_000.0, 500_000.0, 4_500_000.0)  # in UTM 14
INTL = "+proj=utm +zone=31 +ellps=intl +units=m +type=crs"
FRANCE = (450_000.0, 5_200_000.0, 460_000.0, 5_210_000.0)  # in UTM 31


def crs(text: str) -> CRS:
    return CRS.from_user_input(text)


def has_grid() -> bool:
    """Whether this PROJ has the grids of North America, which its wheel does not have."""
    return TransformerGroup(4267, 26914).best_available


@pytest.mark.filterwarnings("ignore:Best transformation")
@pytest.mark.parametrize("target", ["EPSG:26914", "EPSG:32614"])
def test_a_grid_that_is_missing(target: str, caplog: pytest.LogCaptureFixture) -> None:
    if has_grid():
        pytest.skip("PROJ has the grids")
    with caplog.at_level(logging.WARNING):
        warn_if_inexact("EPSG:4267", crs(target).to_wkt(), KANSAS)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(f"the transformation from EPSG:4267 to {target} lacks the grid us_noaa_")
    assert ".tif: positions may be off by about " in text and "projsync --file us_noaa_" in text
    assert not network.is_network_enabled()


@pytest.mark.parametrize(
    "source, target, near",
    [
        ("EPSG:4326", "EPSG:32614", KANSAS), ("EPSG:4269", "EPSG:32614", KANSAS), ("EPSG:4269", "EPSG:26914", KANSAS),
        ("EPSG:3857", "EPSG:32614", KANSAS), ("EPSG:4258", "EPSG:32631", FRANCE),
        ("EPSG:4326", "EPSG:4326", (0, 0, 1, 1)),
        ("+proj=utm +zone=31 +ellps=WGS84 +units=m +type=crs", "EPSG:4326", (3, 46, 4, 47)),
        (INTL + " +towgs84=-87,-98,-121", "EPSG:32631", FRANCE), ("EPSG:23031", "EPSG:32631", FRANCE),
    ],
)  # fmt: skip
def test_exact_enough(source: str, target: str, near: tuple[float, float, float, float]) -> None:
    assert inexact(crs(source), crs(target), near) is None


def test_an_unknown_datum() -> None:
    text = inexact(crs(INTL), crs("EPSG:32631"), FRANCE) or ""
    assert "does not know how their datums differ" in text and "100 m" in text and "EPSG:23031 " not in text


def test_kinds_of_crs() -> None:
    kinds = {code: not_on_the_map(crs(code)) for code in ("EPSG:4978", "EPSG:5703", "EPSG:7415", "EPSG:4326")}
    assert kinds == {"EPSG:4978": "geocentric", "EPSG:5703": "vertical", "EPSG:7415": None, "EPSG:4326": None}
    assert not_on_the_map(crs('LOCAL_CS["site",UNIT["metre",1]]')) == "local"
