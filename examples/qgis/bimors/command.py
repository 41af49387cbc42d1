"""The command lines of the program, from what it declares. Does not import QGIS."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

from .declared import Option, options
from .spec import Algorithm

# A value of an option, or the values of one that is repeated. Empty texts are not set.
Value = Union[str, bool, Sequence[str]]  # noqa: UP007 - QGIS 3.22 has Python 3.9

# Options that are files which the program writes.
_WRITTEN = ("output", "raster", "matrix", "csv", "kml")


def arguments(algorithm: Algorithm, values: Mapping[str, Value], extra: str = "") -> list[str]:
    """Return the arguments of the program.

    Values that are the program's defaults are left out: it may then take another one from a variable, such as
    BIMORS_DEVICE.

    Parameters
    ----------
    algorithm : Algorithm
        Its command, and whether it replaces outputs.
    values : mapping of str to Value
        The values by the names of the options, in any order.
    extra : str
        Further options, as a user types them in a shell.
    """
    declared = options(algorithm.command)
    unknown = values.keys() - declared.keys()
    assert not unknown, unknown
    places: list[str] = []
    flags: list[str] = []
    for name, option in declared.items():
        words = _words(option, values.get(name, ""))
        (flags if option.flag else places).extend(words)
    if algorithm.replaces and not values.get("resume") and _exists(values) and "overwrite" in declared:
        # Processing replaces outputs. Without the option the program refuses to discard an unfinished run.
        flags.append(declared["overwrite"].flag)
    flags = [*flags, *algorithm.words, *shlex.split(extra)]
    if any(place.startswith("-") for place in places):
        return [algorithm.command, *flags, "--", *places]
    return [algorithm.command, *places, *flags]


def file_and_layer(path: str, layer: str) -> str:
    """Return a layer of a file in the syntax of the program, FILE:LAYER."""
    return f"{path}:{layer}" if layer else path


def _words(option: Option, value: Value) -> list[str]:
    """Return what sets an option: --name=value as one word, so that a value may start with a dash."""
    if isinstance(value, bool):
        if value == bool(option.default):
            return []
        return [option.flag if value else option.off]
    texts = [value] if isinstance(value, str) else value
    found = [text.strip() for text in texts if text.strip() and not _is_default(option, text.strip())]
    return [f"{option.flag}={text}" if option.flag else text for text in found]


def _is_default(option: Option, text: str) -> bool:
    if option.kind in ("whole", "real"):
        return option.default is not None and float(text) == float(option.default)
    return text == option.default


def _exists(values: Mapping[str, Value]) -> bool:
    paths = [values.get(name) for name in _WRITTEN]
    return any(isinstance(path, str) and path != "" and Path(path).exists() for path in paths)
