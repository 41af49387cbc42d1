"""QGIS styles, half transparent, so that the image shows through: a colour a label, confidence, and those of the other
layers of tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET

from bimors_cli.labels import Labels
from bimors_cli.output.palette import NO_LABEL, PALETTE, colours

__all__ = [
    "CONFIDENCE_COLOURS",
    "FILL_ALPHA",
    "NO_LABEL_ALPHA",
    "NO_LABEL_NAME",
    "OUTLINE_ALPHA",
    "Style",
    "caption_qml",
    "colours",
    "confidence_qml",
    "outline_qml",
    "qml",
    "score_qml",
]

# 0..255
FILL_ALPHA: Final = 140
NO_LABEL_ALPHA: Final = 77
OUTLINE_ALPHA: Final = 200
NO_LABEL_NAME: Final = "no label"

# Viridis from its dark end, a colour for each fifth of 0..1: lighter is surer, also to the colour-blind and in grey.
CONFIDENCE_COLOURS: Final = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")

# More labels than these are hard to tell apart by colour alone.
WRITTEN_ABOVE: Final = len(PALETTE)

# QGIS converts a style that is older than itself and warns about a newer one: this is the oldest that reads all of it.
_VERSION: Final = "3.22.0"
_OUTLINE_MM: Final = "0.1"
# Of tiles without a fill. Pink is rare on the ground.
_BARE_OUTLINE_MM: Final = "0.3"
_BARE_OUTLINE: Final = "#d81b60"
_POLYGONS: Final = "2"  # Qgis.GeometryType
_TEXT_POINTS: Final = "9"
_HALO_MM: Final = "0.7"
# Smaller tiles hold no word; QGIS need not try.
_WRITTEN_ABOVE_MM: Final = "5"


@dataclass(frozen=True)
class Style:
    """A QGIS style (QML, UTF-8 text), its name, and what it is in a few words."""

    name: str
    qml: str
    description: str


def qml(spec_labels: Labels, field: str = "label") -> str:
    """Make a categorised QGIS style (QML, UTF-8 text) for polygons.

    The map tip shows label, confidence, caption and runner-up. Labels are written into the tiles that are large enough
    on the screen; this is on from the start where there are more labels than `PALETTE` has colours, and a click away
    elsewhere.

    Parameters
    ----------
    spec_labels : Labels
        One category each, in order, with the colours of `colours`.
    field : str
        The attribute that holds the label. Null and whatever is not in the labels falls into a pale last category.
    """
    root = _root(written=len(spec_labels) > WRITTEN_ABOVE)
    renderer = _add_renderer(root, "categorizedSymbol", field)
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    entries = [
        (name, name, colour, FILL_ALPHA) for name, colour in zip(spec_labels.names, colours(spec_labels), strict=True)
    ]
    # To QGIS the empty value is null and "all other values" in one.
    entries.append(("", NO_LABEL_NAME, NO_LABEL, NO_LABEL_ALPHA))
    for index, (value, name, colour, alpha) in enumerate(entries):
        ET.SubElement(categories, "category", value=value, type="string", label=name, symbol=str(index), render="true")
        _add_symbol(symbols, str(index), colour, alpha)
    return _text(root, field, _shown(field), _map_tip(field))


def confidence_qml(field: str = "label") -> str:
    """Make a graduated QGIS style of the column ``confidence``: five steps from 0 to 1, the same for every layer.

    A tile without a confidence is not drawn. Map tips and written labels (off) are those of `qml`.
    """
    root = _root(written=False)
    count = len(CONFIDENCE_COLOURS)
    steps = [(index / count, (index + 1) / count) for index in range(count)]
    _add_steps(root, "confidence", [(low, high, f"{low:.0%} to {high:.0%}") for low, high in steps])
    return _text(root, field, _shown(field), _map_tip(field))


def outline_qml() -> str:
    """Make a QGIS style of outlines alone, for tiles that say nothing yet; the map tip is the tile's id."""
    root = _root(written=False)
    _add_single(root, _BARE_OUTLINE, 0)
    return _text(root, "tile_id", _quoted("tile_id"), f"[% {_escaped(_quoted('tile_id'))} %]")


def caption_qml() -> str:
    """Make a QGIS style of outlines with the caption inside, where it fits, and as the map tip."""
    root = _root(written=True)
    _add_single(root, _BARE_OUTLINE, 0)
    said = f"coalesce({_quoted('caption')}, 'no caption: ' || {_quoted('reason')})"
    return _text(root, "caption", said, f"[% {_escaped(said)} %]")


def score_qml(low: float, high: float) -> str:
    """Make a graduated QGIS style of the column ``score``: five steps between two scores, lighter is more alike.

    The rank is written into the tiles; the map tip shows it with score, label and caption.
    """
    root = _root(written=True)
    count = len(CONFIDENCE_COLOURS) if high > low else 1
    edges = [low + (high - low) * index / count for index in range(count)] + [high]
    steps = [(*pair, f"{pair[0]:.3f} to {pair[1]:.3f}") for pair in pairwise(edges)]
    _add_steps(root, "score", steps)
    rest = "".join(f"[% coalesce('<br>' || {_escaped(_quoted(name))}, '') %]" for name in ("label", "caption"))
    return _text(root, "rank", _quoted("rank"), f"<b>[% {_quoted('rank')} %]</b> [% {_quoted('score')} %]{rest}")


def _add_single(root: ET.Element, colour: str, alpha: int) -> None:
    renderer = _add_renderer(root, "singleSymbol")
    _add_symbol(ET.SubElement(renderer, "symbols"), "0", colour, alpha)


def _add_steps(root: ET.Element, field: str, steps: Sequence[tuple[float, float, str]]) -> None:
    """Colour a number by steps (from, to, name), in the last of `CONFIDENCE_COLOURS`."""
    renderer = _add_renderer(root, "graduatedSymbol", field)
    renderer.set("graduatedMethod", "GraduatedColor")
    ranges = ET.SubElement(renderer, "ranges")
    symbols = ET.SubElement(renderer, "symbols")
    for index, ((low, high, name), colour) in enumerate(zip(steps, CONFIDENCE_COLOURS[-len(steps) :], strict=True)):
        bounds = {"lower": f"{low:.15f}", "upper": f"{high:.15f}"}
        ET.SubElement(ranges, "range", bounds, label=name, symbol=str(index), render="true")
        _add_symbol(symbols, str(index), colour, FILL_ALPHA)
    ET.SubElement(renderer, "classificationMethod", id="Custom")


def _root(*, written: bool) -> ET.Element:
    return ET.Element(
        "qgis",
        version=_VERSION,
        styleCategories="LayerConfiguration|Symbology|Labeling|MapTips",
        labelsEnabled="1" if written else "0",
    )


def _add_renderer(root: ET.Element, kind: str, field: str | None = None) -> ET.Element:
    about = {} if field is None else {"attr": field}
    return ET.SubElement(
        root, "renderer-v2", about, type=kind, symbollevels="0", enableorderby="0", forceraster="0", referencescale="-1"
    )


def _text(root: ET.Element, field: str, shown: str, tip: str) -> str:
    """Add what all styles have, and write the style down.

    ``field`` is written into the tiles, the expression ``shown`` stands for a tile in lists, ``tip`` is HTML.
    """
    _add_labeling(root, field)
    ET.SubElement(root, "previewExpression").text = shown
    ET.SubElement(root, "mapTip", enabled="1").text = tip
    ET.SubElement(root, "layerGeometryType").text = _POLYGONS
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _shown(field: str) -> str:
    """Return a QGIS expression: the label, or why there is none."""
    return f"coalesce({_quoted(field)}, '{NO_LABEL_NAME}: ' || \"reason\")"


def _map_tip(field: str) -> str:
    """Return HTML with QGIS expressions. Null in a concatenation makes it null: what is not there is not shown."""
    caption, other = _escaped(_quoted("caption")), _escaped(_quoted("label_2"))
    return (
        f"<b>[% {_escaped(_shown(field))} %]</b>[% coalesce(' ' || {_percent('confidence')}, '') %]"
        f"[% coalesce('<br>' || {caption}, '') %]"
        f"[% coalesce('<br>or ' || {other} || ' ' || {_percent('confidence_2')}, '') %]"
    )


def _percent(field: str) -> str:
    return f"round(100 * {_quoted(field)}) || ' %'"


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


def _escaped(expression: str) -> str:
    """Return a QGIS expression that keeps mark-up in a text from being taken as such."""
    return f"replace(replace({expression}, '&', '&amp;'), '<', '&lt;')"


def _add_labeling(root: ET.Element, field: str) -> None:
    settings = ET.SubElement(ET.SubElement(root, "labeling", type="simple"), "settings", calloutType="simple")
    text = ET.SubElement(
        settings,
        "text-style",
        fieldName=field,
        isExpression="0",
        fontSize=_TEXT_POINTS,
        fontSizeUnit="Point",
        textColor="0,0,0,255",
        textOpacity="1",
    )
    ET.SubElement(
        text,
        "text-buffer",
        bufferDraw="1",
        bufferSize=_HALO_MM,
        bufferSizeUnits="MM",
        bufferColor="255,255,255,255",
        bufferOpacity="0.8",
        bufferJoinStyle="128",
        bufferNoFill="1",
    )
    # Names are shorter; a caption is longer than a tile is wide.
    ET.SubElement(settings, "text-format", autoWrapLength="24", useMaxLineLengthForAutoWrap="1")
    # Over the middle of the tile (1), and only where the whole word fits into it.
    ET.SubElement(settings, "placement", placement="1", fitInPolygonOnly="1", priority="5")
    ET.SubElement(
        settings, "rendering", drawLabels="1", minFeatureSize=_WRITTEN_ABOVE_MM, obstacle="0", fontMaxPixelSize="10000"
    )  # fmt: skip


def _add_symbol(symbols: ET.Element, name: str, colour: str, alpha: int) -> None:
    # Alpha goes into the colours, not on the symbol: so the outline stays crisper than the fill.
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    settings = {
        "color": _rgba(colour, alpha),
        "style": "solid" if alpha else "no",
        "joinstyle": "miter",
        "outline_color": _rgba(colour, min(OUTLINE_ALPHA, alpha + 60) if alpha else OUTLINE_ALPHA),
        "outline_style": "solid",
        "outline_width": _OUTLINE_MM if alpha else _BARE_OUTLINE_MM,
        "outline_width_unit": "MM",
    }
    options = ET.SubElement(layer, "Option", type="Map")
    for key, value in settings.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)
    # The same once more, for QGIS before 3.18.
    for key, value in settings.items():
        ET.SubElement(layer, "prop", k=key, v=value)


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = bytes.fromhex(colour[1:])
    return f"{red},{green},{blue},{alpha}"
