"""QGIS styles of a sample: outlines that show what is labelled by now, and the form that labels a tile by a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

# The oldest version that reads all of it; newer ones convert it.
_VERSION: Final = "3.22.0"
_POLYGONS: Final = "2"  # Qgis.GeometryType
# QgsValueMapFieldFormatter::NULL_VALUE: the entry of a value list that stands for null.
NULL_VALUE: Final = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
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
    _add_form(root, fields, [(_NOT_LABELLED, NULL_VALUE), *((word, word) for word in (*answers, cannot_tell))])
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
        _add_map(layer, settings)


def _add_form(root: ET.Element, fields: Sequence[str], choices: Sequence[tuple[str, str]]) -> None:
    editable = {"reference", "note"}
    configuration = ET.SubElement(root, "fieldConfiguration")
    for name in ("fid", *fields):
        field = ET.SubElement(configuration, "field", name=name, configurationFlags="None")
        kind, settings = _widget(name, choices)
        _add_map(ET.SubElement(ET.SubElement(field, "editWidget", type=kind), "config"), settings)
    states = ET.SubElement(root, "editable")
    for name in ("fid", *fields):
        ET.SubElement(states, "field", name=name, editable="1" if name in editable else "0")
    ET.SubElement(root, "editorlayout").text = "generatedlayout"
    # The tiles in the order of the draw, which says nothing of their strata; fid adds nothing for whoever labels.
    columns = ET.SubElement(ET.SubElement(root, "attributetableconfig"), "columns")
    ET.SubElement(columns, "column", type="field", name="fid", hidden="1", width="-1")
    for name in fields:
        ET.SubElement(columns, "column", type="field", name=name, hidden="0", width="-1")


def _widget(name: str, choices: Sequence[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    """Return the type of the editor widget of a field, and its settings."""
    if name == "fid":
        return "Hidden", {}
    if name == "reference":
        # A list of maps of one entry each keeps the order.
        return "ValueMap", {"map": [{shown: value} for shown, value in choices]}
    return "TextEdit", {"IsMultiline": name == "note", "UseHtml": False}


def _add_map(parent: ET.Element, values: dict[str, Any], name: str | None = None) -> None:
    """Add a map as QGIS writes a QVariant."""
    element = ET.SubElement(parent, "Option", {"type": "Map"} | ({} if name is None else {"name": name}))
    for key, value in values.items():
        if isinstance(value, list):
            entries = ET.SubElement(element, "Option", name=key, type="List")
            for entry in value:
                _add_map(entries, entry)
        elif isinstance(value, bool):
            ET.SubElement(element, "Option", name=key, type="bool", value=str(value).lower())
        else:
            ET.SubElement(element, "Option", name=key, type="QString", value=value)


def _text(value: str) -> str:
    """Return a text as a QGIS expression."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
