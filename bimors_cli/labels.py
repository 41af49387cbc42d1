"""The labels file: the user's class names, in order, each with synonyms and a colour if the user gave them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.errors import LabelsError

# Far above any class list, far below what could exhaust memory.
MAX_BYTES = 16 * 1024 * 1024

# No text tower reads as much; and a name is shown in legends.
MAX_CHARACTERS = 1000

# Between the names of one label.
BAR = "|"

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def display_text(name: str) -> str:
    """Write a name as one says it: underscores are spaces."""
    return name.replace("_", " ")


def reading(name: str) -> str:
    """What a name is to the text tower: case, underscores and the width of spaces do not count."""
    return " ".join(display_text(name).casefold().split())


@dataclass(frozen=True)
class Label:
    """A class name as the user wrote it, and where it stands.

    ``colour`` is ``#rrggbb`` in lower case or None; ``line`` counts from 1 and is 0 for a name that came from code.
    ``synonyms`` are further names by which it is read; nothing shows them.
    """

    name: str
    colour: str | None = None
    line: int = 0
    synonyms: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the synonyms."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Labels:
    """At least two different labels in the user's order, and the name of the file that they came from."""

    items: tuple[Label, ...]
    source: str = "labels"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called: one name each."""
        return tuple(label.name for label in self.items)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names and synonyms of all labels, label by label."""
        return tuple(name for label in self.items for name in label.names)

    @property
    def label_of_name(self) -> tuple[int, ...]:
        """Of each of `all_names`, the place of its label."""
        return tuple(place for place, label in enumerate(self.items) for _ in label.names)

    @property
    def synonyms(self) -> dict[str, list[str]]:
        """The synonyms of each label that has some, by its name."""
        return {label.name: list(label.synonyms) for label in self.items if label.synonyms}

    def where(self, index: int) -> str:
        """Name the place of a label for an error message: ``labels.txt, line 3``."""
        line = self.items[index].line
        return f"{self.source}, line {line}" if line else f"{self.source}, label {index + 1}"

    @classmethod
    def of(cls, names: Sequence[str]) -> Labels:
        """Make labels from lines in code: ``forest``, ``forest | woodland``. Raises LabelsError as `parse_labels`."""
        return _checked(tuple(_label(name, f"label {i}") for i, name in enumerate(names, 1)), "labels", reading)

    @classmethod
    def literal(cls, names: Sequence[str]) -> Labels:
        """Make labels from names that folders, fields and manifests have: a bar is a letter of the name.

        They are the data's own. Names that differ in underscores or spaces stay two classes here; names that differ in
        case alone are refused, as columns and files cannot keep them apart.

        Raises
        ------
        LabelsError
            See `parse_labels`.
        """
        items = tuple(Label(_name(name, f"label {i}")) for i, name in enumerate(names, 1))
        return _checked(items, "labels", str.casefold)


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

    A line is a name, or a name, a tab and a colour ``#rrggbb``. Behind the name there may be synonyms, each behind a
    bar: ``forest | woodland | trees``. Blank lines and those that start with ``#`` are skipped.

    Raises
    ------
    LabelsError
        Not UTF-8; a control character; a wrong colour; nothing beside a bar; a name or a synonym twice, whatever its
        case and underscores; fewer than two labels. The line number is named.
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
    return _checked(tuple(items), source, reading)


def _parse_line(line: str, where: str, number: int) -> Label:
    name, _, rest = line.partition("\t")
    colour = rest.strip()
    if colour and not _COLOUR.fullmatch(colour):
        raise LabelsError(f"{where}: {_shown(colour)} is not a colour", "after the tab write a colour such as #2ca02c")
    return _label(name, where, colour.lower() or None, number)


def _label(names: str, where: str, colour: str | None = None, line: int = 0) -> Label:
    parts = names.split(BAR)
    if len(parts) > 1 and not all(map(str.strip, parts)):
        raise LabelsError(
            f"{where}: a {BAR} with no name beside it", f"write the label and its synonyms as forest {BAR} woodland"
        )
    name, *synonyms = (_name(part, where) for part in parts)
    return Label(name, colour, line, tuple(synonyms))


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


def _checked(items: tuple[Label, ...], source: str, key: Callable[[str], str]) -> Labels:
    labels = Labels(items, source)
    first: dict[str, int] = {}
    for index, label in enumerate(items):
        for name in label.names:
            if key(name) in first:
                raise LabelsError(
                    f"{labels.where(index)}: {_shown(name)} is there already ({labels.where(first[key(name)])})",
                    "give each class one line, and each name to one class",
                )
            first[key(name)] = index
    if len(items) < 2:
        what = "no label" if not items else f"only one label, {_shown(items[0].name)}"
        raise LabelsError(f"{source}: {what}; at least two are needed", "write one class name a line")
    return labels


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def places(names: Sequence[str], trained: Sequence[str]) -> tuple[int | None, ...]:
    """Return the place of each name among those trained on; None for a name that is new.

    Names that the text tower reads alike are one name: case, underscores and the width of spaces do not count. A class
    of a folder or a field may be called ``forest | woodland``; a labels file has no such name, so either part finds it.

    Parameters
    ----------
    names : sequence of str
        K names.
    trained : sequence of str
        Labels of an adapter, in the order of its rows.
    """
    found = _by_reading(trained)
    return tuple(found.get(reading(name)) for name in names)


def match_labels(labels: Labels, trained: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the places of each label among those trained on, by any of its names; none for a label that is new.

    Several where several of its names were classes of their own: ``water | river | lake``.
    """
    found = _by_reading(trained)
    known = ([found.get(reading(name)) for name in label.names] for label in labels.items)
    return tuple(tuple(dict.fromkeys(place for place in some if place is not None)) for some in known)


def new_names(names: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Return the names that were not trained on, in their order."""
    return tuple(name for name, place in zip(names, places(names, trained), strict=True) if place is None)


def new_labels(labels: Labels, trained: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of which no name was trained on, in their order."""
    return tuple(name for name, some in zip(labels.names, match_labels(labels, trained), strict=True) if not some)


def _by_reading(trained: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for place, name in enumerate(trained):
        found.setdefault(reading(name), place)
    for place, name in enumerate(trained):  # whole names come first
        for part in name.split(BAR):
            found.setdefault(reading(part), place)
    return found
