"""The form of a layer in a QGIS style: which widget edits each field, and which fields can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Choices:
    """A list of values to choose from, in this order."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Tick:
    """A box to tick: 1 in an integer field when it is ticked, 0 when it is not."""


def add_form(root: ET.Element, fields: Sequence[str], widgets: Mapping[str, Choices | Tick]) -> None:
    """Add the form of a layer to a style, which must list the categories Fields and Forms.

    Parameters
    ----------
    root : Element
        The element ``qgis`` of the style.
    fields : sequence of str
        The fields of the layer, in the order in which the form shows them.
    widgets : mapping of str to Choices or Tick
        By field how it is edited; the others are shown and cannot be edited.
    """
    configuration = ET.SubElement(root, "fieldConfiguration")
    for name in fields:
        field = ET.SubElement(configuration, "field", name=name, configurationFlags="None")
        kind, options = _widget(widgets.get(name))
        ET.SubElement(ET.SubElement(field, "editWidget", type=kind), "config").append(options)
    states = ET.SubElement(root, "editable")
    for name in fields:
        ET.SubElement(states, "field", name=name, editable="1" if name in widgets else "0")
    ET.SubElement(root, "editorlayout").text = "generatedlayout"


def _widget(widget: Choices | Tick | None) -> tuple[str, ET.Element]:
    """Return the type of a widget, and its settings as QGIS writes a QVariant."""
    options = ET.Element("Option", type="Map")
    if isinstance(widget, Choices):
        # A list of maps of one entry each keeps the order.
        entries = ET.SubElement(options, "Option", name="map", type="List")
        for value in widget.values:
            entry = ET.SubElement(entries, "Option", type="Map")
            ET.SubElement(entry, "Option", name=value, type="QString", value=value)
        return "ValueMap", options
    if isinstance(widget, Tick):
        for name, value in (("CheckedState", "1"), ("UncheckedState", "0")):
            ET.SubElement(options, "Option", name=name, type="QString", value=value)
        return "CheckBox", options
    ET.SubElement(options, "Option", name="IsMultiline", type="bool", value="false")
    return "TextEdit", options
