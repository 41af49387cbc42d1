"""The QGIS style of tiles that a search found: colours of the score, of accepted and rejected tiles, and a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from bimors_cli.output.form import NULL_VALUE, Choices, Hidden, Known, Text, Widget, add_form, add_map, add_table
from bimors_cli.output.style import score_qml

# The entries of the list of the column accept, and what they store.
CHOICES: Final = (("not judged", NULL_VALUE), ("yes", "1"), ("no", "0"))
# Without a fill, so that the image stays visible; distinct for colour-blind readers too, by the hatch.
ACCEPTED: Final = ("accepted", '"accept" = 1', "0,200,255", "no")
REJECTED: Final = ("rejected", '"accept" = 0', "213,94,0", "diagonal_x")
_NOT_JUDGED: Final = '"accept" is null'
_OUTLINE_MM: Final = "0.8"
_WIDGETS: Final[Mapping[str, Widget]] = {
    "fid": Hidden(),
    "accept": Choices(CHOICES),
    "label": Known(),
    "caption": Text(True, editable=False),
}


def found_qml(fields: Sequence[str], low: float, high: float) -> str:
    """Make the QGIS style (QML, UTF-8 text) of a search: accepted tiles, rejected ones, the others as `score_qml`.

    In the form ``accept`` is a list (yes, no, not judged) and ``label`` offers the labels of the layer; all other
    fields are read-only, and ``fid`` is hidden.

    Parameters
    ----------
    fields : sequence of str
        The fields of the layer, in the order in which the form shows them: ``rank``, ``score``, ``accept``, ``label``
        and ``caption`` among them.
    low, high : float
        The least and the largest score.
    """
    root = ET.fromstring(score_qml(low, high))
    root.set("styleCategories", f"{root.get('styleCategories')}|Fields|Forms|AttributeTable")
    _add_rules(root)
    add_form(root, ("fid", *fields), _WIDGETS)
    add_table(root, ("fid", *fields), _WIDGETS)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add_rules(root: ET.Element) -> None:
    """Turn the renderer by score into one by rules, of which the first ones are those of judged tiles."""
    graduated = root.findall("renderer-v2")[0]
    position = list(root).index(graduated)
    renderer = ET.Element(
        "renderer-v2", type="RuleRenderer", symbollevels="0", enableorderby="0", forceraster="0", referencescale="-1"
    )
    root[position] = renderer
    rules = ET.SubElement(renderer, "rules", key="rules")
    symbols = ET.SubElement(renderer, "symbols")
    for name, condition, colour, brush in (ACCEPTED, REJECTED):
        _add_rule(rules, name, condition, symbols, _symbol(colour, brush))
    steps = graduated.findall("ranges/range")
    fills = {symbol.get("name"): symbol for symbol in graduated.findall("symbols/symbol")}
    for index, step in enumerate(steps):
        # The first and the last step are open: the bounds are rounded.
        bounds = [f'"score" >= {step.get("lower")}'] if index else []
        bounds += [f'"score" < {step.get("upper")}'] if index < len(steps) - 1 else []
        condition = " and ".join([_NOT_JUDGED, *bounds])
        _add_rule(rules, str(step.get("label")), condition, symbols, fills[step.get("symbol")])


def _add_rule(rules: ET.Element, name: str, condition: str, symbols: ET.Element, symbol: ET.Element) -> None:
    number = str(len(rules))
    symbol.set("name", number)
    symbols.append(symbol)
    ET.SubElement(rules, "rule", {"key": f"rule {number}", "symbol": number, "label": name, "filter": condition})


def _symbol(colour: str, brush: str) -> ET.Element:
    symbol = ET.Element("symbol", type="fill", alpha="1", clip_to_extent="1", force_rhr="0")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    add_map(
        layer,
        {
            "color": f"{colour},255",
            "style": brush,
            "joinstyle": "miter",
            "outline_color": f"{colour},255",
            "outline_style": "solid",
            "outline_width": _OUTLINE_MM,
            "outline_width_unit": "MM",
        },
    )
    return symbol
