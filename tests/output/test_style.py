"""The QGIS style as XML; that QGIS takes it as meant is tested in test_qgis.py."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bimors_cli.labels import Labels
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA, colours, qml
from tests.output.conftest import HARD_NAMES


def test_every_label_has_a_category_and_so_has_its_absence(labels: Labels) -> None:
    root = ET.fromstring(qml(labels, "class"))
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class")
    categories = renderer.findall("categories/category")
    assert [category.get("value") for category in categories] == [*HARD_NAMES, ""]
    assert [category.get("label") for category in categories] == [*HARD_NAMES, "no label"]
    symbols = [symbol.get("name") for symbol in renderer.findall("symbols/symbol")]
    assert [category.get("symbol") for category in categories] == symbols


def test_fills_are_half_transparent_in_the_colours_of_the_labels(labels: Labels) -> None:
    root = ET.fromstring(qml(labels))
    fills = [option.get("value") for option in root.iterfind(".//layer/Option/Option[@name='color']")]
    wanted = [",".join(map(str, (*bytes.fromhex(colour[1:]), FILL_ALPHA))) for colour in colours(labels)]
    assert fills == [*wanted, f"217,217,217,{NO_LABEL_ALPHA}"]
    assert fills[5] == "255,0,0,140"  # the user's own
    # Both spellings say the same.
    for layer in root.iter("layer"):
        modern = {option.get("name"): option.get("value") for option in layer.iterfind("Option/Option")}
        assert modern == {prop.get("k"): prop.get("v") for prop in layer.iterfind("prop")}


def test_a_thousand_labels() -> None:
    root = ET.fromstring(qml(Labels.of([f"class {i}" for i in range(1000)])))
    assert len(root.findall(".//category")) == len(root.findall(".//symbol")) == 1001
