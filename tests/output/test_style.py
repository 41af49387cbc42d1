"""The QGIS style as XML; that QGIS takes it as meant is tested in tests/qgis."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from bimors_cli.labels import Labels
from bimors_cli.output.palette import PALETTE
from bimors_cli.output.style import (
    CONFIDENCE_COLOURS,
    FILL_ALPHA,
    NO_LABEL_ALPHA,
    colours,
    confidence_qml,
    label_sets_qml,
    qml,
)
from tests.output.conftest import HARD_NAMES
from tests.output.test_palette import VISION, lightness


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


def test_sets_of_several_labels_are_hatched(labels: Labels) -> None:
    root = ET.fromstring(label_sets_qml(labels))
    renderer = root.find("renderer-v2")
    assert renderer is not None and renderer.get("attr") == """if("label_set_size" > 1, '1 ', '0 ') || "label\""""
    categories = {category.get("value"): category for category in renderer.iterfind("categories/category")}
    assert len(categories) == 2 * len(labels) + 1
    kinds = {
        symbol.get("name"): [layer.get("class") for layer in symbol.iterfind("layer")]
        for symbol in renderer.iterfind("symbols/symbol")
    }
    for name in labels.names:
        one, several = categories[f"0 {name}"], categories[f"1 {name}"]
        assert (one.get("label"), several.get("label")) == (name, f"{name} or others")
        assert kinds[one.get("symbol")] == ["SimpleFill"]
        assert kinds[several.get("symbol")] == ["SimpleFill", "LinePatternFill"]
    tip = root.find("mapTip")
    assert tip is not None and tip.text is not None and "label_set" in tip.text
    assert "label_set" not in qml(labels)


def test_a_thousand_labels() -> None:
    root = ET.fromstring(qml(Labels.of([f"class {i}" for i in range(1000)])))
    assert len(root.findall(".//category")) == len(root.findall(".//symbol")) == 1001


@pytest.mark.parametrize(("count", "written"), [(2, "0"), (len(PALETTE), "0"), (len(PALETTE) + 1, "1"), (100, "1")])
def test_more_labels_than_colours_that_differ_well_are_written_as_well(count: int, written: str) -> None:
    root = ET.fromstring(qml(Labels.of([f"class {i}" for i in range(count)])))
    assert root.get("labelsEnabled") == written
    settings = root.find("labeling/settings")
    assert settings is not None
    text, placement = settings.find("text-style"), settings.find("placement")
    assert text is not None and text.get("fieldName") == "label"
    assert placement is not None and placement.get("fitInPolygonOnly") == "1"


def test_the_confidence_is_cut_into_fifths_without_a_gap() -> None:
    root = ET.fromstring(confidence_qml())
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("graduatedSymbol", "confidence")
    bounds = [(float(step.get("lower", "")), float(step.get("upper", ""))) for step in root.iter("range")]
    assert [upper for _, upper in bounds[:-1]] == [lower for lower, _ in bounds[1:]]
    assert (bounds[0][0], bounds[-1][1], len(bounds)) == (0, 1, len(CONFIDENCE_COLOURS))


@pytest.mark.parametrize("vision", [None, *VISION])
def test_a_surer_tile_is_lighter_to_every_eye(vision: str | None) -> None:
    steps = [lightness(colour, vision) for colour in CONFIDENCE_COLOURS]
    assert all(after - before > 0.1 for before, after in pairwise(steps))
