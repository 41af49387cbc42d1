"""The options of the program, as it declares them. Does not import QGIS."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# Written by examples/qgis/make_options.py.
_FILE = Path(__file__).with_name("options.json")


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes
    ----------
    kind : {"flag", "whole", "real", "text", "texts", "list"}
        The type of its value: ``texts`` is repeated, ``list`` has words separated by commas.
    flag, off : str
        How the command line sets it, and how it clears one that is set by default. ``flag`` is empty for an argument.
    default : object
        The value of the program if the option is left out; None if there is none.
    choices : dict of str to str
        The legal values, each with a few words.
    """

    kind: str
    help: str
    default: Any
    flag: str = ""
    off: str = ""
    choices: dict[str, str] = field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


@cache
def _declarations() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


@cache
def options(command: str) -> dict[str, Option]:
    """Return the options of a command by name."""
    return {name: Option(**about) for name, about in _declarations()["commands"][command].items()}


def names(of: str) -> dict[str, str]:
    """Return the names of ``wordlists``, trained ``heads`` or ``views``, each with a few words."""
    return _declarations()[of]
