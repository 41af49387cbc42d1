"""The reference of what a layer records of its run, from the class that writes and reads it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, Final

from bimors_cli.options.option import NO_EFFECT, RESOLVED, RowKey, option_fields
from bimors_cli.output.geopackage import METADATA_PREFIX
from bimors_cli.provenance import RunProvenance
from docs.reference.commands import Command, program, walk
from docs.reference.markdown import code, page, prose, table

# A name, or several, of the section Attributes of a docstring, with what follows until the next one.
_ATTRIBUTE: Final = re.compile(r"^(\w+(?:, \w+)*) : .*\n((?:^ {4}.*\n?)+)", re.MULTILINE)


def keys() -> dict[str, str]:
    """Return each key of the metadata, with the attribute of `RunProvenance` that it holds."""
    found = {}
    for field in fields(RunProvenance):
        value: Any = "x" if field.name in ("version", "created", "command", "query", "accepted_as") else ("x",)
        (key,) = replace(RunProvenance(), **{field.name: value}).to_metadata()
        found[key] = field.name
    return found


def meanings() -> dict[str, str]:
    """Return what each attribute of `RunProvenance` means, from its docstring."""
    found = {}
    for match in _ATTRIBUTE.finditer(inspect.getdoc(RunProvenance) or ""):
        for name in match[1].split(", "):
            found[name] = " ".join(match[2].split()).replace("``", "`")
    return found


def provenance_page() -> str:
    """Return the page of the metadata of a layer."""
    said = meanings()
    return page(
        "Provenance: what a layer records",
        "Every layer says how it was made. Read it with `ogrinfo -so out.gpkg tiles`, in QGIS under Layer Properties > "
        f"Information, or with GDAL: the keys have the prefix {code(METADATA_PREFIX)} where a format mixes them with "
        "others. Values are text, or JSON. A key that does not apply is left out.",
        "## Keys",
        table(("key", "meaning"), ((code(key), said[name]) for key, name in keys().items())),
        "## What decides the rows",
        "The key `run` holds everything that decides the rows of the layer: two runs that share it have equal rows, "
        "and `--resume` continues a run only if it agrees. These options are part of it, under the name in the second "
        "column. *resolved* means that not the text of the option is recorded but what it leads to, such as the "
        "numbers of the bands or the hash of an adapter.",
        *_row_options(),
    )


def _row_options() -> Iterator[str]:
    for command in walk(program()):
        rows = list(_rows_of(command))
        if rows:
            yield f"### bimors {command.name}"
            yield table(("option", "name in the record", "default"), rows)


def _rows_of(command: Command) -> Iterator[tuple[str, str, str]]:
    for field in (field for cls in command.classes for field in option_fields(cls)):
        rows = field.option.rows
        if rows is None or rows == NO_EFFECT:
            continue
        if isinstance(rows, RowKey):
            named = prose(rows.name) + (" (if it is not the default)" if rows.only_if_changed else "")
        else:
            assert rows == RESOLVED, rows
            named = "*resolved*"
        default = json.dumps(field.default) if isinstance(field.default, bool | int | float | str) else ""
        yield code(field.option.name), named, code(default)
