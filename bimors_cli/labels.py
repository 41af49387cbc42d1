"""The labels file: class names in the user's order, with optional synonyms and colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats import NamedRow, decoded, hex_colour, named_rows

# Far above any class list, far below what could exhaust memory.
MAX_BYTES = 16 * 1024 * 1024

# Longer than the context of any text encoder; names are also shown in legends.
MAX_CHARACTERS = 1000

# Separates the names of a label.
BAR = "|"


def display_text(name: str) -> str:
    """Return a name with spaces in place of underscores."""
    return name.replace("_", " ")


def normalized_name(name: str) -> str:
    """Return a name as it is compared: case, underscores and the width of spaces are ignored."""
    return " ".join(display_text(name).casefold().split())


@dataclass(frozen=True)
class Label:
    """A class name as the user wrote it.

    ``colour`` is ``#rrggbb`` in lower case, or None; ``line`` is the line in the file from 1, or 0 for names from code.
    ``synonyms`` are further names for the text encoder; they are not shown.
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
    """At least two different labels in the user's order; ``source`` is the name of their file, for messages."""

    items: tuple[Label, ...]
    source: str = "labels"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels, one each, without synonyms."""
        return tuple(label.name for label in self.items)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names and synonyms of all labels, label by label."""
        return tuple(name for label in self.items for name in label.names)

    @property
    def label_of_name(self) -> tuple[int, ...]:
        """For each of `all_names`, the index of its label."""
        return tuple(index for index, label in enumerate(self.items) for _ in label.names)

    @property
    def synonyms(self) -> dict[str, list[str]]:
        """Name to synonyms, for the labels that have synonyms."""
        return {label.name: list(label.synonyms) for label in self.items if label.synonyms}

    def where(self, index: int) -> str:
        """Return the position of a label for a message: ``labels.txt, line 3``."""
        line = self.items[index].line
        return f"{self.source}, line {line}" if line else f"{self.source}, label {index + 1}"

    @classmethod
    def of(cls, names: Sequence[str]) -> Labels:
        """Make labels from lines in code: ``forest``, ``forest | woodland``. Raises LabelsError as `parse_labels`."""
        return _checked(tuple(_label(name, f"label {i}") for i, name in enumerate(names, 1)), "labels", normalized_name)

    @classmethod
    def literal(cls, names: Sequence[str]) -> Labels:
        """Make labels from names of folders, fields and manifests, where ``|`` is part of the name.

        Names that differ in underscores or spaces are two classes here. Names that differ only in case are an error,
        because columns and files cannot distinguish them.

        Raises
        ------
        LabelsError
            See `parse_labels`.
        """
        items = tuple(Label(_name(name, f"label {i}")) for i, name in enumerate(names, 1))
        return _checked(items, "labels", str.casefold)


def read_labels(path: Path) -> Labels:
    """Read a labels file: UTF-8, or UTF-16 with a byte order mark; one label per line.

    Raises
    ------
    LabelsError
        The file is missing, not UTF-8 or too large, or its content is invalid, see `parse_labels`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LabelsError(
            f"{path}: the labels file cannot be read: {error.strerror or error}",
            "write one class name per line, for example forest, river, harbour",
        ) from error
    return parse_labels(data, source=str(path))


def parse_labels(data: bytes, source: str) -> Labels:
    """Parse the bytes of a labels file.

    A line is a name, or a name, a tab and a colour ``#rrggbb``. Synonyms follow the name, separated by bars:
    ``forest | woodland | trees``. Blank lines and lines that start with ``#`` are skipped. Other formats are read where
    only one reading is possible, see `bimors_cli.label_formats`.

    Raises
    ------
    LabelsError
        The data are not UTF-8 or too large; a line has a control character, an invalid colour or an empty name; a name
        or synonym is a duplicate (ignoring case and underscores); there are fewer than two labels. The message has the
        line number.
    """
    if len(data) > MAX_BYTES:
        raise LabelsError(f"{source}: not a labels file: larger than {MAX_BYTES // 1024**2} MiB")
    text = decoded(data, source)
    rows = named_rows(text, source)
    if rows is not None:
        places = (f"{source}, line {row.line}" if row.line else f"{source}, label {n}" for n, row in enumerate(rows, 1))
        items = [_row_label(row, where) for row, where in zip(rows, places, strict=True)]
        return _checked(tuple(items), source, normalized_name)
    items = []
    # Only line feeds end a line: str.splitlines also splits at control characters, which are an error below.
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if line.strip() and not line.lstrip(" ").startswith("#"):
            items.append(_parse_line(line, f"{source}, line {number}", number))
    return _checked(tuple(items), source, normalized_name)


def _parse_line(line: str, where: str, number: int) -> Label:
    name, _, rest = line.partition("\t")
    return _label(name, where, _colour(rest, where, "write the colour after the tab as #2ca02c"), number)


def _row_label(row: NamedRow, where: str) -> Label:
    return _label(row.name, where, _colour(row.colour or "", where, "write the colour as #2ca02c"), row.line)


def _colour(text: str, where: str, hint: str) -> str | None:
    text = text.strip()
    colour = hex_colour(text)
    if text and colour is None:
        raise LabelsError(f"{where}: {_shown(text)} is not a colour", hint)
    return colour


def _label(names: str, where: str, colour: str | None = None, line: int = 0) -> Label:
    parts = names.split(BAR)
    if len(parts) > 1 and not all(map(str.strip, parts)):
        raise LabelsError(
            f"{where}: empty name before or after {BAR}", f"write the label and its synonyms as forest {BAR} woodland"
        )
    name, *synonyms = (_name(part, where) for part in parts)
    return Label(name, colour, line, tuple(synonyms))


def _name(name: str, where: str) -> str:
    name = name.strip()
    if len(name) > MAX_CHARACTERS:
        raise LabelsError(
            f"{where}: label of {len(name):,} characters; at most {MAX_CHARACTERS:,}", "name the class in a few words"
        )
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise LabelsError(f"{where}: the label is empty")
    # Control characters (Cc), lone surrogates (Cs), U+FFFE and U+FFFF are illegal in the XML of styles.
    illegal = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff"), None)
    if illegal is not None:
        raise LabelsError(f"{where}: control character U+{ord(illegal):04X} in a label", "remove it")
    return name


def _checked(items: tuple[Label, ...], source: str, key: Callable[[str], str]) -> Labels:
    labels = Labels(items, source)
    first: dict[str, int] = {}
    for index, label in enumerate(items):
        for name in label.names:
            if key(name) in first:
                raise LabelsError(
                    f"{labels.where(index)}: {_shown(name)} is already used ({labels.where(first[key(name)])})",
                    "give each class one line, and use each name for one class only",
                )
            first[key(name)] = index
    if len(items) < 2:
        what = "no label" if not items else f"only one label, {_shown(items[0].name)}"
        raise LabelsError(f"{source}: {what}; at least two are needed", "write one class name per line")
    return labels


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def match_names(names: Sequence[str], trained: Sequence[str]) -> tuple[int | None, ...]:
    """Return the index of each name in the training labels; None for a new name.

    Names are compared by `normalized_name`. A class of a folder or a field may be called ``forest | woodland``; a
    labels file has no such name, so either part matches it.

    Parameters
    ----------
    names : sequence of str
        Names to find.
    trained : sequence of str
        Labels of an adapter, in its order.
    """
    found = _index_by_name(trained)
    return tuple(found.get(normalized_name(name)) for name in names)


def match_labels(labels: Labels, trained: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the indices of each label in the training labels, by any of its names; empty for a new label.

    A label has several indices if several of its names were training labels: ``water | river | lake``.
    """
    found = _index_by_name(trained)
    known = ([found.get(normalized_name(name)) for name in label.names] for label in labels.items)
    return tuple(tuple(dict.fromkeys(index for index in indices if index is not None)) for indices in known)


def new_names(names: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Return the names that are not training labels, in their order."""
    return tuple(name for name, index in zip(names, match_names(names, trained), strict=True) if index is None)


def new_labels(labels: Labels, trained: Sequence[str]) -> tuple[str, ...]:
    """Return the labels without a training label among their names, in their order."""
    return tuple(name for name, known in zip(labels.names, match_labels(labels, trained), strict=True) if not known)


def _index_by_name(trained: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for index, name in enumerate(trained):
        found.setdefault(normalized_name(name), index)
    for index, name in enumerate(trained):  # whole names take precedence
        for part in name.split(BAR):
            found.setdefault(normalized_name(part), index)
    return found
