"""Class names in XML: styles of QGIS (.qml, .qlr), SLD, and the categories and attribute tables of GDAL (.aux.xml)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import COLOURS, NAMES, PLAIN, NamedRow, rgb_colour, title_of

_Element = ElementTree.Element
_XML: Final = re.compile(
    r"\s*(<\?xml|<!DOCTYPE|<!--|<(\w+:)?(qgis|qlr|qgis-layer-definition|StyledLayerDescriptor|PAMDataset|VRTDataset"
    r"|GDALRasterAttributeTable|kml|gpx|html|head|body|table)\b)", re.I,
)  # fmt: skip
_HTML: Final = re.compile(r"\s*(<!--.*?-->\s*)?(<!DOCTYPE\s+html|<(html|head|body|table)\b)", re.I | re.S)
# Words for pixels without a class.
_NO_CLASS: Final = frozenset({"", "no label", "unclassified", "nodata", "no data"})
# Filters of SLD that compare numbers with a range.
_RANGES: Final = frozenset(
    {"PropertyIsLessThan", "PropertyIsLessThanOrEqualTo", "PropertyIsGreaterThan", "PropertyIsGreaterThanOrEqualTo",
     "PropertyIsBetween"}
)  # fmt: skip
_SAVE: Final = "in QGIS save the style of a layer with categories, or of a raster with a palette"
# GDALRATFieldUsage of a column of names, and of red, green and blue.
_NAME, _RED_GREEN_BLUE = "2", ("6", "7", "8")


def style_rows(text: str, source: str) -> list[NamedRow] | None:
    """Read class names from XML; None for other texts.

    Raises
    ------
    LabelsError
        It is HTML, XML of another kind, or a style without class names, such as one of ranges of numbers.
    """
    if not _XML.match(text):
        return None
    if _HTML.match(text):
        raise LabelsError(f"{source}: a web page (HTML), not class names", PLAIN)
    if "<!ENTITY" in text:
        raise LabelsError(f"{source}: XML with entities is not read", PLAIN)
    try:
        root = ElementTree.fromstring(text.lstrip())
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelsError(f"{source}: looks like XML, but cannot be read: {error}", PLAIN) from error
    kind = _tag(root)
    if kind in ("qgis", "qlr", "qgis-layer-definition"):
        if root.find("projectlayers") is not None:
            raise LabelsError(f"{source}: a QGIS project", _SAVE)
        return _with_names(_qgis(root, source), source)
    if kind == "StyledLayerDescriptor":
        return _with_names(_sld(root, source), source)
    if kind in ("PAMDataset", "VRTDataset", "GDALRasterAttributeTable"):
        return _with_names(_gdal(root, source), source)
    raise LabelsError(f"{source}: an XML file of the kind {kind[:40]}, not class names", PLAIN)


def _with_names(rows: Sequence[NamedRow], source: str) -> list[NamedRow]:
    """Return the rows that name a class; refuse numbers in place of names."""
    found = [row for row in rows if row.name.strip().lower() not in _NO_CLASS]
    if not found:
        raise LabelsError(f"{source}: the style or table holds no class names", _SAVE)
    if all(re.fullmatch(r"-?\d+(\.\d+)?", row.name.strip()) for row in found):
        raise LabelsError(f"{source}: the classes have numbers but no names", "name them in the legend first")
    return found


def _tag(element: _Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: _Element, tag: str) -> Iterator[_Element]:
    return (each for each in element.iter() if _tag(each) == tag)


def _qgis(root: _Element, source: str) -> list[NamedRow]:
    """Read the categories of a vector layer, or the classes of a paletted raster."""
    renderers = [*root.iter("renderer-v2"), *root.iter("rasterrenderer")]
    if len(renderers) > 1:
        raise LabelsError(f"{source}: the styles of {len(renderers)} layers", "save the style of one layer as .qml")
    if not renderers:
        raise LabelsError(f"{source}: a QGIS style without categories", _SAVE)
    renderer = renderers[0]
    kind = renderer.get("type", "")
    if kind not in ("categorizedSymbol", "paletted"):
        raise LabelsError(f"{source}: a QGIS style of the type {kind[:40]}, which has no categories", _SAVE)
    symbols = {symbol.get("name"): symbol for symbol in renderer.iterfind("symbols/symbol")}
    rows = []
    for category in renderer.iterfind("categories/category"):
        value, several = category.get("value") or "", category.find("val") is not None
        if value or several:  # a category without a value is that of all other values
            symbol = symbols.get(category.get("symbol"))
            colour = None if symbol is None else _symbol_colour(symbol)
            rows.append(NamedRow(0, category.get("label") or value, colour))
    for entry in renderer.iter("paletteEntry"):
        rows.append(NamedRow(0, entry.get("label") or entry.get("value") or "", entry.get("color")))
    return rows


def _symbol_colour(symbol: _Element) -> str | None:
    for path, value in ((".//Option[@name='color']", "value"), (".//prop[@k='color']", "v")):
        found = symbol.find(path)
        if found is not None and (match := re.match(r"(\d{1,3}),(\d{1,3}),(\d{1,3})", found.get(value) or "")):
            return rgb_colour(match.group(1, 2, 3))
    return None


def _sld(root: _Element, source: str) -> list[NamedRow]:
    """Read the entries of a colour map of values, or the rules of a vector layer."""
    maps = list(_all(root, "ColorMap"))
    if maps:
        if len(maps) > 1 or maps[0].get("type", "ramp") != "values":
            raise LabelsError(f"{source}: an SLD of ranges of numbers, which has no classes", _SAVE)
        return [NamedRow(0, entry.get("label") or "", entry.get("color")) for entry in _all(maps[0], "ColorMapEntry")]
    rows = []
    for rule in _all(root, "Rule"):
        if any(_tag(each) in _RANGES for each in rule.iter()):
            raise LabelsError(f"{source}: an SLD of ranges of numbers, which has no classes", _SAVE)
        if next(_all(rule, "ElseFilter"), None) is not None:
            continue
        titles = [each.text or "" for tag in ("Title", "Name") for each in _all(rule, tag)]
        fills = [each for fill in _all(rule, "Fill") for each in fill.iter() if each.get("name") == "fill"]
        rows.append(NamedRow(0, next(filter(None, titles), ""), (fills[0].text or "").strip() if fills else None))
    return rows


def _gdal(root: _Element, source: str) -> list[NamedRow]:
    """Read the category names or the attribute table of the only band that has some."""
    bands = [
        band for band in (root, *root.iter("PAMRasterBand"), *root.iter("VRTRasterBand"))
        if band.find("CategoryNames") is not None or band.find("GDALRasterAttributeTable") is not None
        or band.tag == "GDALRasterAttributeTable"
    ]  # fmt: skip
    if len(bands) != 1:
        what = "no class names" if not bands else f"class names of {len(bands)} bands"
        raise LabelsError(f"{source}: holds {what}", PLAIN)
    band = bands[0]
    names = [category.text or "" for category in band.findall("CategoryNames/Category")]
    if any(name.strip() for name in names):
        table = [_entry_colour(entry) for entry in band.findall("ColorTable/Entry")]
        return [NamedRow(0, name, table[code] if code < len(table) else None) for code, name in enumerate(names)]
    attributes = band if band.tag == "GDALRasterAttributeTable" else band.find("GDALRasterAttributeTable")
    return [] if attributes is None else _attribute_rows(attributes, source)


def _entry_colour(entry: _Element) -> str | None:
    numbers = [entry.get(key, "") for key in ("c1", "c2", "c3")]
    return rgb_colour((*numbers,)) if all(number.isdigit() for number in numbers) else None


def _attribute_rows(table: _Element, source: str) -> list[NamedRow]:
    fields = [
        (title_of(field.findtext("Name", "")), field.findtext("Type", ""), field.findtext("Usage", ""))
        for field in table.findall("FieldDefn")
    ]
    texts = [at for at, (_, kind, _) in enumerate(fields) if kind == "2"]  # GFT_String
    by_usage = [at for at in texts if fields[at][2] == _NAME]
    by_title = [at for at in texts if fields[at][0] in NAMES - COLOURS]
    at = next((some[0] for some in (by_usage, by_title, texts) if len(some) == 1), None)
    if at is None:
        raise LabelsError(f"{source}: an attribute table without a column of class names", PLAIN)
    rgb = [next((i for i, field in enumerate(fields) if field[2] == usage), None) for usage in _RED_GREEN_BLUE]
    rows = []
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        if len(cells) != len(fields):
            continue
        numbers = [cells[column] for column in rgb if column is not None]
        whole = len(numbers) == 3 and all(number.isdigit() for number in numbers)
        rows.append(NamedRow(0, cells[at], rgb_colour((*numbers,)) if whole else None))
    return rows
