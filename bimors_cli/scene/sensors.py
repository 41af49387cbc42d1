"""Which satellite or camera a scene is of: a guess from file name, tags, descriptions and band codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bimors_cli.scene.band_text import BandText, only_counted, read_text
from bimors_cli.scene.sensor_table import (
    ASTER,
    FAMILIES,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_MSS,
    SENTINEL_2,
    Sensor,
)

# Tags that name a satellite, a camera or the software that made an image.
_NAMING_TAGS: Final = frozenset(
    {
        *("SPACECRAFT_ID", "SATELLITE", "SATELLITE_NAME", "SATELLITEID", "SATID", "PLATFORM", "MISSION"),
        *("CONSTELLATION", "PRODUCT_URI", "DATASTRIP_ID", "LANDSAT_PRODUCT_ID", "TIFFTAG_SOFTWARE"),
        *("EXIF_MAKE", "EXIF_MODEL", "EXIF_SOFTWARE", "TIFFTAG_DOCUMENTNAME"),
    }
)  # fmt: skip
# Tags about a product. `SENSOR_TAGS` are those that are kept of a file.
_PRODUCT_TAGS: Final = frozenset(
    {
        "SENSOR_ID",
        "PRODUCT_TYPE",
        "PROCESSING_LEVEL",
        "COLLECTION_NUMBER",
        "PROCESSING_BASELINE",
        "BOA_ADD_OFFSET",
        "RADIO_ADD_OFFSET",
    }
)
SENSOR_TAGS: Final = _NAMING_TAGS | _PRODUCT_TAGS
_LONGEST: Final = 300  # characters of a text that are read
_COLLECTION_2: Final = 2.75e-5  # scale of surface reflectance in Landsat's collection 2


class Described(Protocol):
    """What a guess is made from; `bimors_cli.scene.raster.SceneInfo` has it."""

    @property
    def name(self) -> str:
        """File name."""

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        """Description of each band."""

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """Those tags of the file that `SENSOR_TAGS` names, in capitals."""

    @property
    def scales(self) -> tuple[float, ...]:
        """Scale of each band."""


@dataclass(frozen=True, slots=True)
class SensorGuess:
    """What a scene seems to be.

    Attributes
    ----------
    sensor : Sensor
        The satellite or camera.
    title : str
        The sensor and its product, such as ``Landsat 8/9 surface reflectance, collection 2``.
    evidence : tuple of str
        What says so, such as ``tag SPACECRAFT_ID is LANDSAT_8``.
    """

    sensor: Sensor
    title: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.title} ({'; '.join(self.evidence)})"


def guess(info: Described) -> SensorGuess | None:
    """Guess which satellite or camera a scene is of.

    File name, tags and descriptions decide; without one of these the codes of the bands, such as ``B8A``.

    Parameters
    ----------
    info : Described
        The scene, such as a `SceneInfo`.

    Returns
    -------
    SensorGuess or None
        None if nothing says what it is, or several satellites are named.
    """
    texts = [("file name", info.name)]
    texts += [(f"tag {key}", value) for key, value in info.tags if key in _NAMING_TAGS]
    texts += [(f"band {index}", text) for index, text in enumerate(info.descriptions, 1) if text]
    for family in FAMILIES:
        found = [(sensor, said) for sensor in family if (said := _said_by(sensor, texts)) is not None]
        if len(found) > 1:
            return None
        for sensor, said in found:
            of_mss = sensor is LANDSAT_7 and dict(info.tags).get("SENSOR_ID", "").upper() == "MSS"
            return _guess(LANDSAT_MSS if of_mss else sensor, info, said)
    by_codes = sensor_of_codes([read_text(text) for text in info.descriptions])
    return None if by_codes is None else _guess(by_codes, info)


def sensor_of_codes(texts: Sequence[BandText]) -> Sensor | None:
    """Return the only satellite that has such band codes; None if several have, or there are none.

    B8A, and B12 among few bands, are of Sentinel-2, B3N of ASTER; SR_B6 is of Landsat 8 and 9, and SR_B7 without SR_B6
    of Landsat 4 to 7. ``Band 12`` only counts, as ``b1, b2, ...`` does.
    """
    codes = [text.code for text in texts if text.code is not None]
    numbers = {number for _, number in codes}
    if any(number.isdecimal() and int(number) > 12 for number in numbers) or only_counted(texts):
        return None
    if "3n" in numbers:
        return ASTER
    if "8a" in numbers:
        return SENTINEL_2
    if codes and {prefix for prefix, _ in codes} == {"srb"}:
        return LANDSAT_8 if "6" in numbers else LANDSAT_7 if "7" in numbers else None
    return SENTINEL_2 if ("b", "12") in codes else None


def _said_by(sensor: Sensor, texts: Sequence[tuple[str, str]]) -> str | None:
    """Return the first text that names a sensor, with its source."""
    for source, text in texts:
        if sensor.pattern.search(text[:_LONGEST]):
            return f"{source} is {_short(text)}" if source != "file name" else f"file name {_short(text)}"
    return None


def _guess(sensor: Sensor, info: Described, said: str | None = None) -> SensorGuess:
    codes = [text for text in info.descriptions if text and _number(text) in sensor.codes]
    more = ", ..." if len(codes) > 3 else ""
    evidence = [] if said is None else [said]
    if codes:
        evidence.append(f"bands {', '.join(map(_short, codes[:3]))}{more}")
    title = sensor.title
    if sensor is SENTINEL_2:
        title += _sentinel_product(info)
    if sensor in (LANDSAT_7, LANDSAT_8):
        title += _landsat_product(info)
    return SensorGuess(sensor, title, tuple(evidence))


def _sentinel_product(info: Described) -> str:
    said = _product_texts(info)
    if "HLS" in said:
        return " surface reflectance (HLS)"
    if "MSIL2A" in said or "L2A" in said:
        return " L2A (surface reflectance)"
    return " L1C (top of atmosphere)" if "MSIL1C" in said or "L1C" in said else ""


def _landsat_product(info: Described) -> str:
    said = _product_texts(info)
    scaled = any(abs(scale - _COLLECTION_2) < 1e-9 for scale in info.scales)
    surface = scaled or any((read_text(text).code or ("",))[0] == "srb" for text in info.descriptions)
    surface = surface or any(word in said for word in ("L2SP", "L2SR"))
    number = dict(info.tags).get("COLLECTION_NUMBER", "").lstrip("0")
    if scaled or any(f"_02_{tier}" in said for tier in ("T1", "T2", "RT")):
        number = "2"
    product = " surface reflectance" if surface else " level 1" if "_L1" in said or "L1TP" in said else ""
    return product + (f", collection {number}" if number.isdecimal() else "")


def _product_texts(info: Described) -> str:
    """Return the texts about a product, in capitals."""
    texts = [info.name, *(value for _, value in info.tags), *(text or "" for text in info.descriptions[:20])]
    return " ".join(text[:_LONGEST] for text in texts).upper()


def _number(text: str) -> str | None:
    code = read_text(text).code
    return None if code is None else code[1]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
