"""Every warning and error of the package, found in its source: the texts, with … for what a run puts in."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import bimors_cli
from bimors_cli import errors
from bimors_cli.errors import BimorsError
from docs.reference.markdown import code, page, prose, table

PACKAGE: Final = Path(bimors_cli.__file__).parent
VALUE: Final = "…"
# The rooms of the package, in the order of the pages, as a reader calls them. A room without a title is an error.
ROOMS: Final = {
    "scene": "Scenes, masks and vector files",
    "labels": "Labels and class names",
    "label_formats": "Files of labels",
    "options": "Options",
    "pipeline": "Runs over tiles",
    "training": "Examples and training",
    "evaluation": "Accuracy, areas and comparisons",
    "results": "Layers that are read again: preview, report, search, change, restore",
    "provenance": "The record of a run",
    "output": "Writing layers and rasters",
    "bundle": "Models on disk",
    "model": "Models in use",
    "fewshot": "Classifiers of few examples",
    "refine": "Refinement and label sets",
    "metrics": "Scores and charts",
    "locks": "Locks",
    "user_folders": "Folders of the user",
    "wordlists": "Wordlists",
    "cli": "The command line",
    "__init__": "The Python API",
}
_ERRORS: Final[Mapping[str, type[BimorsError]]] = {
    name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, BimorsError)
}
_WARN: Final = {"warn": 0, "warn_of_one": 1}  # name of the function: place of the text
# Suspicions that become warnings elsewhere: constructor, or function that returns pairs, of a text and an advice.
_SUSPICION: Final = "PixelWarning"
_DOUBTS: Final = frozenset({"band_doubt", "_one_of_several"})
# Functions that compose the texts of warnings, which others show, by module. The names must exist.
COMPOSERS: Final[Mapping[str, tuple[str, ...]]] = {
    "evaluation/areas/report.py": ("doubts",),
    "pipeline/band_shift.py": ("band_shift_warnings",),
    "pipeline/label_sets.py": ("coverage_warnings",),
    "pipeline/novelty.py": ("rate_warning",),
    "provenance.py": ("warnings_of_layer",),
    "results/change/compare.py": ("differences", "_models", "_places", "_scenes"),
    "results/change/judge.py": ("displaced",),
    "scene/feature_counts.py": ("warn",),
    "scene/transformation.py": ("inexact",),
}
_LEAST_WORDS: Final = 4  # of a composed text: shorter ones are parts
_PERCENT: Final = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[sdrgfi]")
# Texts that are values only, such as a warning that another one carries.
_EMPTY: Final = re.compile(rf"[\s{VALUE}:;,.()'\"%]*")


@dataclass(frozen=True, order=True)
class Message:
    """A warning or an error: its ``text``, what to do (``hint``; a warning has it in its text), and the ``room``.

    ``error`` is the name of the class of an error, None for a warning.
    """

    room: str
    text: str
    hint: str = ""
    error: str | None = None


@cache
def messages(package: Path = PACKAGE) -> tuple[Message, ...]:
    """Return every warning and error of a package with a text of its own, each once, in the order of the source."""
    found = dict.fromkeys(
        message
        for path in sorted(package.rglob("*.py"))
        for message in _of_module(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(package))
    )
    return tuple(found)


def relays(package: Path = PACKAGE) -> set[tuple[str, str]]:
    """Return (module, function) of the calls of `warn` whose text comes from elsewhere, such as a composer."""
    return {
        (path.relative_to(package).as_posix(), function.name)
        for path in package.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _WARN
        if not any(map(_shown, (_PERCENT.sub(VALUE, text) for text in _texts(call.args[_WARN[call.func.id]], {}))))
    }


def warnings_page() -> str:
    """Return the page of all warnings."""
    return page(
        "Warnings",
        "A warning is one line on standard error; the run continues. Each is kept with the layer, shown again after "
        f"the summary, and listed by `--json` under `warnings`. {code(VALUE)} stands for names and numbers. Search "
        "this page with the words of your warning. [Frequent questions](../faq.md) explains the common ones.",
        *_by_room([message for message in messages() if message.error is None], ("warning",), _warning_row),
    )


def errors_page() -> str:
    """Return the page of all errors."""
    return page(
        "Errors",
        "An error is one line on standard error, followed by a hint. "
        f"{code(VALUE)} stands for names and numbers; search this page with the words of your error.",
        "## Kinds of errors",
        table(
            ("class in `bimors_cli.errors`", "exit code", "meaning"),
            (
                (code(name), "128 + signal" if name == "Interrupted" else str(cls.exit_code), _meaning(cls))
                for name, cls in _ERRORS.items()
            ),
        ),
        *_by_room(
            [message for message in messages() if message.error is not None], ("error", "hint", "class"), _error_row
        ),
    )


def _meaning(cls: type[BimorsError]) -> str:
    return prose((inspect.getdoc(cls) or "").split("\n\n")[0])


def _warning_row(message: Message) -> tuple[str, ...]:
    return (prose(message.text),)


def _error_row(message: Message) -> tuple[str, ...]:
    return prose(message.text), prose(message.hint), code(message.error)


def _by_room(found: list[Message], head: tuple[str, ...], row: Callable[[Message], tuple[str, ...]]) -> Iterator[str]:
    if unknown := {message.room for message in found} - set(ROOMS):
        raise ValueError(f"docs/reference/messages.py has no title for {sorted(unknown)}")
    for room, title in ROOMS.items():
        rows = [row(message) for message in found if message.room == room]
        if rows:
            yield f"## {title}"
            yield table(head, rows)


def _of_module(tree: ast.Module, path: Path) -> Iterator[Message]:
    room = path.parts[0].removesuffix(".py")
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name in COMPOSERS.get(path.as_posix(), ()):
            yield from (Message(room, text) for text in _composed(function, constants))
        if isinstance(function, ast.FunctionDef) and function.name in _DOUBTS:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                    yield from _suspicion(node.value.elts, constants, room)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        name = node.func.id
        if name in _WARN and len(node.args) > _WARN[name]:
            for text in _texts(node.args[_WARN[name]], constants):
                if shown := _shown(_PERCENT.sub(VALUE, text)):
                    yield Message(room, shown)
        elif name == _SUSPICION and len(node.args) == 3:
            yield from _suspicion(node.args[1:], constants, room)
        elif name in _ERRORS:
            start = 1 if name == "Interrupted" else 0
            given = node.args[start:] + [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
            if not given:
                continue
            hints = " / ".join(filter(None, map(_shown, _texts(given[1], constants)))) if len(given) > 1 else ""
            for text in _texts(given[0], constants):
                if shown := _shown(text):
                    yield Message(room, shown, hints, name)


def _suspicion(pair: Sequence[ast.expr], constants: Mapping[str, ast.expr], room: str) -> Iterator[Message]:
    text, advice = (" / ".join(_texts(part, constants)) for part in pair)
    yield Message(room, f"{VALUE}: {text}; {advice}")


def _composed(function: ast.FunctionDef, constants: Mapping[str, ast.expr]) -> Iterator[str]:
    """Yield the texts that a function returns, yields or appends."""
    for node in ast.walk(function):
        values: Sequence[ast.expr | None] = ()
        if isinstance(node, ast.Return | ast.Yield):
            values = (node.value,)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            values = node.args
        for value in filter(None, values):
            for text in _texts_within(value, constants):
                if len(re.findall(r"[a-z]+", text)) >= _LEAST_WORDS:
                    yield " ".join(text.split())


def _texts_within(node: ast.AST, constants: Mapping[str, ast.expr]) -> Iterator[str]:
    """Yield the texts of the outermost expressions that are texts."""
    if isinstance(node, ast.expr) and (texts := _texts(node, constants)) != (VALUE,):
        yield from texts
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts_within(child, constants)


def _shown(text: str) -> str:
    """Return a text as it is listed; empty for one that has no words of its own."""
    return "" if _EMPTY.fullmatch(text) else " ".join(text.split())


def _texts(node: ast.expr, constants: Mapping[str, ast.expr]) -> tuple[str, ...]:
    """Return the texts that an expression may have."""
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else ("",) if node.value is None else (VALUE,)
    if isinstance(node, ast.JoinedStr):
        return ("".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values),)  # type: ignore[misc]
    if isinstance(node, ast.IfExp):
        return tuple(dict.fromkeys((*_texts(node.body, constants), *_texts(node.orelse, constants))))
    if isinstance(node, ast.BoolOp):
        return tuple(text for value in node.values for text in _texts(value, constants))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _texts(node.left, constants), _texts(node.right, constants)
        return tuple(first + second for first in left for second in right)
    if isinstance(node, ast.Name) and isinstance(constants.get(node.id), (ast.Constant, ast.JoinedStr)):
        return _texts(constants[node.id], {})
    return (VALUE,)
