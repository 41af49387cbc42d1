"""The reference of the Python API, from the names that the package exports."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Final

import bimors_cli
from bimors_cli.options.option import Options, option_fields
from docs.reference.markdown import code, directive, page, prose, table

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_PARTS: Final = re.compile(r"(?:bimors_cli|pathlib|typing|collections\.abc)\.(?:\w+\.)*")


def functions() -> tuple[str, ...]:
    """Return the functions that the package exports."""
    return tuple(name for name in bimors_cli.__all__ if inspect.isfunction(getattr(bimors_cli, name)))


def classes() -> tuple[str, ...]:
    """Return the classes that the package exports."""
    return tuple(name for name in bimors_cli.__all__ if inspect.isclass(getattr(bimors_cli, name)))


def results() -> dict[str, str]:
    """Return the classes that the functions return, with the modules that define them."""
    sources = {inspect.getfile(getattr(bimors_cli, function)) for function in functions()}
    imported = {
        alias.name: node.module
        for source in sorted(sources)
        for node in ast.walk(ast.parse(Path(source).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bimors_cli.")
        for alias in node.names
    }
    returned = dict.fromkeys(
        name
        for function in functions()
        for name in _NAME.findall(str(getattr(bimors_cli, function).__annotations__.get("return", "")))
    )
    return {name: imported[name] for name in returned if name in imported and name not in bimors_cli.__all__}


def api_page() -> str:
    """Return the page of the Python API. Functions and results are read by Sphinx from their docstrings."""
    return page(
        "Python API",
        "Every command is a function of the same name, and its options are a frozen, typed dataclass with the names of "
        "the options. Only the names on this page are the API; modules below `bimors_cli` may change at any time "
        "([compatibility](../compatibility.md)). Errors are subclasses of `bimors_cli.errors.BimorsError`: "
        "[errors](errors.md).",
        "## Functions",
        *(directive("eval-rst", "", f".. autofunction:: bimors_cli.{name}") for name in functions()),
        "## Options",
        *_options(),
        "## Results",
        *(
            directive("eval-rst", "", f".. autoclass:: {module}.{name}\n   :members:")
            for name, module in results().items()
        ),
    )


def _options() -> Iterator[str]:
    for name in classes():
        cls = getattr(bimors_cli, name)
        yield f"### {name}"
        yield "\n\n".join(
            " ".join(part.split()).replace("``", "`") for part in (inspect.getdoc(cls) or "").split("\n\n")[:1]
        )
        if issubclass(cls, Options):
            yield table(("field", "type", "default", "option", "meaning"), _fields(cls))
        else:
            yield directive("eval-rst", "", f".. autoclass:: {cls.__module__}.{name}\n   :members:\n   :no-index:")


def _fields(cls: type[Options]) -> Iterator[tuple[str, ...]]:
    for field in option_fields(cls):
        default = "" if field.option.required or field.default is MISSING else code(repr(field.default))
        kind = field.type.__name__ if inspect.isclass(field.type) else str(field.type)
        yield (
            code(field.name),
            code(_PARTS.sub("", kind)),
            default,
            code(field.option.name),
            prose(field.option.help),
        )
