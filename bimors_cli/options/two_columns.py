"""Reading a small table of two columns: CSV with commas, semicolons or tabs, with or without a header."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError

# Far above any list of classes, far below what could exhaust memory.
_MAX_BYTES: Final = 16 * 1024 * 1024
_COLOURS: Final = ("color", "colour")


@dataclass(frozen=True)
class Row:
    """A row of a table: number of its line, from 1, and its cells without surrounding blanks."""

    line: int
    first: str
    second: str


@dataclass(frozen=True)
class TwoColumns:
    """A table of two columns.

    ``source`` is its file, ``columns`` names the columns for hints. ``decimal_comma`` tells that numbers may have a
    decimal comma, as the columns are separated by something else.
    """

    source: str
    columns: str
    rows: tuple[Row, ...]
    decimal_comma: bool = False

    def error(self, row: Row, problem: str, hint: str | None = None) -> InputError:
        """Make the error about a row."""
        return InputError(f"{self.source}, line {row.line}: {problem}", hint)

    def without_header(self, is_header: Callable[[Row], bool]) -> TwoColumns:
        """Return the table without its first row if that is a header.

        Raises
        ------
        InputError
            No row is left.
        """
        rows = self.rows[1:] if self.rows and is_header(self.rows[0]) else self.rows
        if not rows:
            raise InputError(f"{self.source}: holds no rows", _hint(self.columns))
        return TwoColumns(self.source, self.columns, rows, self.decimal_comma)


def read_two_columns(path: Path, columns: str) -> TwoColumns:
    """Read a table of two columns: UTF-8, with or without byte order mark.

    The first line decides the separator: a tab, else a semicolon, else a comma. Cells may be quoted. Blank lines, lines
    that start with ``#`` and further cells without text are skipped, and so is a third column ``color``.

    Parameters
    ----------
    path : Path
        The file.
    columns : str
        The names of the columns, for hints: ``code,name``.

    Raises
    ------
    InputError
        The file cannot be read, is too large or is not UTF-8; a row does not have two cells.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", _hint(columns)) from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, not a table of {columns}", _hint(columns))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {number}: not UTF-8 text", "save the file as UTF-8") from error
    lines = text.splitlines()
    first = next((line for line in lines if _is_row(line)), "")
    separator = next((each for each in "\t;" if each in first), ",")
    return TwoColumns(str(path), columns, tuple(_rows(path, lines, separator, columns)), separator != ",")


def _rows(path: Path, lines: list[str], separator: str, columns: str) -> Iterator[Row]:
    with_colours = None
    for number, line in enumerate(lines, 1):
        if not _is_row(line):
            continue
        cells = [cell.strip() for cell in chain.from_iterable(csv.reader([line], delimiter=separator))]
        if with_colours is None:
            with_colours = len(cells) == 3 and cells[2].casefold() in _COLOURS
        while len(cells) > 2 and not cells[-1]:
            cells.pop()
        if with_colours and len(cells) == 3:
            cells.pop()
        if len(cells) != 2:
            many = 'put a name with a separator in double quotes: 21,"developed, open space"'
            hint = many if len(cells) > 2 else _hint(columns)
            raise InputError(f"{path}, line {number}: {len(cells)} columns instead of 2", hint)
        yield Row(number, *cells)


def _is_row(line: str) -> bool:
    return bool(line.strip(" ,;\t")) and not line.lstrip().startswith("#")


def _hint(columns: str) -> str:
    return f"write two columns, {columns}, separated by commas, semicolons or tabs"
