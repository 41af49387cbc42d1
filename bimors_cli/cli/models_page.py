"""Bundles as text: the table of `bimors models list`, and the page of `bimors models show`, for 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bimors_cli.bundle.facts import NOT_KNOWN, pixel_sizes

_COLUMNS: Final = 80
_MORE: Final = "…"
# Longer names, of CLIPs by the names of open_clip and the hub, make their own line longer.
_NAME: Final = 18


def size_text(size: int) -> str:
    """Return a number of bytes for display."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def wrapped(text: str, indent: str) -> str:
    """Return a text in lines of 80 columns; addresses are not broken."""
    return "\n".join(_lines(text, _COLUMNS - len(indent), indent))


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of bundles, of `bimors_cli.bundle.listing.list_bundles`."""
    cells = [
        (
            row["name"],
            f"{'' if row['size_is_known'] else '> '}{size_text(row['size'])}",
            "installed" if row["installed"] else size_text(row["to_fetch"]),
            "" if row["memory"] is None else size_text(row["memory"]),
            row["commercial"] or "",
            row["description"].partition(",")[0],
        )
        for row in rows
    ]
    cells.insert(0, ("NAME", "SIZE", "TO FETCH", "MEMORY", "COMMERCIAL", "MODEL"))
    longest, size, fetch, memory, commercial, _ = (max(map(len, column)) for column in zip(*cells, strict=True))
    name = min(longest, _NAME)
    for one in cells:
        start = f"{one[0]:{name}} {one[1]:>{size}} {one[2]:>{fetch}} {one[3]:>{memory}}  {one[4]:{commercial}}  "
        yield start + textwrap.shorten(one[5], max(_COLUMNS - len(start), len(_MORE)), placeholder=_MORE)


def page(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page of a bundle, of `bimors_cli.bundle.listing.bundle_info`."""
    found = list(_facts(facts))
    width = max(len(label) for label, _ in found) + 2
    before = ""
    for label, value in found:
        first, *others = _lines(str(value), _COLUMNS - width)
        yield f"{'' if label == before else label:{width}}{first}"
        yield from (" " * width + line for line in others)
        before = label


def _lines(text: str, width: int, indent: str = "") -> list[str]:
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [indent + line for line in lines]


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        label = key.replace("_", " ")
        if key in _SHOWN:
            yield from _SHOWN[key](facts, value)
        elif isinstance(value, list):
            yield from ((label, line) for line in value)
        elif isinstance(value, dict):
            yield from ((f"{label}, {part.replace('_', ' ')}", line) for part, line in value.items())
        elif isinstance(value, bool):
            yield label, "yes" if value else "no"
        elif value is not None:
            yield label, value


_Rows = Iterable[tuple[str, str]]


def _size(facts: Mapping[str, Any], value: int) -> _Rows:
    yield "size", f"{'' if facts['size_is_known'] else 'more than '}{size_text(value)}"


def _to_fetch(facts: Mapping[str, Any], value: int) -> _Rows:
    if not facts["installed"]:
        yield "to fetch", size_text(value)


def _memory(facts: Mapping[str, Any], value: int | None) -> _Rows:
    if "memory_is" in facts:  # of the catalog
        yield "memory", NOT_KNOWN if value is None else f"about {size_text(value)} on a CPU, {facts['memory_is']}"


def _shown_with_another(_: Mapping[str, Any], __: Any) -> _Rows:
    return ()


def _commercial(facts: Mapping[str, Any], value: str | None) -> _Rows:
    if value is not None:
        yield "commercial use", value
    for part, one in facts.get("commercial_use_of_parts", {}).items():
        yield f"commercial, {part.replace('_', ' ')}", f"{one['answer']}: {one['why']}" + _source(one)


def _band_names(facts: Mapping[str, Any], value: Sequence[str]) -> _Rows:
    if "bands" not in facts:
        yield "bands", ", ".join(value)


def _bands(_: Mapping[str, Any], value: Sequence[Mapping[str, Any]]) -> _Rows:
    yield from (("bands", f"{one['name']} (mean {one['mean']:g}, std {one['std']:g})") for one in value)


def _training(_: Mapping[str, Any], value: Mapping[str, Any] | None) -> _Rows:
    yield "trained on", NOT_KNOWN if value is None else "; ".join(value["images"]) + _source(value)
    yield "pixels of training", pixel_sizes(None if value is None else value["pixel_size_m"])


def _zero_shot(_: Mapping[str, Any], value: Mapping[str, Any] | None) -> _Rows:
    if value is None:
        yield "zero-shot", NOT_KNOWN
        return
    yield "zero-shot", ", ".join(f"{name} {figure:.1f} %" for name, figure in value["figures"].items())
    yield "zero-shot, protocol", value["protocol"] + _source(value)
    if value["doubt"]:
        yield "zero-shot, but", value["doubt"]


def _source(value: Mapping[str, Any]) -> str:
    return f" ({value['source']})" if value["source"] else ""


def _domain(_: Mapping[str, Any], value: Mapping[str, Any] | None) -> _Rows:
    for name, (first, *others) in (value or {}).items():
        shown = f"{first:g} to {others[0]:g}" if name.endswith("_m") else ", ".join((first, *others))
        yield f"training domain, {name.replace('_', ' ')}", shown


# Keys with a form of their own.
_SHOWN: Final[Mapping[str, Callable[[Mapping[str, Any], Any], _Rows]]] = {
    "size": _size,
    "size_is_known": _shown_with_another,
    "to_fetch": _to_fetch,
    "memory": _memory,
    "memory_is": _shown_with_another,
    "commercial": _commercial,
    "commercial_use_of_parts": _shown_with_another,
    "band_names": _band_names,
    "bands": _bands,
    "training": _training,
    "zero_shot": _zero_shot,
    "training_domain": _domain,
}
