"""The QGIS style of the layer: one colour a label, half transparent, so that the image shows through."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from bimors_cli.labels import Labels
from bimors_cli.output.palette import NO_LABEL, colours

__all__ = ["FILL_ALPHA", "NO_LABEL_ALPHA", "NO_LABEL_NAME", "OUTLINE_ALPHA", "colours", "qml"]

# 0..255
FILL_ALPHA: Final = 140
NO_LABEL_ALPHA: Final = 77
OUTLINE_ALPHA: Final = 200
NO_LABEL_NAME: Final = "no label"

# QGIS converts a style that is older than itself and warns about a newer one: this is the oldest that reads all of it.
_VERSION: Final = "3.22.0"
_OUTLINE_MM: Final = "0.1"
_POLYGONS: Final = "2"  # Qgis.GeometryType


def qml(spec_labels: Labels, field: str = "label") -> str:
    """Make a categorised QGIS style (QML, UTF-8 text) for polygons.

    Parameters
    ----------
    spec_labels : Labels
        One category each, in order, with the colours of `colours`.
    field : str
        The attribute that holds the label. Null and whatever is not in the labels falls into a pale last category.
    """
    root = ET.Element("qgis", version=_VERSION, styleCategories="Symbology")
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr=field,
        symbollevels="0",
        enableorderby="0",
        forceraster="0",
        referencescale="-1",
    )
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
    ET.SubElement(root, "layerGeometryType").text = _POLYGONS
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add_symbol(symbols: ET.Element, name: str, colour: str, alpha: int) -> None:
    # Alpha goes into the colours, not on the symbol: so the outline stays crisper than the fill.
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    settings = {
        "color": _rgba(colour, alpha),
        "style": "solid",
        "joinstyle": "miter",
        "outline_color": _rgba(colour, min(OUTLINE_ALPHA, alpha + 60)),
        "outline_style": "solid",
        "outline_width": _OUTLINE_MM,
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
