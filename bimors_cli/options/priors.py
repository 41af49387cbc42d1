"""The priors of labels: a table of their expected areas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels, normalized_name
from bimors_cli.options.two_columns import TwoColumns, read_two_columns

_COLUMNS: Final = "name,area"


def read_areas(name: str) -> TwoColumns:
    """Read a table of the expected areas of labels, two columns as `read_two_columns` takes them. Raises InputError."""
    return read_two_columns(Path(name), _COLUMNS)


def parse_priors(path: Path, labels: Labels) -> tuple[float, ...]:
    """Read the expected area of each label, and return the priors, see `priors_of`. Raises InputError."""
    return priors_of(read_areas(str(path)), labels)


def priors_of(given: TwoColumns, labels: Labels) -> tuple[float, ...]:
    """Return the priors of labels: their fractions of the areas of a table, which sum to 1.

    The table has the columns name and area, in any unit; the header is optional. Names are compared as labels are: case
    and underscores are ignored, and a synonym names its label.

    Raises
    ------
    InputError
        A name is not a label, or names one twice; a label is missing; an area is not a number
        above 0.
    """
    label_of = {normalized_name(name): i for i, label in enumerate(labels.items) for name in label.names}
    table = given.without_header(
        lambda row: normalized_name(row.first) not in label_of and _number(row.second, True) is None
    )
    areas: dict[int, float] = {}
    for row in table.rows:
        index = label_of.get(normalized_name(row.first))
        if index is None:
            raise table.error(row, f"{row.first!r} is not a label", f"the labels are {', '.join(labels.names[:20])}")
        if index in areas:
            raise table.error(row, f"a second area for the label {labels.names[index]!r}", "write one line per label")
        areas[index] = _area(table, row.second, row.line)
    missing = [name for i, name in enumerate(labels.names) if i not in areas]
    if missing:
        raise InputError(f"{table.source}: no area for {', '.join(map(repr, missing[:5]))}", "write one line per label")
    largest = max(areas.values())  # the sum of large numbers could overflow
    total = math.fsum(area / largest for area in areas.values())
    priors = tuple(areas[i] / largest / total for i in range(len(labels)))
    if not all(priors):
        raise InputError(
            f"{table.source}: the area of {labels.names[priors.index(0)]!r} is too small",
            "remove the label, or write more",
        )
    return priors


def _area(table: TwoColumns, text: str, line: int) -> float:
    area = _number(text, table.decimal_comma)
    if area is None or not (math.isfinite(area) and area > 0):
        raise InputError(f"{table.source}, line {line}: the area is {text!r}", "write a number above 0, in any unit")
    return area


def _number(text: str, decimal_comma: bool) -> float | None:
    try:
        return float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return None
