"""The satellites and cameras that are known: what names them, and what their bands are.

Sources: the band numbers and file names of ESA's Sentinel-2 User Handbook, of USGS's product guides of Landsat
Collection 2, MODIS and ASTER, of NASA's HLS, and of the product specifications of Planet (PSScene, SkySat, RapidEye),
USDA (NAIP), Maxar and Airbus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Sensor:
    """A satellite or camera.

    Attributes
    ----------
    title : str
        Its name.
    pattern : Pattern
        What file names, tags and descriptions call it.
    codes : mapping of str to str
        What a band is, by the number in its code, such as ``4`` in ``B04``; other numbers have no name.
    orders : mapping of int to sequence of str or None
        What the bands of a product with this many bands are, in their order; only where its owner publishes that.
    stacks : mapping of int to (str, str)
        Of stacks that people make, by their number of bands: red, green and blue as for ``-b``, and which bands these
        stacks have. Only a suggestion.
    """

    title: str
    pattern: re.Pattern[str]
    codes: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    stacks: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def _numbered(first: int, names: str) -> dict[str, str]:
    """Return names by number; ``-`` has no name."""
    return {str(number): name for number, name in enumerate(names.split(), first) if name != "-"}


def _any(text: str) -> re.Pattern[str]:
    """Compile what is not part of a longer word: ``_`` and ``-`` separate words in file names."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:{text})(?![A-Za-z0-9])", re.I)


_BGRN: Final = ("blue", "green", "red", "nir")
_RGBN: Final = ("red", "green", "blue", "nir")
_RGB: Final = ("red", "green", "blue")

SENTINEL_2: Final = Sensor(
    "Sentinel-2",
    _any(
        r"sentinel[ _-]?2[a-d]?|s2[a-d](_msil[12][ac])?|msil[12][ac]|hls\.s30"
        r"|t\d{2}[a-z]{3}_\d{8}t\d{6}(_(b\d{2}|b8a|tci|scl|aot|wvp))?(_\d{2}m)?"
    ),
    _numbered(1, "coastal blue green red rededge1 rededge2 rededge3 nir")
    | {"8a": "nir narrow", "9": "water vapour", "10": "cirrus", "11": "swir1", "12": "swir2"},
    stacks={
        4: ("3,2,1", "B2, B3, B4, B8"),
        10: ("3,2,1", "B2 to B8A, B11, B12"),
        12: ("4,3,2", "B1 to B12"),
        13: ("4,3,2", "B1 to B12"),
    },
)
LANDSAT_8: Final = Sensor(
    "Landsat 8/9",
    _any(r"landsat[ _-]?[89]|l[co]0?[89]|hls\.l30"),
    _numbered(1, "coastal blue green red nir swir1 swir2") | {"9": "cirrus"},
    stacks={6: ("3,2,1", "B2 to B7"), 7: ("4,3,2", "B1 to B7"), 11: ("4,3,2", "B1 to B11")},
)
LANDSAT_7: Final = Sensor(
    "Landsat 4-7",
    _any(r"landsat[ _-]?[457]|le0?7|lt0?[45]"),
    _numbered(1, "blue green red nir swir1 - swir2"),
    stacks={6: ("3,2,1", "B1 to B5, B7"), 7: ("3,2,1", "B1 to B7")},
)
LANDSAT_MSS: Final = Sensor("Landsat MSS", _any(r"landsat[ _-]?[123]|lm0?[1-5]"))
MODIS: Final = Sensor(
    "MODIS",
    _any(r"modis|m[oy]d(09|13|43)[a-z0-9]{0,3}|mcd43[a-z]\d|sur_refl_b\d{2}"),
    _numbered(1, "red nir blue green - swir1 swir2"),
)
ASTER: Final = Sensor("ASTER", _any(r"aster|ast_(l1[at]|0[7-9])\w*"), {"1": "green", "2": "red", "3n": "nir"})

# Satellites and cameras that are alternatives. A later row counts only if the rows before find nothing: the software of
# a drone survey also makes mosaics of images of MicaSense.
FAMILIES: Final[tuple[tuple[Sensor, ...], ...]] = (
    (
        *(SENTINEL_2, LANDSAT_8, LANDSAT_7, LANDSAT_MSS, MODIS, ASTER),
        Sensor(
            "PlanetScope",
            _any(r"\d{8}_\d{6}(_\d{2})?_[0-9a-f]{4}_[13]b(_\w+)?|planetscope|psscene\w*"),
            orders={3: _RGB, 4: _BGRN, 8: ("coastal", "blue", None, "green", None, "red", "rededge1", "nir")},
        ),
        Sensor("SkySat", _any(r"skysat\w*|\d{8}_\d{6}_ssc\d+(d\d)?_\d{4}(_\w+)?"), orders={3: _RGB, 4: _BGRN}),
        Sensor(
            "RapidEye",
            _any(r"rapideye|\d{4}-\d{2}-\d{2}_re[1-5]_[13][ab](_\w+)?"),
            orders={5: ("blue", "green", "red", "rededge1", "nir")},
        ),
        Sensor("NAIP", _any(r"naip|m_\d{7}_(ne|nw|se|sw)_\d{1,2}_\w+"), orders={3: _RGB, 4: _RGBN}),
        Sensor(
            "WorldView-2/3",
            _any(r"worldview[ _-]?[23]|wv0?[23]"),
            orders={4: _BGRN, 8: ("coastal", "blue", "green", None, "red", "rededge1", "nir", "nir narrow")},
        ),
        Sensor("GeoEye-1 or QuickBird", _any(r"geoeye[ _-]?1|quickbird[ _-]?2?|ge01|qb02"), orders={4: _BGRN}),
        Sensor(
            "Pleiades or SPOT 6/7",
            _any(r"(dim|img)?_?phr1[ab]|pleiades|spot[ _-]?[67]"),
            _numbered(0, "blue green red nir"),
        ),
    ),
    (Sensor("MicaSense camera", _any(r"micasense|rededge-(m|mx|p|3)|altum(-?pt)?")),),
    (Sensor("DJI multispectral camera", _any(r"p4 ?multispectral|mavic ?3m|fc6360|m3m")),),
    (
        Sensor(
            "orthomosaic of a drone survey",
            _any(r"(agisoft ?)?(metashape|photoscan)( \w+)*|pix4d\w*|opendronemap|odm|dji ?terra|dronedeploy"),
        ),
    ),
)
