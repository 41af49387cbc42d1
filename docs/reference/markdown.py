"""Pieces of Markdown, as MyST reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

# Options in a text, such as --tile-size or -b.
_OPTION: Final = re.compile(r"(?<![\w`-])(--[a-z][\w-]*|-[a-zA-Z])(?![\w-])")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown of one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(text: object) -> str:
    """Return text as code, whatever it contains."""
    shown = " ".join(str(text).split())
    if not shown:
        return ""
    fence = "`" if "`" not in shown else "``"
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: str) -> str:
    """Return plain text of one line as Markdown: characters that would mark something are escaped, options are code."""
    shown = " ".join(text.split())
    for mark in ("\\", "*", "_", "`", "<", "[", "]", "{", "$", "#"):
        shown = shown.replace(mark, f"\\{mark}")
    return _OPTION.sub(r"`\1`", shown)


def directive(name: str, argument: str, body: str, *, fence: str = "```") -> str:
    """Return a directive of MyST with its body."""
    return f"{fence}{{{name}}} {argument}\n{body.strip()}\n{fence}\n"


def page(title: str, *parts: str) -> str:
    """Return a page: a title, then parts that are separated by blank lines."""
    return "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"
