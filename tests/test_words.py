"""Messages, help and documents use the words of GDAL, rio and the QGIS manual; a list of other words is banned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# What is banned, and what is written instead.
BANNED: Final = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again, from scratch",
    r"(go|goes|went|gone|going) on( with)?": "continue, resume",
    r"beside": "next to",
    r"(is|are|was|were|be) (not there|gone)": "not found, does not exist",
    r"(is|are|was|were) there already|already there": "exists",
    r"(?<!there )(is|are|was|were) no (?!longer|more)\w+": "is not a ...",
    r"(does|do|did) not do": "is not enough",
    r"should not have happened": "internal error",
    r"(never|not) (saw|seen by)": "was not trained on",
    r"to be trusted": "low reliability",
    r"this very": "the same",
    r"gists?": "features",
    r"told": "reported",
    r"errands?": "task",
    r"settl(e|es|ed|ing)": "refine",
    r"pupils?|lessons?|workshops?|ledgers?|contestants?": "training, variant, log",
    r"shel(f|ves)": "listing",
    r"look-?alikes?": "nearest neighbours",
    r"look(s|ed|ing)? at (the |its |all |these )?(tiles?|scenes?|pictures?|images?)": "process, classify",
    r"(?<!``)(?<!make )pictures?(?!/)": "image",  # make pictures is a target
    r"shares? of": "fraction of, part of",
    r"has no part in|have no part in": "has no effect with",
    r"quick look": "preview",
    r"by the way|so to speak": "nothing",
    r"the models? (hear|heard|hears|says?|said)": "uses, returns",
}
PATTERNS: Final = [
    (re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE), instead) for words, instead in BANNED.items()
]

# Tables on disk keep the names that they had.
SQL: Final = re.compile(r"\s*(CREATE|SELECT|INSERT|DELETE|UPDATE|PRAGMA|ATTACH|DROP)\b")

SOURCES: Final = [path for part in ("bimors_cli", "examples/qgis") for path in sorted((ROOT / part).rglob("*.py"))]
# A key of results on disk.
KEYS: Final = ("not told",)

DOCUMENTS: Final = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "weights/mini/README.md")
] + sorted(path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md"))


def faults(text: str) -> list[str]:
    return [f"{found.group()!r}: {instead}" for pattern, instead in PATTERNS for found in pattern.finditer(text)]


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string with a space in it: messages, help, docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            text = "".join(map(str, parts))
            if not SQL.match(text):
                yield node.lineno, text
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_prose(node.value):
            yield node.lineno, node.value


def _is_prose(text: str) -> bool:
    return " " in text and not SQL.match(text) and text not in KEYS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_help_and_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [f"line {line}: {fault} in {text!r}" for line, text in strings(tree) for fault in faults(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [f"line {number}: {fault}" for number, line in enumerate(lines, 1) for fault in faults(line)]
    assert not found, "\n".join(found)


def test_the_test_can_fail() -> None:
    tree = ast.parse('def f(x):\n    """It was told."""\n    raise E(f"{x} is no raster", "mend the file")\n')
    found = {fault for _, text in strings(tree) for fault in faults(text)}
    assert found == {"'told': reported", "'is no raster': is not a ...", "'mend': fix"}
    assert faults("It is no longer needed; go to the folder") == []
