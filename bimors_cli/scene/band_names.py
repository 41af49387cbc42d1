"""What the bands of a scene are, by their descriptions, wavelengths and colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Range of central wavelengths in nanometres (Sentinel-2, Landsat, and cameras between them).
_WAVELENGTHS: Final[dict[str, tuple[float, float]]] = {
    "coastal": (400, 455),
    "blue": (455, 520),
    "green": (520, 600),
    "red": (620, 690),
    "rededge1": (690, 722),
    "rededge2": (722, 758),
    "rededge3": (758, 790),
    "nir": (790, 845),
    "nir narrow": (845, 900),
    "water vapour": (900, 970),
    "cirrus": (1350, 1400),
    "swir1": (1500, 1800),
    "swir2": (2050, 2400),
}
# Words in descriptions, after lower case and with other characters than letters and digits removed.
_WORDS: Final[dict[str, str]] = {
    "coastal": r"coastal(aerosol)?|aerosol|ultrablue",
    "blue": r"blue|blu",
    "green": r"green|grn",
    "red": r"red",
    "rededge1": r"(red|rededge|veg(etation)?rededge|re)0?1|rededge1",
    "rededge2": r"(rededge|veg(etation)?rededge|re)0?2",
    "rededge3": r"(rededge|veg(etation)?rededge|re)0?3",
    "nir": r"nir|nir1|nir08|nearinfrared|nearir|infrared",
    "nir narrow": r"nirnarrow|narrownir|nir2|nir09|nir8a|nira",
    "water vapour": r"watervapou?r|wv",
    "cirrus": r"cirrus",
    "swir1": r"swir1|swir16|shortwaveinfrared1",
    "swir2": r"swir2|swir22|shortwaveinfrared2",
}
_SENTINEL2: Final = dict(
    zip(
        ("1", "2", "3", "4", "5", "6", "7", "8", "8a", "9", "10", "11", "12"),
        (
            *("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"),
            *("nir", "nir narrow", "water vapour", "cirrus", "swir1", "swir2"),
        ),
        strict=True,
    )
)
_LANDSAT8: Final = dict(zip("1234567", ("coastal", "blue", "green", "red", "nir", "swir1", "swir2"), strict=True))
_COLOURS: Final = ("red", "green", "blue")
_SENTINEL2_CODE: Final = re.compile(r"b0?(\d{1,2}|8a)$")
_LANDSAT_CODE: Final = re.compile(r"srb(\d)$")


def band_names(
    descriptions: Sequence[str | None], wavelengths: Sequence[float | None], colours: Sequence[str]
) -> tuple[str | None, ...]:
    """Tell which band of the spectrum each band is; None where nothing says so, or two bands say the same.

    Band codes decide where they are unambiguous: those of Sentinel-2 if one of B8A, B11 or B12 is there, and those of
    Landsat 8 and 9 if SR_B6 is (Landsat 4 to 7 have no surface reflectance of band 6).

    Parameters
    ----------
    descriptions : sequence of str or None
        Description of each band.
    wavelengths : sequence of float or None
        Central wavelength of each band, in nanometres.
    colours : sequence of str
        GDAL colour interpretation of each band.

    Returns
    -------
    tuple of str or None
        Such as ``red``, ``nir``, ``swir1``.
    """
    plain = [re.sub(r"[^a-z0-9]", "", (text or "").lower()) for text in descriptions]
    codes = _codes(plain)
    found: list[str | None] = []
    for text, wavelength, colour, code in zip(plain, wavelengths, colours, codes, strict=True):
        by_words = next((name for name, words in _WORDS.items() if text and re.fullmatch(words, text)), None)
        by_wavelength = None if wavelength is None else _by_wavelength(wavelength)
        found.append(by_words or code or by_wavelength or (colour if colour in _COLOURS else None))
    if "nir" not in found:
        # One near infrared is one name: that of Landsat 8 is "nir" by its code and narrow by its wavelength.
        found = ["nir" if name == "nir narrow" else name for name in found]
    return tuple(name if found.count(name) == 1 else None for name in found)


def _codes(plain: Sequence[str]) -> list[str | None]:
    sentinel = [_code(_SENTINEL2_CODE, text) for text in plain]
    if {"8a", "11", "12"} & set(sentinel):
        return [_SENTINEL2.get(code or "") for code in sentinel]
    landsat = [_code(_LANDSAT_CODE, text) for text in plain]
    if "6" in landsat:
        return [_LANDSAT8.get(code or "") for code in landsat]
    return [None] * len(plain)


def _code(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.match(text)
    return match[1].lstrip("0") if match else None


def _by_wavelength(nanometres: float) -> str | None:
    return next((name for name, (low, high) in _WAVELENGTHS.items() if low <= nanometres < high), None)
