"""Reading the description of a band: the word, code and wavelength in it, and what is left of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 200  # characters of a description that are read
_MOST_TOKENS: Final = 16

# Words for bands, in lower case and without separators.
_WORDS: Final = {
    "coastal": r"coastal(aerosol|blue)?|aerosol|ultrablue",
    "blue": r"blue|blu",
    "green": r"green|grn",
    "red": r"red",
    "rededge1": r"(rededge|veg(etation)?rededge|vegetationred|re)0?1|rededge(071)?",
    "rededge2": r"(rededge|veg(etation)?rededge|re)0?2|rededge075",
    "rededge3": r"(rededge|veg(etation)?rededge|re)0?3|rededge078",
    "nir": r"nir|nir1|nir08|nearinfrared|nearir|infrared",
    "nir narrow": r"nirnarrow|narrownir|nir2|nir09|nir8a|nira",
    "water vapour": r"watervapou?r|wv",
    "cirrus": r"cirrus",
    "swir1": r"swir1|swir16|shortwaveinfrared1",
    "swir2": r"swir2|swir22|shortwaveinfrared2",
}
_WORD: Final = re.compile("|".join(f"(?P<{name.replace(' ', '_')}>{text})" for name, text in _WORDS.items()))
_CODE: Final = re.compile(r"(srb|b|band)(\d{1,2}|8a|3n)")
# What may be next to a word or a code without changing what the band is.
_BESIDES: Final = re.compile(
    r"\d{1,8}|\d{8}t\d{6}|t\d{2}[a-z]{3}|\d{1,3}m|[12][09]\d\dq[1-4]|q[1-4]|n\d{4}|r\d{3}"
    r"|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|spring|summer|autumn|fall|winter|dry|wet"
    r"|mean|median|average|avg|medoid|mosaic|composite|p\d{1,2}|min|max"
    r"|sr|boa|toa|rho|rhot|rhos|rrs|refl|reflectance|surface|sur|corrected|radiance|l1c|l2a|l1tp|l2sp|l1gt|rt|t1|t2"
    r"|s2[a-d]?|msil1c|msil2a|l[ceto]\d{2}|landsat|sentinel2?|hls|l30|s30|ms|band|layer|channel|raster|subdataset"
)
_GENERIC: Final = re.compile(r"(band|layer|channel|raster|bidx|b|ch)?\d*")
_NANOMETRES: Final = re.compile(r"(?<![\d.])(\d{3,4}(?:\.\d+)?)\s*(?:nm|nanomet(?:er|re)s?)\b", re.I)
_MICROMETRES: Final = re.compile(r"(?<![\d.])(\d{1,2}\.\d+)\s*(?:[uµμ]m|micromet(?:er|re)s?|microns?)\b", re.I)
# "Blue-475", as MicaSense and Agisoft write it, and "rhos_665" of ACOLITE.
_NUMBER_AFTER: Final = re.compile(r"(?:[A-Za-z]-|\b(?:rho_?[stw]?|rrs|wavelength|wl)_?)(\d{3,4})$", re.I)


@dataclass(frozen=True, slots=True)
class BandText:
    """What a description says.

    Attributes
    ----------
    word : str or None
        The band by its word, such as ``red``.
    code : tuple of str, or None
        Prefix and number of its code, in lower case: ``SR_B4`` is ``srb``, ``4``.
    nanometres : float or None
        The wavelength that is written in it.
    rest : str
        What is left: a date, a statistic, a tile; bands of one image have it in common.
    padded : bool
        Whether the code has two digits where one is enough: ``B04``.
    lower : bool
        Whether the code is in lower case: ``b4``.
    """

    word: str | None = None
    code: tuple[str, str] | None = None
    nanometres: float | None = None
    rest: str = ""
    padded: bool = False
    lower: bool = False


def read_text(description: str | None) -> BandText:
    """Read a description; what cannot be understood is left out, nothing is raised."""
    text = _of_json((description or "")[:_LONGEST].strip())
    nanometres = _wavelength(text)
    text = _MICROMETRES.sub(" ", _NANOMETRES.sub(" ", text))
    # "B4, central wavelength 665 nm", "Red: 668 nm", "band_1 (475.0 Nanometers)", "Band 4 (Red)"
    pieces = [piece for piece in re.split(r"[,:;()\[\]|/=]+|-(?=\d{3,4}\b(?!-))", text) if piece.strip()]
    found = [_read_piece(piece) for piece in pieces]
    if not pieces or (found[0] == BandText() and not _GENERIC.fullmatch(_plain(pieces[0]))):
        return BandText(nanometres=nanometres)
    words = {one.word for one in found if one.word is not None}
    coded = next((one for one in found if one.code is not None), BandText())
    return BandText(
        words.pop() if len(words) == 1 else None,
        coded.code if not words and len({one.code for one in found if one.code is not None}) == 1 else None,
        nanometres,
        next((one.rest for one in found if one.rest), ""),
        coded.padded,
        coded.lower,
    )


def _read_piece(piece: str) -> BandText:
    """Read a part of a description that has a word or code, and nothing that changes its meaning."""
    tokens = re.findall(r"[^\W_]+", piece)
    if len(tokens) > _MOST_TOKENS:
        return BandText()
    spans = sorted(
        ((start, end) for start in range(len(tokens)) for end in range(start + 1, len(tokens) + 1)),
        key=lambda span: span[0] - span[1],
    )
    found: list[tuple[int, BandText]] = []
    for start, end in spans:
        if found and end - start < found[0][0]:
            break
        rest = [*tokens[:start], *tokens[end:]]
        one = _read_span(tokens[start:end], "_".join(rest).lower())
        if one is not None and all(_BESIDES.fullmatch(token.lower()) for token in rest):
            found.append((end - start, one))
    return found[0][1] if len(found) == 1 else BandText()


def _read_span(tokens: Sequence[str], rest: str) -> BandText | None:
    text = "".join(tokens)
    word = _WORD.fullmatch(text.lower())
    if word is not None and word.lastgroup is not None:
        return BandText(next(name.replace("_", " ") for name, value in word.groupdict().items() if value), rest=rest)
    code = _CODE.fullmatch(text.lower())
    if code is None or not all(token.isalpha() for token in tokens[:-1]):  # B4_1 is not B41
        return None
    number = code[2].lstrip("0")
    return BandText(None, (code[1], number), rest=rest, padded=number != code[2], lower=text.islower())


def _wavelength(text: str) -> float | None:
    if (written := _NANOMETRES.search(text) or _NUMBER_AFTER.search(text)) is not None:
        return float(written[1])
    micrometres = _MICROMETRES.search(text)
    return None if micrometres is None else float(micrometres[1]) * 1000


def _of_json(text: str) -> str:
    """Return the name in a JSON object of a band, as STAC has it: {"name": "B04", "common_name": "red"}."""
    if not text.startswith("{"):
        return text
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    names = (fields.get(key) for key in ("common_name", "eo:common_name", "name"))
    return next((name for name in names if isinstance(name, str)), text)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def only_counted(texts: Sequence[BandText]) -> bool:
    """Tell whether codes only count the bands: ``Band 1``, or ``b1``, as Earth Engine calls bands without names."""
    numbers = list(_numbers(texts))
    counting = numbers == list(range(1, len(numbers) + 1))
    coded = [text for text in texts if text.code is not None]
    return counting and all(not one.rest and (one.lower or (one.code or "")[0] == "band") for one in coded)


def _numbers(texts: Sequence[BandText]) -> Iterator[int]:
    for text in texts:
        if text.code is not None:
            yield int(text.code[1]) if text.code[1].isdecimal() else 0
