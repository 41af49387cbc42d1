"""The form of a layer in a QGIS style: which widget edits each field, and which fields can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

# QgsValueMapFieldFormatter::NULL_VALUE: the entry of a value list that stands for null.
NULL_VALUE: Final = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"


@dataclass(frozen=True)
class Choices:
    """A list to choose from, in this order: what it shows, and what the field then holds."""

    entries: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> Choices:
        """Make a list that shows the values themselves."""
        return cls(tuple((value, value) for value in values))


@dataclass(frozen=True)
class Tick:
    """A box to tick: 1 in an integer field when it is ticked, 0 when it is not."""


@dataclass(frozen=True)
class Known:
    """A text that may be typed, or chosen from those that the layer holds."""


@dataclass(frozen=True)
class Text:
    """A text of one line or of several."""

    multiline: bool = False
    editable: bool = True


@dataclass(frozen=True)
class Hidden:
    """A field that neither the form nor the table shows."""


Widget = Choices | Tick | Known | Text | Hidden
_SHOWN: Final = Text(editable=False)


def add_form(root: ET.Element, fields: Sequence[str], widgets: Mapping[str, Widget]) -> None:
    """Add the form of a layer to a style, which must list the categories Fields and Forms.

    Parameters
    ----------
    root : Element
        The element ``qgis`` of the style.
    fields : sequence of str
        The fields of the layer, in the order in which the form shows them.
    widgets : mapping of str to Widget
        By field how it is edited; the others are shown and cannot be edited.
    """
    chosen = {name: widgets.get(name, _SHOWN) for name in fields}
    configuration = ET.SubElement(root, "fieldConfiguration")
    for name, widget in chosen.items():
        field = ET.SubElement(configuration, "field", name=name, configurationFlags="None")
        kind, settings = _settings(widget)
        add_map(ET.SubElement(ET.SubElement(field, "editWidget", type=kind), "config"), settings)
    states = ET.SubElement(root, "editable")
    for name, widget in chosen.items():
        shown_only = isinstance(widget, Hidden) or (isinstance(widget, Text) and not widget.editable)
        ET.SubElement(states, "field", name=name, editable="0" if shown_only else "1")
    ET.SubElement(root, "editorlayout").text = "generatedlayout"


def add_table(root: ET.Element, fields: Sequence[str], widgets: Mapping[str, Widget]) -> None:
    """Add the columns of the attribute table, in the order of the fields; the style must list AttributeTable."""
    columns = ET.SubElement(ET.SubElement(root, "attributetableconfig"), "columns")
    for name in fields:
        hidden = "1" if isinstance(widgets.get(name), Hidden) else "0"
        ET.SubElement(columns, "column", type="field", name=name, hidden=hidden, width="-1")


def add_map(parent: ET.Element, values: Mapping[str, Any]) -> None:
    """Add a map as QGIS writes a QVariant: of texts, booleans and lists of maps."""
    element = ET.SubElement(parent, "Option", type="Map")
    for key, value in values.items():
        if isinstance(value, list):
            entries = ET.SubElement(element, "Option", name=key, type="List")
            for entry in value:
                add_map(entries, entry)
        elif isinstance(value, bool):
            ET.SubElement(element, "Option", name=key, type="bool", value=str(value).lower())
        else:
            ET.SubElement(element, "Option", name=key, type="QString", value=value)


def _settings(widget: Widget) -> tuple[str, Mapping[str, Any]]:
    """Return the type of an editor widget of QGIS, and its settings."""
    match widget:
        case Choices(entries):
            # A list of maps of one entry each keeps the order.
            return "ValueMap", {"map": [{shown: value} for shown, value in entries]}
        case Tick():
            return "CheckBox", {"CheckedState": "1", "UncheckedState": "0"}
        case Known():
            return "UniqueValues", {"Editable": True}
        case Hidden():
            return "Hidden", {}
        case Text(multiline):
            return "TextEdit", {"IsMultiline": multiline, "UseHtml": False}
