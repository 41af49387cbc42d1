"""QGIS styles of a sample: outlines that show what is labelled by now, and the form that labels a tile by a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from bimors_cli.output.form import NULL_VALUE, Choices, Hidden, Text, Widget, add_form, add_map, add_table

# The oldest version that reads all of it; newer ones convert it.
_VERSION: Final = "3.22.0"
_POLYGONS: Final = "2"  # Qgis.GeometryType
_NOT_LABELLED: Final = "(not labelled)"
# Under each coloured line: a bright line alone is lost on bright ground.
_SHADOW: Final = "0,0,0,160"


@dataclass(frozen=True)
class Outline:
    """How the tiles of one kind are outlined; QGIS calls it ``name``, ``width_mm`` is on the screen or on paper."""

    name: str
    colour: str
    width_mm: float
    line: str = "solid"


# Distinct for colour-blind readers too, by brightness and by line.
OPEN: Final = Outline("to label", "#ffd400", 0.8)
FINISHED: Final = Outline("labelled", "#3fc5f0", 0.4)
UNSURE: Final = Outline("cannot tell", "#ff8ad1", 0.4, "dash")
CONTEXT: Final = Outline("neighbouring tiles", "#ffffff", 0.15, "dot")


def sample_qml(fields: Sequence[str], answers: Sequence[str], cannot_tell: str) -> str:
    """Make the QGIS style (QML, UTF-8 text) of a sample: tiles by what is labelled, no fill, and a form.

    In the form ``reference`` is a list of the answers and ``note`` a text of several lines. All other fields are
    read-only, and ``fid`` is hidden.

    Parameters
    ----------
    fields : sequence of str
        The fields of the layer, ``reference`` and ``note`` among them, in the order in which the form shows them.
    answers : sequence of str
        The values of ``reference`` to choose from, in this order.
    cannot_tell : str
        The last choice: the class of the tile is unclear.
    """
    root = _root("LayerConfiguration|Symbology|Fields|Forms|MapTips|AttributeTable")
    given = "trim(coalesce(\"reference\", ''))"
    unsure = _text(cannot_tell.lower())
    rules = [
        (OPEN, f"{given} = ''"),
        (UNSURE, f"lower({given}) = {unsure}"),
        (FINISHED, f"lower({given}) not in ('', {unsure})"),
    ]
    renderer = _add_renderer(root, "RuleRenderer")
    tree = ET.SubElement(renderer, "rules", key="rules")
    symbols = ET.SubElement(renderer, "symbols")
    for number, (outline, condition) in enumerate(rules):
        about = {"key": f"rule {number}", "symbol": str(number), "label": outline.name, "filter": condition}
        ET.SubElement(tree, "rule", about)
        _add_outline(symbols, str(number), outline)
    choices = Choices(((_NOT_LABELLED, NULL_VALUE), *((word, word) for word in (*answers, cannot_tell))))
    # fid adds nothing for whoever labels.
    widgets: dict[str, Widget] = {"fid": Hidden(), "reference": choices, "note": Text(multiline=True)}
    add_form(root, ("fid", *fields), widgets)
    # The tiles in the order of the draw, which says nothing of their strata.
    add_table(root, ("fid", *fields), widgets)
    # The list of tiles next to the form, and the tip on the map.
    return _finish(root, f"\"tile_id\" || ': ' || coalesce(nullif({given}, ''), {_text(OPEN.name)})")


def neighbours_qml() -> str:
    """Make the QGIS style of the tiles around those of a sample: thin outlines, so that the image stays visible."""
    root = _root("LayerConfiguration|Symbology|MapTips")
    _add_outline(ET.SubElement(_add_renderer(root, "singleSymbol"), "symbols"), "0", CONTEXT)
    return _finish(root, '"tile_id"')


def _root(categories: str) -> ET.Element:
    return ET.Element("qgis", version=_VERSION, styleCategories=categories, labelsEnabled="0")


def _add_renderer(root: ET.Element, kind: str) -> ET.Element:
    return ET.SubElement(
        root, "renderer-v2", type=kind, symbollevels="0", enableorderby="0", forceraster="0", referencescale="-1"
    )


def _finish(root: ET.Element, shown: str) -> str:
    """Add the name of a feature, an expression that the map tip shows too, and return the style as text."""
    ET.SubElement(root, "previewExpression").text = shown
    ET.SubElement(root, "mapTip", enabled="1").text = f"[% replace(replace({shown}, '&', '&amp;'), '<', '&lt;') %]"
    ET.SubElement(root, "layerGeometryType").text = _POLYGONS
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add_outline(symbols: ET.Element, name: str, outline: Outline) -> None:
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    red, green, blue = bytes.fromhex(outline.colour[1:])
    for colour, width in ((_SHADOW, 2 * outline.width_mm), (f"{red},{green},{blue},255", outline.width_mm)):
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
        settings = {
            "color": "0,0,0,0",
            "style": "no",
            "joinstyle": "miter",
            "outline_color": colour,
            "outline_style": outline.line,
            "outline_width": f"{width:g}",
            "outline_width_unit": "MM",
        }
        add_map(layer, settings)


def _text(value: str) -> str:
    """Return a text as a QGIS expression."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
