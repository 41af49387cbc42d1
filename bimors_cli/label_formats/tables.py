"""Class names in tables: CSV with titles, with codes, or of one column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import COLOURS, NAMES, NamedRow, hex_colour, title_of

_SUFFIXES: Final = (".csv", ".tsv")
_DESCRIPTIONS: Final = frozenset({"description", "definition", "legend", "meaning"})
_RED_GREEN_BLUE: Final = ({"red", "r"}, {"green", "g"}, {"blue", "b"})
_NUMBER: Final = re.compile(r"-?\d+(?:[.,]\d+)?")
_FRACTION: Final = re.compile(r"0(?:\.\d*)?|1(?:\.0*)?|\.\d+")
_CODE: Final = re.compile(r"-?\d+")
_TITLES: Final = "name the columns in the first line: class,color"


@dataclass(frozen=True)
class _Row:
    line: int
    cells: tuple[str, ...]


def table_rows(
    lines: Sequence[tuple[int, str]], text: str, source: str, delimiter: str | None = None
) -> list[NamedRow] | None:
    """Read a table with titles that name a column of classes, or one of codes and names; None for other lines.

    Parameters
    ----------
    lines : sequence of (int, str)
        Number and text of each line that is not blank and no comment, at least two.
    text : str
        The whole content.
    source : str
        Name of the file, for messages; ``.csv`` and ``.tsv`` say what it is.
    delimiter : str, optional
        The separator, if the file states it.

    Raises
    ------
    LabelsError
        It is a table in which the column of the classes is not clear, or a row has other cells than the titles.
    """
    header = lines[0][1]
    chosen = delimiter or max(",;\t", key=header.count)
    titles = [title_of(title) for title in header.split(chosen)]
    is_table = _is_table(source, delimiter)
    if len(titles) == 1:
        plain = not is_table and (len(lines) < 3 or any("\t" in line for _, line in lines))
        return None if plain or titles[0] not in NAMES else _one_column(_read(text, source, chosen)[1:], source)
    if _has_codes(lines, chosen):
        return _codes_and_names(_read(text, source, chosen), source)
    if not any(title.startswith("#") for title in titles) and {*titles} & (
        NAMES | (_DESCRIPTIONS if is_table else set())
    ):
        return _with_titles(_read(text, source, chosen), source)
    return None


def untitled_rows(
    lines: Sequence[tuple[int, str]], text: str, source: str, delimiter: str | None = None
) -> list[NamedRow] | None:
    """Read a CSV of one column without a title; None for a file that is not named as a table.

    Parameters as for `table_rows`.

    Raises
    ------
    LabelsError
        It has several columns.
    """
    if not _is_table(source, delimiter):
        return None
    if max(map(lines[0][1].count, delimiter or ",;\t")):
        raise LabelsError(f"{source}: several columns, and none is called class or name", _TITLES)
    return _one_column(_read(text, source, delimiter or ","), source)


def _is_table(source: str, delimiter: str | None) -> bool:
    return delimiter is not None or source.lower().endswith(_SUFFIXES)


def _read(text: str, source: str, delimiter: str) -> list[_Row]:
    """Return the rows that are not blank and no comments."""
    reader = csv.reader(text.split("\n"), delimiter=delimiter, strict=True, skipinitialspace=True)
    found, following = [], 1
    try:
        for cells in reader:
            line, following = following, reader.line_num + 1
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped) and not stripped[0].startswith("#") and not re.fullmatch("sep=.?", stripped[0], re.I):
                found.append(_Row(line, stripped))
    except csv.Error as error:
        raise LabelsError(f"{source}, line {following}: {error}", "is a quotation mark missing?") from error
    return found


def _check_width(rows: Sequence[_Row], width: int, source: str) -> None:
    for row in rows:
        if any(row.cells[width:]):
            raise LabelsError(
                f"{source}, line {row.line}: {len(row.cells)} columns instead of {width}",
                'put a name with a separator in double quotes: "shrub, scrub"',
            )


def _one_column(rows: Sequence[_Row], source: str) -> list[NamedRow]:
    _check_width(rows, 1, source)
    return [NamedRow(row.line, row.cells[0]) for row in rows]


def _has_codes(lines: Sequence[tuple[int, str]], delimiter: str) -> bool:
    """Tell whether all lines begin with a different whole number in a cell of its own, before a name."""
    cells = [[cell.strip().strip("\"'") for cell in text.split(delimiter)] for _, text in lines]
    codes = [row[0] for row in cells]
    has_names = all(len(row) > 1 and re.search(r"[^\W\d_]", row[1]) for row in cells)
    return has_names and all(map(_CODE.fullmatch, codes)) and len(set(codes)) == len(codes)


def _codes_and_names(rows: Sequence[_Row], source: str) -> list[NamedRow]:
    """Read code and name, and perhaps a colour, without titles."""
    coloured = all(len(row.cells) > 2 and hex_colour(row.cells[2]) for row in rows)
    _check_width(rows, 3 if coloured else 2, source)
    return [NamedRow(row.line, row.cells[1], row.cells[2] if coloured else None) for row in rows]


def _with_titles(rows: Sequence[_Row], source: str) -> list[NamedRow]:
    titles, rows = [title_of(cell) for cell in rows[0].cells], rows[1:]
    _check_width(rows, len(titles), source)
    at = _name_column(titles, rows, source)
    colours = [index for index, title in enumerate(titles) if title in COLOURS]
    parts = [[index for index, title in enumerate(titles) if title in words] for words in _RED_GREEN_BLUE]
    red_green_blue = [row.cells[part[0]] for row in rows for part in parts if part and len(row.cells) > part[0]]
    fractions = any("." in cell for cell in red_green_blue) and all(map(_FRACTION.fullmatch, red_green_blue))
    found = []
    for row in rows:
        cells = (*row.cells, *[""] * (len(titles) - len(row.cells)))
        if not cells[at]:
            raise LabelsError(f"{source}, line {row.line}: no class name", "complete the line, or delete it")
        colour = cells[colours[0]] if len(colours) == 1 else ""
        if not colours and all(len(part) == 1 for part in parts):
            colour = ",".join(_byte(cells[part[0]], fractions) for part in parts).strip(",")
        found.append(NamedRow(row.line, cells[at], colour or None))
    return found


def _byte(cell: str, is_fraction: bool) -> str:
    """Return red, green or blue from 0 to 255; ArcGIS writes fractions."""
    return str(round(255 * float(cell))) if is_fraction else cell


def _name_column(titles: Sequence[str], rows: Sequence[_Row], source: str) -> int:
    """Return the column of the class names: a column of numbers holds codes, whatever its title is."""
    for words in (NAMES, _DESCRIPTIONS):
        at = [index for index, title in enumerate(titles) if title in words]
        texts = [index for index in at if not _holds_numbers(rows, index)]
        if len(texts) == 1:
            return texts[0]
        if len(texts) > 1:
            shown = ", ".join(titles[index] for index in texts)
            raise LabelsError(f"{source}: several columns with class names: {shown}", _TITLES)
    raise LabelsError(f"{source}: the columns called class or name hold numbers, not names", _TITLES)


def _holds_numbers(rows: Sequence[_Row], at: int) -> bool:
    cells = [row.cells[at] for row in rows if len(row.cells) > at and row.cells[at]]
    return bool(cells) and all(map(_NUMBER.fullmatch, cells))
