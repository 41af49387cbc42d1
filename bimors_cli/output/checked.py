"""The column ``checked`` of a corrected layer: whether a user has looked at a tile and found its label right."""

from __future__ import annotations

from typing import Any, Final

from bimors_cli.errors import InputError

COLUMN: Final = "checked"
# Values of a text column.
_YES: Final = frozenset({"1", "true", "t", "yes", "y", "x"})
_NO: Final = frozenset({"", "0", "false", "f", "no", "n"})


def is_checked(value: Any, where: str) -> bool:
    """Whether a value of the column (boolean, number, text or null) says yes.

    Parameters
    ----------
    value : any
        As the column was read; NaN is null.
    where : str
        The row, for messages.

    Raises
    ------
    InputError
        A text is neither yes nor no.
    """
    if isinstance(value, str):
        word = value.strip().casefold()
        if word not in _YES | _NO:
            raise InputError(f"{where}: invalid value {value!r} in column {COLUMN}", "write yes or no")
        return word in _YES
    return value is not None and value == value and bool(value)
