"""A font that has the glyphs of the texts to draw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font has ASCII and little more. These are looked for by name where the system keeps its fonts: the usual
# ones of Linux, Windows and macOS, the wide ones for Chinese, Japanese and Korean last.
_SYSTEM_FONTS: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "PingFang.ttc",
)


def font_for(texts: Iterable[str], size: float) -> Font:
    """Give Pillow's own font if it has every character of the texts, else the system's font that lacks the fewest."""
    characters = sorted({character for text in texts for character in text if not character.isspace()})
    best: Font = ImageFont.load_default(size)
    fewest = _missing(best, characters)
    for name in _SYSTEM_FONTS:
        if fewest == 0:
            break
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        missing = _missing(font, characters)
        if missing < fewest:
            best, fewest = font, missing
    return best


def _missing(font: Font, characters: list[str]) -> int:
    # A font draws the same box for all that it lacks, U+FFFF included, which is no character at all.
    box = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(character)) == box for character in characters)
