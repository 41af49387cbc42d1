"""The class names of well-known land cover maps, by name: ``nlcd``, ``corine:2``. Each CSV file states its source."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Final

from bimors_cli.errors import LabelsError
from bimors_cli.labels import Label, Labels

_CORINE_LEVELS: Final = (1, 2, 3)
_NAMES: Final = (
    "nlcd", "worldcover", "dynamic-world", "copernicus", *(f"corine:{level}" for level in _CORINE_LEVELS),
)  # fmt: skip
_ALSO: Final = {
    "corine": "corine:3", "clc": "corine:3", "esa-worldcover": "worldcover", "dynamicworld": "dynamic-world",
    "lc100": "copernicus", "cgls": "copernicus",
}  # fmt: skip
# Names as close as this to a wordlist are taken for a spelling mistake.
_SIMILAR: Final = 0.6


@dataclass(frozen=True)
class Wordlist:
    """The classes of a land cover map.

    Attributes
    ----------
    name : str
        How ``--labels`` calls it.
    title, source : str
        What it is; who published names, codes and colours, and under which licence.
    classes : mapping of str to (str or None)
        Colour ``#rrggbb`` by class name, in order; None where the publisher gives no colour.
    names_by_code : mapping of str to str
        Class name by the code of a pixel of the map. Several codes may have one name.
    """

    name: str
    title: str
    source: str
    classes: Mapping[str, str | None]
    names_by_code: Mapping[str, str]

    def labels(self) -> Labels:
        """Return its classes as labels, with their colours."""
        items = tuple(Label(name, colour) for name, colour in self.classes.items())
        return Labels(items, f"wordlist {self.name}")

    def as_csv(self) -> str:
        """Return it as a labels file: code, name, color; names alone for a level of groups, which have no colours."""
        text = io.StringIO()
        text.write(f"# {self.title}\n# {self.source}\n")
        writer = csv.writer(text, lineterminator="\n")
        codes: dict[str, str] = {}
        for code, name in self.names_by_code.items():
            codes.setdefault(name, code)
        if all(self.classes.values()):
            writer.writerow(("code", "name", "color"))
            writer.writerows((codes[name], name, colour) for name, colour in self.classes.items())
        else:
            writer.writerow(("name",))
            writer.writerows((name,) for name in self.classes)
        return text.getvalue()


def wordlist_names() -> tuple[str, ...]:
    """Return the names of all wordlists."""
    return _NAMES


def is_wordlist(name: str) -> bool:
    """Tell whether a name is that of a wordlist, ignoring case and underscores."""
    return _plain(name) in _NAMES


def read_wordlist(name: str) -> Wordlist:
    """Read a wordlist.

    Raises
    ------
    LabelsError
        There is no wordlist of this name; the hint lists similar names, or all.
    """
    plain = _plain(name)
    if plain not in _NAMES:
        close = get_close_matches(plain, [*_NAMES, *_ALSO], n=2, cutoff=_SIMILAR)
        meant = f"did you mean {' or '.join(dict.fromkeys(_ALSO.get(each, each) for each in close))}? " if close else ""
        raise LabelsError(
            f"{name}: there is no file and no wordlist of this name",
            f"{meant}write the names into a text file, one per line; wordlists: {', '.join(_NAMES)}",
        )
    file, _, level = plain.partition(":")
    lines = (files(__name__) / f"{file}.csv").read_text(encoding="utf-8").splitlines()
    title, source = (line.removeprefix("# ") for line in lines[:2])
    rows = list(csv.DictReader(lines[2:]))
    column = f"level {level}" if level else "name"
    classes: dict[str, str | None] = {}
    for row in rows:
        classes.setdefault(row[column], row["color"] if level in ("", str(_CORINE_LEVELS[-1])) else None)
    codes = {row["code"]: row[column] for row in rows}
    if level:
        title += f"; level {level}"
    if level == str(_CORINE_LEVELS[-1]):
        # The raster editions number the classes from 1. At the other levels 31 could be their code or a group's.
        codes |= {str(number): row[column] for number, row in enumerate(rows, 1)}
    return Wordlist(plain, title, source, classes, codes)


def _plain(name: str) -> str:
    plain = name.strip().lower().replace("_", "-")
    return _ALSO.get(plain, plain)
