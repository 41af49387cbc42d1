"""Update the catalogues of the plugin's translations: python examples/qgis/make_translations.py.

It keeps what is translated, adds texts that are new as unfinished, and removes those that are no longer used. Then
translate the unfinished ones, with Qt Linguist or a text editor. For a new language copy a catalogue to
`bimors/i18n/bimors_LANGUAGE.ts` first. It needs no package but Python.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PLUGIN = Path(__file__).resolve().parent / "bimors"
sys.path.insert(0, str(PLUGIN.parent))

from bimors.specs import ALGORITHMS  # noqa: E402
from bimors.translate import FOLDER, read  # noqa: E402


def sources() -> list[str]:
    """Return every text that a user of QGIS sees, in the order of their places."""
    return list(dict.fromkeys(text for text in (*_described(), *_in_code()) if text))


def _described() -> Iterator[str]:
    for algorithm in ALGORITHMS:
        yield from (algorithm.group, algorithm.label, algorithm.help)
        for parameter in algorithm.parameters:
            yield from (parameter.label, algorithm.tip(parameter))
        for output in algorithm.outputs:
            yield output.label


def _in_code() -> Iterator[str]:
    """Yield the texts in calls of `tr`."""
    for path in sorted(PLUGIN.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                (argument,) = node.args
                if isinstance(argument, ast.Constant):
                    yield argument.value


def catalogue(language: str, finished: dict[str, str]) -> str:
    """Return the text of a catalogue: a file of Qt Linguist."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>"]
    lines += [f'<TS version="2.1" language="{language}" sourcelanguage="en">', "<context>", "    <name>bimors</name>"]
    for source in sources():
        translation = finished.get(source, "")
        state = "" if translation else ' type="unfinished"'
        lines += [
            "    <message>",
            f"        <source>{escape(source)}</source>",
            f"        <translation{state}>{escape(translation)}</translation>",
            "    </message>",
        ]
    return "\n".join([*lines, "</context>", "</TS>", ""])


def languages() -> list[str]:
    """Return the languages that have a catalogue."""
    return sorted(path.stem.removeprefix("bimors_") for path in FOLDER.glob("bimors_*.ts"))


if __name__ == "__main__":
    for language in languages():
        path = FOLDER / f"bimors_{language}.ts"
        path.write_text(catalogue(language, read(path)), encoding="utf-8")
        print(f"{path}: {len(sources()) - len(read(path))} of {len(sources())} texts are not translated")
