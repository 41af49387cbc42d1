"""The labels file: the user's class names, in order, each with an optional colour."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.errors import LabelsError

# Far above any class list, far below what could exhaust memory.
MAX_BYTES = 16 * 1024 * 1024

# No text tower reads as much; and a name is shown in legends.
MAX_CHARACTERS = 1000

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Label:
    """A class name as the user wrote it, and where it stands.

    ``colour`` is ``#rrggbb`` in lower case or None; ``line`` counts from 1 and is 0 for a name that came from code.
    """

    name: str
    colour: str | None = None
    line: int = 0


@dataclass(frozen=True)
class Labels:
    """At least two different labels in the user's order, and the name of the file that they came from."""

    items: tuple[Label, ...]
    source: str = "labels"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.items)

    def where(self, index: int) -> str:
        """Name the place of a label for an error message: ``labels.txt, line 3``."""
        line = self.items[index].line
        return f"{self.source}, line {line}" if line else f"{self.source}, label {index + 1}"

    @classmethod
    def of(cls, names: Sequence[str]) -> Labels:
        """Make labels from names in code. Raises LabelsError as `parse_labels` does."""
        return _checked(tuple(Label(_name(name, f"label {i}")) for i, name in enumerate(names, 1)), "labels")


def read_labels(path: Path) -> Labels:
    """Read a labels file: UTF-8 (a byte order mark is allowed), one label a line.

    Raises
    ------
    LabelsError
        The file is missing, not UTF-8, too large, or its content is refused by `parse_labels`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LabelsError(
            f"{path}: the labels file cannot be read: {error.strerror or error}",
            "write one class name a line, for example forest, river, harbour",
        ) from error
    return parse_labels(data, source=str(path))


def parse_labels(data: bytes, source: str) -> Labels:
    """Parse the bytes of a labels file.

    A line is a name, or a name, a tab and a colour ``#rrggbb``. Blank lines and those that start with ``#`` are
    skipped.

    Raises
    ------
    LabelsError
        Not UTF-8; a control character; a wrong colour; a name twice; fewer than two names. The line number is named.
    """
    if len(data) > MAX_BYTES:
        raise LabelsError(f"{source}: larger than {MAX_BYTES // 1024**2} MiB, not a labels file")
    try:
        # Files that were joined have a byte order mark wherever one begins; nobody sees it in a name.
        text = data.decode("utf-8").replace("\ufeff", "")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise LabelsError(f"{source}, line {number}: not UTF-8 text", "save the file as UTF-8") from error
    items = []
    # Only line feeds end a line: str.splitlines would also split at control characters, which are refused below.
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if line.strip() and not line.lstrip(" ").startswith("#"):
            items.append(_parse_line(line, f"{source}, line {number}", number))
    return _checked(tuple(items), source)


def _parse_line(line: str, where: str, number: int) -> Label:
    name, _, rest = line.partition("\t")
    colour = rest.strip()
    if colour and not _COLOUR.fullmatch(colour):
        raise LabelsError(f"{where}: {_shown(colour)} is not a colour", "after the tab write a colour such as #2ca02c")
    return Label(_name(name, where), colour.lower() or None, number)


def _name(name: str, where: str) -> str:
    name = name.strip()
    if len(name) > MAX_CHARACTERS:
        raise LabelsError(f"{where}: a label of {len(name):,} characters", "name the class in a few words")
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise LabelsError(f"{where}: the label is empty")
    # Cc are control characters and Cs lone surrogates: illegal in a style's XML, like U+FFFE and U+FFFF.
    bad = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff"), None)
    if bad is not None:
        raise LabelsError(f"{where}: control character U+{ord(bad):04X} in a label", "remove it")
    return name


def _checked(items: tuple[Label, ...], source: str) -> Labels:
    first: dict[str, int] = {}
    for index, label in enumerate(items):
        key = label.name.casefold()
        if key in first:
            labels = Labels(items, source)
            raise LabelsError(
                f"{labels.where(index)}: {_shown(label.name)} is there already ({labels.where(first[key])})",
                "give each class one line",
            )
        first[key] = index
    if len(items) < 2:
        what = "no label" if not items else f"only one label, {_shown(items[0].name)}"
        raise LabelsError(f"{source}: {what}; at least two are needed", "write one class name a line")
    return Labels(items, source)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
