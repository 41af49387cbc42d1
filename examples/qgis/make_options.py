"""Write the options of the program, as the plugin reads them: python examples/qgis/make_options.py.

Run it in the environment of bimors after a change of an option. `bimors/options.json` has, of each command that the
plugin runs, the declarations of its options; the parameters of the dialogs, their ranges, defaults and tooltips follow
from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import bimors_cli
from bimors_cli.options.heads import AUTO, HEADS
from bimors_cli.options.option import OptionField, option_fields
from bimors_cli.options.views import VIEWS
from bimors_cli.wordlists import read_wordlist, wordlist_names

FILE = Path(__file__).resolve().parent / "bimors" / "options.json"

# The commands that the plugin runs, and the classes of their options.
COMMANDS = {
    "caption": ("CaptionOptions",),
    "change": ("ChangeOptions",),
    "classify": ("ClassifyOptions",),
    "evaluate": ("EvaluateOptions", "AssessOptions"),
    "finetune": ("FinetuneOptions",),
    "info": ("InfoOptions",),
    "merge": ("MergeOptions",),
    "report": ("ReportOptions",),
    "restore": ("RestoreOptions",),
    "sample": ("SampleOptions",),
    "search": ("SearchOptions",),
    "suggest": ("SuggestOptions",),
    "tiles": ("TilesOptions",),
}


def declarations() -> dict[str, Any]:
    """Return what the file holds."""
    commands = {
        command: {field.name: _declaration(field) for name in classes for field in _fields(name)}
        for command, classes in COMMANDS.items()
    }
    return {
        "version": bimors_cli.__version__,
        # Values that options declare for completion only.
        "heads": {AUTO: "the views that suit the examples best", **{name: head.help for name, head in HEADS.items()}},
        "views": {name: view.help for name, view in VIEWS.items()},
        "wordlists": {name: read_wordlist(name).title for name in wordlist_names()},
        "commands": commands,
    }


def _fields(name: str) -> Iterator[OptionField]:
    yield from option_fields(getattr(bimors_cli, name))


def _declaration(field: OptionField) -> dict[str, Any]:
    """Return one option; what it does not declare is left out."""
    option = field.option
    names = max(option.flags.split(), key=len, default="")
    flag, _, off = names.partition("/")
    kind = _kind(field)
    found = {
        "flag": flag,
        "off": off,
        "kind": kind,
        "help": option.help,
        "default": _default(field, kind),
        "choices": {name: _about(about) for name, about in (option.choices or {}).items()},
        "minimum": option.minimum,
        "maximum": option.maximum,
        "required": option.required,
    }
    return {name: value for name, value in found.items() if name == "default" or _is_declared(value)}


def _is_declared(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", {})


def _about(choice: Any) -> str:
    return choice if isinstance(choice, str) else str(choice.help)


def _kind(field: OptionField) -> str:
    """Return flag, whole, real, text, texts (the option is repeated) or list (words separated by commas)."""
    if field.option.commas:
        return "list"
    kinds = {one for one in (get_args(field.type) or (field.type,)) if one is not type(None)}
    if get_origin(field.type) is tuple:
        return "texts"
    if field.option.parse is not None or str in kinds:
        return "text"
    return {frozenset({bool}): "flag", frozenset({int}): "whole", frozenset({float}): "real"}.get(
        frozenset(kinds), "text"
    )


def _default(field: OptionField, kind: str) -> Any:
    """Return the default as the command line takes it; None where there is none."""
    value = field.default
    if kind == "list":
        return ",".join(map(str, value)) or None
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain and value != "" else None


def text() -> str:
    """Return the file's text."""
    return json.dumps(declarations(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
