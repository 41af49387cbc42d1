"""QGIS styles with half transparent fills: one colour per label, confidence, and those of the other layers of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET

from bimors_cli.labels import Labels
from bimors_cli.output.checked import COLUMN
from bimors_cli.output.form import Choices, Tick, add_form
from bimors_cli.output.palette import NO_LABEL, PALETTE, colours
from bimors_cli.output.symbols import OUTLINE_ALPHA, add_hatched_symbol, add_symbol

__all__ = [
    "CONFIDENCE_COLOURS",
    "FILL_ALPHA",
    "NO_LABEL_ALPHA",
    "NO_LABEL_NAME",
    "OUTLINE_ALPHA",
    "Style",
    "caption_qml",
    "change_probability_qml",
    "change_qml",
    "colours",
    "confidence_qml",
    "label_sets_qml",
    "outline_qml",
    "qml",
    "score_qml",
    "to_check_qml",
]

# 0..255
FILL_ALPHA: Final = 140
NO_LABEL_ALPHA: Final = 77
NO_LABEL_NAME: Final = "no label"

# Viridis from its dark end, one colour per fifth of 0..1: lighter is more confident, also for colour-blind readers and
# in grey.
CONFIDENCE_COLOURS: Final = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")

# With more labels than this, colours alone are hard to distinguish.
LABELLED_ABOVE: Final = len(PALETTE)

# QGIS converts styles of older versions and warns about newer ones: this is the oldest version that reads all of it.
_VERSION: Final = "3.22.0"
# For tiles without a fill. Pink is rare on the ground.
_BARE_OUTLINE: Final = "#d81b60"
# Doubtful changes are hatched in a grey that shows on dark and on light ground.
_DOUBTFUL: Final = "#7f7f7f"
_UNCHANGED_ALPHA: Final = 20
# A longer legend is not read.
MOST_TRANSITIONS: Final = 40
_DONE_OUTLINE: Final = "#bdbdbd"
_POLYGONS: Final = "2"  # Qgis.GeometryType
_TEXT_POINTS: Final = "9"
_HALO_MM: Final = "0.7"
# Smaller tiles have no room for a word.
_LABELLED_ABOVE_MM: Final = "5"


@dataclass(frozen=True)
class Style:
    """A QGIS style (QML, UTF-8 text), its name and its description."""

    name: str
    qml: str
    description: str


def qml(labels: Labels, field: str = "label") -> str:
    """Make a categorised QGIS style (QML, UTF-8 text) for polygons.

    The map tip shows label, confidence, caption and runner-up. Labels are drawn in tiles that are large enough on the
    screen; they are switched on if there are more labels than colours in `PALETTE`, and off otherwise.

    Parameters
    ----------
    labels : Labels
        One category each, in order, with the colours of `colours`.
    field : str
        Attribute that holds the label. Null and other values are in a pale last category.
    """
    root = _root(labelled=len(labels) > LABELLED_ABOVE)
    entries = [
        _Category(name, name, colour, FILL_ALPHA) for name, colour in zip(labels.names, colours(labels), strict=True)
    ]
    _add_categories(root, field, entries)
    return _finish(root, field, _shown(field), _map_tip(field))


def label_sets_qml(labels: Labels, field: str = "label") -> str:
    """Make a categorised QGIS style as `qml`, in which tiles with several labels in their set are hatched.

    A set of one label is filled in the colour of the label, a larger one is hatched in that of the best label. The map
    tip also shows the set. Needs the columns ``label_set`` and ``label_set_size``.
    """
    root = _root(labelled=len(labels) > LABELLED_ABOVE)
    # The number in front is 0 or 1, so that no name of a label is taken for another's.
    value = f"""if({_quoted("label_set_size")} > 1, '1 ', '0 ') || {_quoted(field)}"""
    entries = [
        _Category(f"{several:d} {name}", f"{name} or others" if several else name, colour, FILL_ALPHA, hatched=several)
        for name, colour in zip(labels.names, colours(labels), strict=True)
        for several in (False, True)
    ]
    _add_categories(root, value, entries)
    several = f"if({_quoted('label_set_size')} > 1, '<br>one of: ' || {_escaped(_quoted('label_set'))}, '')"
    return _finish(root, field, _shown(field), f"{_map_tip(field)}[% {several} %]")


def confidence_qml(field: str = "label") -> str:
    """Make a graduated QGIS style of the column ``confidence``: five steps from 0 to 1, the same for every layer.

    A tile without confidence is not drawn. Map tips and labels (off) are those of `qml`.
    """
    root = _root(labelled=False)
    count = len(CONFIDENCE_COLOURS)
    steps = [(index / count, (index + 1) / count) for index in range(count)]
    _add_steps(root, "confidence", [(low, high, f"{low:.0%} to {high:.0%}") for low, high in steps])
    return _finish(root, field, _shown(field), _map_tip(field))


def outline_qml() -> str:
    """Make a QGIS style of outlines, for tiles without a label; the map tip is the tile id."""
    root = _root(labelled=False)
    _add_single(root, _BARE_OUTLINE, 0)
    return _finish(root, "tile_id", _quoted("tile_id"), f"[% {_escaped(_quoted('tile_id'))} %]")


def caption_qml() -> str:
    """Make a QGIS style of outlines, with the caption in tiles where it fits and as the map tip."""
    root = _root(labelled=True)
    _add_single(root, _BARE_OUTLINE, 0)
    text = f"coalesce({_quoted('caption')}, 'no caption: ' || {_quoted('reason')})"
    return _finish(root, "caption", text, f"[% {_escaped(text)} %]")


def score_qml(low: float, high: float) -> str:
    """Make a graduated QGIS style of the column ``score``: five steps between two scores, lighter is more similar.

    Tiles are labelled with their rank; the map tip shows it with score, label and caption.
    """
    root = _root(labelled=True)
    count = len(CONFIDENCE_COLOURS) if high > low else 1
    edges = [low + (high - low) * index / count for index in range(count)] + [high]
    steps = [(*pair, f"{pair[0]:.3f} to {pair[1]:.3f}") for pair in pairwise(edges)]
    _add_steps(root, "score", steps)
    rest = "".join(f"[% coalesce('<br>' || {_escaped(_quoted(name))}, '') %]" for name in ("label", "caption"))
    return _finish(root, "rank", _quoted("rank"), f"<b>[% {_quoted('rank')} %]</b> [% {_quoted('score')} %]{rest}")


@dataclass(frozen=True)
class _Category:
    """A value of a categorised style, its name in the legend, and its symbol."""

    value: str
    name: str
    colour: str
    alpha: int
    hatched: bool = False


def _add_categories(root: ET.Element, value: str, entries: Sequence[_Category]) -> None:
    """Add a categorised renderer of a field or expression, and a pale last category for null and other values."""
    renderer = _add_renderer(root, "categorizedSymbol", value)
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    # In QGIS the empty value is null and "all other values".
    for index, entry in enumerate((*entries, _Category("", NO_LABEL_NAME, NO_LABEL, NO_LABEL_ALPHA))):
        ET.SubElement(
            categories,
            "category",
            value=entry.value,
            type="string",
            label=entry.name,
            symbol=str(index),
            render="true",
        )
        if entry.hatched:
            add_hatched_symbol(symbols, str(index), entry.colour, entry.alpha)
        else:
            add_symbol(symbols, str(index), entry.colour, entry.alpha)


def change_qml(labels: Labels, transitions: Sequence[tuple[str, str, str]]) -> str:
    """Make a categorised QGIS style of a layer of changes, by the columns ``transition`` and ``stratum``.

    A change has the colour of the class after, and an outline in that of the class before. Doubtful tiles are hatched,
    those without a change nearly transparent. The map tip shows the transition, its probability and both answers.

    Parameters
    ----------
    labels : Labels
        The classes, with the colours of `colours`.
    transitions : sequence of (str, str, str)
        The value of the column, the label before and the label after of each category, in the order of the legend.
    """
    root = _root(labelled=False)
    kind = f"coalesce({_quoted('transition')}, {_quoted('stratum')})"
    renderer = _add_renderer(root, "categorizedSymbol", kind)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    colour_of = dict(zip(labels.names, colours(labels), strict=True))
    shown = transitions[:MOST_TRANSITIONS]
    rest = "not compared" if len(shown) == len(transitions) else "other changes, not compared"
    names = [*(value for value, _, _ in shown), "doubtful", "no change", ""]
    for index, name in enumerate(names):
        category = {"value": name, "type": "string", "label": name or rest, "symbol": str(index), "render": "true"}
        ET.SubElement(categories, "category", category)
    for index, (_, before, after) in enumerate(shown):
        add_symbol(symbols, str(index), colour_of[after], FILL_ALPHA, outline=colour_of[before])
    add_hatched_symbol(symbols, str(len(shown)), _DOUBTFUL, FILL_ALPHA)
    add_symbol(symbols, str(len(shown) + 1), NO_LABEL, _UNCHANGED_ALPHA)
    add_symbol(symbols, str(len(shown) + 2), NO_LABEL, NO_LABEL_ALPHA)
    return _finish(root, "transition", kind, _change_tip(kind))


def change_probability_qml() -> str:
    """Make a graduated QGIS style of the column ``change_probability``: five steps from 0 to 1."""
    root = _root(labelled=False)
    count = len(CONFIDENCE_COLOURS)
    steps = [(index / count, (index + 1) / count) for index in range(count)]
    _add_steps(root, "change_probability", [(low, high, f"{low:.0%} to {high:.0%}") for low, high in steps])
    kind = f"coalesce({_quoted('transition')}, {_quoted('stratum')})"
    return _finish(root, "transition", kind, _change_tip(kind))


def _change_tip(kind: str) -> str:
    return (
        f"<b>[% {_escaped(kind)} %]</b>[% coalesce(', change ' || {_percent('change_probability')}, '') %]"
        f"[% coalesce('<br>' || {_escaped(_quoted('caption'))}, '') %]"
    )


def to_check_qml(labels: Labels, fields: Sequence[str]) -> str:
    """Make a QGIS style of tiles whose labels a user corrects or checks: outlines, grey once a tile is checked.

    In the form ``label`` is a list of the labels and ``checked`` a box to tick; the other fields cannot be edited.
    Tiles are labelled with their rank; the map tip shows label and confidence.

    Parameters
    ----------
    labels : Labels
        The labels to choose from, in this order.
    fields : sequence of str
        The fields of the layer, ``label``, ``checked``, ``rank``, ``confidence`` and ``reason`` among them, in the
        order in which the form shows them.
    """
    root = _root(labelled=True)
    root.set("styleCategories", f"{root.get('styleCategories')}|Fields|Forms")
    renderer = _add_renderer(root, "categorizedSymbol", COLUMN)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    # In QGIS the empty value is null and "all other values".
    entries = (("1", "integer", COLUMN, _DONE_OUTLINE), ("", "string", "to check", _BARE_OUTLINE))
    for index, (value, kind, name, colour) in enumerate(entries):
        ET.SubElement(categories, "category", value=value, type=kind, label=name, symbol=str(index), render="true")
        add_symbol(symbols, str(index), colour, 0)
    add_form(root, fields, {"label": Choices.of(labels.names), COLUMN: Tick()})
    tip = f"<b>[% {_escaped(_shown('label'))} %]</b>[% coalesce(' ' || {_percent('confidence')}, '') %]"
    return _finish(root, "rank", f"{_quoted('rank')} || ': ' || {_shown('label')}", tip)


def _add_single(root: ET.Element, colour: str, alpha: int) -> None:
    renderer = _add_renderer(root, "singleSymbol")
    add_symbol(ET.SubElement(renderer, "symbols"), "0", colour, alpha)


def _add_steps(root: ET.Element, field: str, steps: Sequence[tuple[float, float, str]]) -> None:
    """Add a graduated renderer with steps (from, to, name), in the last of `CONFIDENCE_COLOURS`."""
    renderer = _add_renderer(root, "graduatedSymbol", field)
    renderer.set("graduatedMethod", "GraduatedColor")
    ranges = ET.SubElement(renderer, "ranges")
    symbols = ET.SubElement(renderer, "symbols")
    for index, ((low, high, name), colour) in enumerate(zip(steps, CONFIDENCE_COLOURS[-len(steps) :], strict=True)):
        bounds = {"lower": f"{low:.15f}", "upper": f"{high:.15f}"}
        ET.SubElement(ranges, "range", bounds, label=name, symbol=str(index), render="true")
        add_symbol(symbols, str(index), colour, FILL_ALPHA)
    ET.SubElement(renderer, "classificationMethod", id="Custom")


def _root(*, labelled: bool) -> ET.Element:
    return ET.Element(
        "qgis",
        version=_VERSION,
        styleCategories="LayerConfiguration|Symbology|Labeling|MapTips",
        labelsEnabled="1" if labelled else "0",
    )


def _add_renderer(root: ET.Element, kind: str, field: str | None = None) -> ET.Element:
    about = {} if field is None else {"attr": field}
    return ET.SubElement(
        root, "renderer-v2", about, type=kind, symbollevels="0", enableorderby="0", forceraster="0", referencescale="-1"
    )


def _finish(root: ET.Element, field: str, shown: str, tip: str) -> str:
    """Add what all styles have, and return the style as text.

    ``field`` labels the tiles, ``shown`` is the display expression of a feature, ``tip`` the map tip in HTML.
    """
    _add_labeling(root, field)
    ET.SubElement(root, "previewExpression").text = shown
    ET.SubElement(root, "mapTip", enabled="1").text = tip
    ET.SubElement(root, "layerGeometryType").text = _POLYGONS
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _shown(field: str) -> str:
    """Return a QGIS expression: the label, or the reason for no label."""
    return f"coalesce({_quoted(field)}, '{NO_LABEL_NAME}: ' || \"reason\")"


def _map_tip(field: str) -> str:
    """Return HTML with QGIS expressions. A concatenation with null is null, so missing values are not shown."""
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
    """Return a QGIS expression that escapes the mark-up of a text."""
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
    # Names are shorter; captions are longer than a tile is wide.
    ET.SubElement(settings, "text-format", autoWrapLength="24", useMaxLineLengthForAutoWrap="1")
    # Over the centre of the tile (1), and only if the whole text fits.
    ET.SubElement(settings, "placement", placement="1", fitInPolygonOnly="1", priority="5")
    ET.SubElement(
        settings, "rendering", drawLabels="1", minFeatureSize=_LABELLED_ABOVE_MM, obstacle="0", fontMaxPixelSize="10000"
    )  # fmt: skip
