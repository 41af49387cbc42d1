"""Class names in files that are not plain labels files: JSON, YAML, CSV, lists, styles, colour maps.

A format is read where only one reading is possible. Otherwise the error says what the file looks like.
"""

from __future__ import annotations

import re
from typing import Final

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.encoding import decoded
from bimors_cli.label_formats.lists import coloured_rows, envi_rows, list_rows
from bimors_cli.label_formats.row import NamedRow, hex_colour
from bimors_cli.label_formats.structured import structured_rows
from bimors_cli.label_formats.styles import style_rows
from bimors_cli.label_formats.tables import table_rows, untitled_rows

__all__ = ["NamedRow", "decoded", "hex_colour", "named_rows"]

# The first line with which Excel opens a CSV.
_SEPARATOR: Final = re.compile(r"\"?sep=(.)\"?", re.I)
_NUMBER: Final = re.compile(r"-?\d+([.,]\d+)?")


def named_rows(text: str, source: str) -> list[NamedRow] | None:
    """Read class names from another format; None for a plain labels file.

    Parameters
    ----------
    text : str
        The content, as `decoded` returns it.
    source : str
        Name of the file, for messages; suffixes such as ``.csv`` and ``.yaml`` say what it is.

    Raises
    ------
    LabelsError
        The text looks like another format, from which no class names can be read.
    """
    # As in plain files, only line feeds end a line.
    numbered = [(number, line.rstrip()) for number, line in enumerate(text.split("\n"), 1)]
    indented = [(number, line) for number, line in numbered if line.strip() and not line.lstrip().startswith("#")]
    rows = style_rows(text, source) or structured_rows(text, source, [line for _, line in indented])
    rows = rows or envi_rows(text, source)
    if rows is not None:
        return rows
    lines = [(number, line.strip()) for number, line in indented]
    separator = _SEPARATOR.fullmatch(lines[0][1]) if lines else None
    if separator:
        lines = lines[1:]
    if len(lines) < 2:
        return None
    if all(_NUMBER.fullmatch(line) for _, line in lines):
        raise LabelsError(f"{source}: holds numbers, not names", "write the name of each class, one per line")
    delimiter = separator[1] if separator else None
    return (
        list_rows(lines, source)
        or table_rows(lines, text, source, delimiter)
        or coloured_rows(lines, source)
        or untitled_rows(lines, text, source, delimiter)
    )
