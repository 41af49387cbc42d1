"""QGIS symbols of polygons, as XML: filled, hatched, or an outline alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

# 0..255
OUTLINE_ALPHA: Final = 200

_OUTLINE_MM: Final = "0.1"
_BARE_OUTLINE_MM: Final = "0.3"
# Lines of a hatched fill: dense enough for a tile of a few millimetres, with more ground visible than ink.
_HATCH_MM: Final = "2"
_HATCH_LINE_MM: Final = "0.5"
_HATCH_DEGREES: Final = "45"


def add_symbol(symbols: ET.Element, name: str, colour: str, alpha: int, *, outline: str | None = None) -> None:
    """Add a symbol with a fill and an outline; without a fill if ``alpha`` is 0.

    ``outline`` is another colour of the outline, which is wider then.
    """
    # Alpha is in the colours, not in the symbol, so that the outline is more opaque than the fill.
    outline_alpha = min(OUTLINE_ALPHA, alpha + 60) if alpha else OUTLINE_ALPHA
    width = _OUTLINE_MM if alpha and outline is None else _BARE_OUTLINE_MM
    _add_fill(_symbol(symbols, name, "fill"), colour, alpha, _rgba(outline or colour, outline_alpha), width)


def add_hatched_symbol(symbols: ET.Element, name: str, colour: str, alpha: int) -> None:
    """Add a symbol with lines across the polygon and an outline, both as opaque as the outlines of `add_symbol`."""
    outline = min(OUTLINE_ALPHA, alpha + 60)
    symbol = _symbol(symbols, name, "fill")
    _add_fill(symbol, colour, 0, _rgba(colour, outline), _OUTLINE_MM)
    hatch = _add_layer(
        symbol,
        "LinePatternFill",
        {
            "angle": _HATCH_DEGREES,
            "distance": _HATCH_MM,
            "distance_unit": "MM",
            "color": _rgba(colour, outline),
            "line_width": _HATCH_LINE_MM,
            "line_width_unit": "MM",
        },
    )
    line = _symbol(hatch, f"@{name}@1", "line")
    _add_layer(
        line,
        "SimpleLine",
        {
            "line_color": _rgba(colour, outline),
            "line_style": "solid",
            "line_width": _HATCH_LINE_MM,
            "line_width_unit": "MM",
        },
    )


def _symbol(parent: ET.Element, name: str, kind: str) -> ET.Element:
    return ET.SubElement(parent, "symbol", type=kind, name=name, alpha="1", clip_to_extent="1", force_rhr="0")


def _add_fill(symbol: ET.Element, colour: str, alpha: int, outline: str, width: str) -> None:
    settings = {
        "color": _rgba(colour, alpha),
        "style": "solid" if alpha else "no",
        "joinstyle": "miter",
        "outline_color": outline,
        "outline_style": "solid",
        "outline_width": width,
        "outline_width_unit": "MM",
    }
    _add_layer(symbol, "SimpleFill", settings)


def _add_layer(symbol: ET.Element, kind: str, settings: Mapping[str, str]) -> ET.Element:
    layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in settings.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)
    # The same for QGIS before 3.18.
    for key, value in settings.items():
        ET.SubElement(layer, "prop", k=key, v=value)
    return layer


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = bytes.fromhex(colour[1:])
    return f"{red},{green},{blue},{alpha}"
