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
    "coastal": r"coastal(aerosol|blue)?|aerosol|ultrablue",
    "blue": r"blue|blu",
    "green": r"green|grn",
    "red": r"red",
    "rededge1": r"(red|rededge|veg(etation)?rededge|re)0?1|rededge",
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
_LANDSAT7: Final = dict(zip("123457", ("blue", "green", "red", "nir", "swir1", "swir2"), strict=True))
# Same in Sentinel-2 and Landsat 8 and 9.
_COMMON: Final = {"2": "blue", "3": "green", "4": "red"}
_COLOURS: Final = ("red", "green", "blue")
_CODE: Final = re.compile(r"(srb|b|band)(\d{1,2}|8a)")
# What tags and file names say of the satellite: LANDSAT_8, LC08_L2SP_…, LANDSAT-7, Sentinel-2A, S2B_MSIL2A_…
_SATELLITES: Final = {
    "landsat8": re.compile(r"landsat[ _-]?[89]\b|\b(lc|lo)0?[89](?=_|\b)", re.I),
    "landsat7": re.compile(r"landsat[ _-]?[457]\b|\b(le0?7|lt0?[45])(?=_|\b)", re.I),
    "sentinel2": re.compile(r"sentinel[ _-]?2[a-d]?\b|\bs2[a-d](?=_|\b)", re.I),
}
_SATELLITE_CODES: Final = {"landsat8": _LANDSAT8, "landsat7": _LANDSAT7, "sentinel2": _SENTINEL2}
_NANOMETRES: Final = re.compile(r"(\d{3,4}(?:\.\d+)?)\s*(?:nm|nanomet(?:er|re)s?)\b", re.I)


def band_names(
    descriptions: Sequence[str | None],
    wavelengths: Sequence[float | None],
    colours: Sequence[str],
    origin: Sequence[str] = (),
) -> tuple[str | None, ...]:
    """Tell which band of the spectrum each band is; None where nothing says so, or two bands say the same.

    Band codes decide where they are unambiguous: the tags or the file name say which satellite it was, or the codes do.
    B8A, B11 with B12, and numbers of two digits are of Sentinel-2; B9 to B11 are not of Landsat 4 to 7; SR_B6 is of
    Landsat 8 and 9, and SR_B7 without SR_B6 of Landsat 4 to 7.

    Parameters
    ----------
    descriptions : sequence of str or None
        Description of each band.
    wavelengths : sequence of float or None
        Central wavelength of each band, in nanometres.
    colours : sequence of str
        GDAL colour interpretation of each band.
    origin : sequence of str
        Texts that may name the satellite: the file name, and values of the tags about it.

    Returns
    -------
    tuple of str or None
        Such as ``red``, ``nir``, ``swir1``.
    """
    # "B4, central wavelength 665 nm", "Red: 668 nm", "band_1 (475.0 Nanometers)"
    heads = [re.split(r"[,:;(]|-(?=\d{3})", text or "", maxsplit=1)[0] for text in descriptions]
    plain = [re.sub(r"[^a-z0-9]", "", head.lower()) for head in heads]
    codes = _codes(plain, " ".join(origin))
    found: list[str | None] = []
    for description, text, wavelength, colour, code in zip(
        descriptions, plain, wavelengths, colours, codes, strict=True
    ):
        by_words = next((name for name, words in _WORDS.items() if text and re.fullmatch(words, text)), None)
        written = _NANOMETRES.search(description or "")
        nanometres = float(written[1]) if wavelength is None and written else wavelength
        by_wavelength = None if nanometres is None else _by_wavelength(nanometres)
        found.append(by_words or code or by_wavelength or (colour if colour in _COLOURS else None))
    if "nir" not in found:
        # One near infrared is one name: that of Landsat 8 is "nir" by its code and narrow by its wavelength.
        found = ["nir" if name == "nir narrow" else name for name in found]
    return tuple(name if found.count(name) == 1 else None for name in found)


def _codes(plain: Sequence[str], origin: str) -> list[str | None]:
    """Return the name that the code of each band has; None without a code, or where it is ambiguous."""
    matches = [_CODE.fullmatch(text) for text in plain]
    numbers = [match[2].lstrip("0") if match else "" for match in matches]
    surface = {match[1] for match in matches if match} == {"srb"}
    present = set(numbers) - {""}
    satellites = [name for name, pattern in _SATELLITES.items() if pattern.search(origin)]
    if len(satellites) == 1:
        names = _SATELLITE_CODES[satellites[0]]
    elif surface:
        names = _LANDSAT8 if "6" in present else _LANDSAT7 if "7" in present else {}
    elif "8a" in present or "12" in present:
        names = _SENTINEL2
    elif present & {"9", "10", "11"} or any(match and len(match[2]) == 2 and match[2][0] == "0" for match in matches):
        names = _COMMON
    else:
        names = {}
    return [names.get(number) for number in numbers]


def _by_wavelength(nanometres: float) -> str | None:
    return next((name for name, (low, high) in _WAVELENGTHS.items() if low <= nanometres < high), None)
