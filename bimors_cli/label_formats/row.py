"""A class as a file gives it, and the words and colours that the formats have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PLAIN: Final = "write one class name per line, for example forest, river, harbour"
# Titles and keys, as `title_of` writes them.
NAMES: Final = frozenset(
    {
        "class", "classes", "name", "names", "label", "labels", "classname", "class name", "class names", "category",
        "land cover", "landcover", "klasse", "classe", "clase",
    }
)  # fmt: skip
COLOURS: Final = frozenset({"color", "colour", "hex", "rgb", "hex color", "hex colour"})
_HEX: Final = re.compile(r"(?:#|0x)?([0-9a-f]{6})|#([0-9a-f]{3})", re.I)
_RGB: Final = re.compile(
    r"(?:rgba?)?[(\[]?\s*(\d{1,3})\s*[,; ]\s*(\d{1,3})\s*[,; ]\s*(\d{1,3})\s*([,; ]\s*\d+\s*)?[)\]]?", re.I
)


@dataclass(frozen=True)
class NamedRow:
    """A class as a file gives it: ``line`` from 1, or 0 where a file has no lines; ``colour`` as written, or None."""

    line: int
    name: str
    colour: str | None = None


def title_of(text: str) -> str:
    """Return a title or key as it is compared: in lower case, without quotes and underscores."""
    return " ".join(unquoted(text.strip()).lower().replace("_", " ").split())


def unquoted(text: str) -> str:
    """Return a text without the quotation marks around it."""
    pairs = ('""', "''", "“”", "„“", "„”", "‘’", "«»")
    return text[1:-1].strip() if len(text) > 1 and text[0] + text[-1] in pairs else text


def hex_colour(text: str) -> str | None:
    """Return a colour as ``#rrggbb`` in lower case; None for other texts.

    ``#2CA02C``, ``2ca02c``, ``#2c2``, ``44, 160, 44`` and ``rgb(44, 160, 44)`` are colours. Eight digits are not: the
    opacity comes first in QGIS and last on the web.
    """
    if match := _HEX.fullmatch(text.strip()):
        return f"#{match[1] or ''.join(digit * 2 for digit in match[2])}".lower()
    if match := _RGB.fullmatch(text.strip()):
        return rgb_colour(match.group(1, 2, 3))
    return None


def rgb_colour(numbers: tuple[str | int, ...]) -> str | None:
    """Return red, green and blue from 0 to 255 as ``#rrggbb``; None if one is larger."""
    red, green, blue = map(int, numbers)
    return f"#{red:02x}{green:02x}{blue:02x}" if max(red, green, blue) <= 255 else None
