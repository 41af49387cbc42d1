"""Names of class codes: what a user gives with --class-names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bimors_cli.options.parse import is_file_not_wordlist
from bimors_cli.options.two_columns import Row, read_two_columns
from bimors_cli.wordlists import read_wordlist

_COLUMNS: Final = "code,name"
_CODE_WORDS: Final = frozenset({"code", "codes", "value", "id", "class"})
_NAME_WORDS: Final = frozenset({"name", "names", "label", "class", "class name", "class_name", "description"})


@dataclass(frozen=True)
class ClassNames:
    """The names of class codes; several codes may have one name. ``source`` is their file, for messages."""

    items: tuple[tuple[str, str], ...]
    source: str = "class names"

    @classmethod
    def of(cls, names: Mapping[object, str]) -> ClassNames:
        """Make them of a mapping in code: ``{31: "barren land"}``."""
        return cls(tuple((code_text(str(code)), name) for code, name in names.items()))

    @property
    def origin(self) -> str:
        """The absolute path of their file, or what they are."""
        path = Path(self.source)
        return str(path.resolve()) if path.exists() else self.source

    def as_dict(self) -> dict[str, str]:
        """Return the name of each code, as `code_text` writes it."""
        return dict(self.items)


def code_text(text: str) -> str:
    """Return a class code in the one way of writing it: ``3``, ``3.0`` and ``03`` are the code ``3``."""
    text = text.strip()
    if not _is_number(text):
        return text
    whole, _, decimals = text.partition(".")
    return str(int(whole)) if not decimals.strip("0") else text


def parse_class_names(name: str) -> ClassNames:
    """Read a table of two columns, code and name, see `read_two_columns`, or the wordlist of this name.

    The header of a table is optional.

    The first line is a header if it says ``code,name`` or similar, or if it is the only one whose code is not a number.

    Raises
    ------
    LabelsError
        There is no file and no wordlist of this name.
    InputError
        The table cannot be read, a name is empty, or a code has two names.
    """
    if not is_file_not_wordlist(name):
        wordlist = read_wordlist(name)
        return ClassNames(tuple(wordlist.names_by_code.items()), f"wordlist {wordlist.name}")
    table = read_two_columns(Path(name), _COLUMNS)
    others_are_numbers = len(table.rows) > 1 and all(_is_number(row.first) for row in table.rows[1:])
    table = table.without_header(lambda row: _is_header(row, others_are_numbers))
    names: dict[str, str] = {}
    for row in table.rows:
        if not row.second or not row.first:
            raise table.error(row, f"no {'name' if row.first else 'code'}", "write the code and the name of a class")
        code = code_text(row.first)
        if names.setdefault(code, row.second) != row.second:
            raise table.error(row, f"a second name for code {code}: {row.second!r}", "write one line per code")
    return ClassNames(tuple(names.items()), name)


def _is_header(row: Row, others_are_numbers: bool) -> bool:
    if row.first.casefold() in _CODE_WORDS and row.second.casefold() in _NAME_WORDS:
        return True
    return others_are_numbers and not _is_number(row.first)


def _is_number(text: str) -> bool:
    whole, _, decimals = text.removeprefix("-").partition(".")
    digits = whole + decimals
    return bool(whole) and digits.isascii() and digits.isdigit()
