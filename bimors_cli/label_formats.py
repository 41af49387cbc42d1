"""Class names in files that are not plain labels files: JSON, CSV, quoted and listed lines, QGIS styles, colour maps.

A format is read where only one reading is possible. Otherwise the error says what the file looks like.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

from bimors_cli.errors import LabelsError

_PLAIN: Final = "write one class name per line, for example forest, river, harbour"
_NAMES: Final = ("class", "name", "label", "classname", "class_name", "category", "klasse", "classe", "clase")
_COLOURS: Final = ("color", "colour", "hex", "rgb")
_BINARY: Final = {
    b"PK\x03\x04": "an Excel workbook or another zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"SQLite format 3\x00": "a GeoPackage or another SQLite file",
    b"%PDF": "a PDF file",
    b"II*\x00": "a TIFF file",
    b"MM\x00*": "a TIFF file",
}
_JSON: Final = re.compile(r"\s*(\[\s*[\"'{\]\[]|\{\s*[\"'}])")
_QGIS: Final = re.compile(r"\s*(<\?xml[^>]*>\s*)?(<!DOCTYPE qgis\b|<qgis\b)", re.I)
_COLOUR_MAP_LINE: Final = re.compile(r"\s*(-?\d+)\s+(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})(?:\s+(\S.*))?")
_NUMBERED: Final = re.compile(r"\s*(\d+)\s*[.):;,\t-]\s*\S")


@dataclass(frozen=True)
class NamedRow:
    """A class as a file gives it: ``line`` from 1, or 0 where a file has no lines; ``colour`` as written, or None."""

    line: int
    name: str
    colour: str | None = None


def decoded(data: bytes, source: str) -> str:
    """Return the text of a labels file: UTF-8, or UTF-16 with a byte order mark.

    Raises
    ------
    LabelsError
        It is a binary file, or in another encoding.
    """
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise LabelsError(f"{source}: not a labels file but {what}", f"save the names as text: {_PLAIN}")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        # Concatenated files have byte order marks inside; they are invisible in a name.
        return data.decode(encoding).replace("\ufeff", "")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise LabelsError(f"{source}, line {number}: not UTF-8 text", "save the file as UTF-8") from error


def named_rows(text: str, source: str) -> list[NamedRow] | None:
    """Read class names from another format; None for a plain labels file.

    Parameters
    ----------
    text : str
        The content.
    source : str
        Name of the file, for messages; ``.csv`` says what it is.

    Raises
    ------
    LabelsError
        The text looks like another format, from which no class names can be read.
    """
    if _JSON.match(text):
        return _json(text, source)
    if _QGIS.match(text):
        return _style(text, source)
    # As in plain files, only line feeds end a line.
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    names = [(number, line.strip()) for number, line in lines if not line.lstrip().startswith("#")]
    if len(names) < 2:
        return None
    for reader in (_colour_map, _listed, _quoted, _with_commas):
        rows = reader(names, source)
        if rows is not None:
            return rows
    return _table(text, source, names)


def _json(text: str, source: str) -> list[NamedRow]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"{source}: looks like JSON, but cannot be read: {error}", _PLAIN) from error
    rows = [_json_row(item) for item in value] if isinstance(value, list) else [None]
    found = [row for row in rows if row is not None]
    if not found or len(found) < len(rows):
        raise LabelsError(
            f"{source}: JSON that is not a list of names", 'write ["forest", "river"], or one class name per line'
        )
    return found


def _json_row(item: Any) -> NamedRow | None:
    if isinstance(item, str):
        return NamedRow(0, item)
    if not isinstance(item, dict):
        return None
    name, colour = _by_header(item, _NAMES), _by_header(item, _COLOURS)
    return NamedRow(0, name, colour if isinstance(colour, str) else None) if isinstance(name, str) else None


def _by_header(item: dict[str, Any], headers: Sequence[str]) -> Any:
    found = [value for key, value in item.items() if key.strip().lower() in headers]
    return found[0] if len(found) == 1 else None


def _style(text: str, source: str) -> list[NamedRow]:
    """Read a QGIS style: the categories of a vector layer, or the classes of a paletted raster."""
    if "<!ENTITY" in text:
        raise LabelsError(f"{source}: a QGIS style with entities is not read", _PLAIN)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LabelsError(f"{source}: looks like a QGIS style, but cannot be read: {error}", _PLAIN) from error
    colours = {symbol.get("name"): _symbol_colour(symbol) for symbol in root.iterfind(".//symbols/symbol")}
    rows = [
        NamedRow(0, name, colours.get(category.get("symbol")))
        for category in root.iterfind(".//categories/category")
        if (name := category.get("label") or category.get("value"))
    ]
    rows += [
        NamedRow(0, entry.get("label") or entry.get("value") or "", entry.get("color"))
        for entry in root.iterfind(".//paletteEntry")
    ]
    if not rows:
        raise LabelsError(f"{source}: a QGIS style without categories", "save the style of a categorized layer")
    return rows


def _symbol_colour(symbol: ElementTree.Element) -> str | None:
    for path, value in ((".//Option[@name='color']", "value"), (".//prop[@k='color']", "v")):
        found = symbol.find(path)
        if found is not None and (match := re.match(r"(\d+),(\d+),(\d+)", found.get(value) or "")):
            return _hex(match.groups())
    return None


def _hex(numbers: Sequence[str]) -> str | None:
    values = [int(number) for number in numbers]
    return f"#{values[0]:02x}{values[1]:02x}{values[2]:02x}" if max(values) <= 255 else None


def _colour_map(names: Sequence[tuple[int, str]], source: str) -> list[NamedRow] | None:
    """Read a colour map of ESRI or GDAL: value, red, green, blue, name."""
    matches = [(number, _COLOUR_MAP_LINE.fullmatch(line)) for number, line in names]
    if not all(match for _, match in matches):
        return None
    rows = [NamedRow(number, match[5], _hex(match.group(2, 3, 4))) for number, match in matches if match and match[5]]
    if len(rows) < len(matches):
        raise LabelsError(f"{source}: looks like a colour map without names", "add the class name to each line")
    return rows


def _listed(names: Sequence[tuple[int, str]], source: str) -> list[NamedRow] | None:
    """Read the items of a YAML list; refuse numbered lines."""
    listed = names[1:] if re.fullmatch(r"\w+:", names[0][1]) else names
    if len(listed) > 1 and all(re.match(r"-\s+\S", line) for _, line in listed):
        return [NamedRow(number, _unquoted(line[1:].strip())) for number, line in listed]
    matches = [_NUMBERED.match(line) for _, line in names]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) == len(names) and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        raise LabelsError(
            f"{source}, line {names[0][0]}: looks like a numbered list",
            "remove the numbers, or name the columns in a first line: id,class",
        )
    return None


def _quoted(names: Sequence[tuple[int, str]], source: str) -> list[NamedRow] | None:
    if not all(re.fullmatch(r"""("[^"]+"|'[^']+'),?""", line) for _, line in names):
        return None
    return [NamedRow(number, _unquoted(line.rstrip(","))) for number, line in names]


def _with_commas(names: Sequence[tuple[int, str]], source: str) -> list[NamedRow] | None:
    """Read lines that all end in a comma, the last one perhaps not."""
    if not all(line.endswith(",") for _, line in names[:-1]) or any("," in line[:-1] for _, line in names):
        return None
    return [NamedRow(number, line.rstrip(",")) for number, line in names]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _table(text: str, source: str, names: Sequence[tuple[int, str]]) -> list[NamedRow] | None:
    """Read a table with a header that names a column of classes, or a CSV of one column."""
    header = names[0][1]
    is_csv = source.lower().endswith(".csv")
    delimiter = max(",;\t", key=header.count)
    titles = [_unquoted(title.strip()).strip().lower() for title in header.split(delimiter)]
    at = [index for index, title in enumerate(titles) if title in _NAMES]
    colours = [index for index, title in enumerate(titles) if title in _COLOURS]
    if len(titles) > 1 and len(at) == 1 and not any(title.startswith("#") for title in titles):
        return _rows(text, source, delimiter, at[0], colours[0] if len(colours) == 1 else None, skip=1)
    if not is_csv:
        return None
    if len(titles) == 1:
        return _rows(text, source, ",", 0, None, skip=1 if titles[0] in _NAMES else 0)
    reason = "several columns with class names" if len(at) > 1 else "several columns, and none is called class or name"
    raise LabelsError(f"{source}: {reason}", "name the columns in the first line: class,color")


def _rows(text: str, source: str, delimiter: str, name: int, colour: int | None, *, skip: int) -> list[NamedRow]:
    reader = csv.reader(text.split("\n"), delimiter=delimiter, strict=False)
    found: list[NamedRow] = []
    try:
        for row in reader:
            if not any(map(str.strip, row)) or row[0].lstrip().startswith("#"):
                continue
            if skip:
                skip -= 1
                continue
            if len(row) <= name or not row[name].strip():
                raise LabelsError(f"{source}, line {reader.line_num}: no class name", "complete the line, or delete it")
            shade = row[colour].strip() if colour is not None and len(row) > colour else ""
            found.append(NamedRow(reader.line_num, row[name].strip(), shade or None))
    except csv.Error as error:
        raise LabelsError(f"{source}, line {reader.line_num}: {error}", _PLAIN) from error
    return found
