"""Class names in JSON and YAML: lists, lists of objects, names of codes, colours of names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import COLOURS, NAMES, PLAIN, NamedRow, hex_colour, title_of

_JSON: Final = re.compile(r"\s*(\[\s*[\"'{\]\[]|\{\s*[\"'}])")
_FLOW: Final = re.compile(r"\s*\[[^\[\]{}]*,[^\[\]{}]*\]\s*")
_LISTS: Final = frozenset({"labels", "classes", "names", "categories", "class names", "id2label"})
_CODE: Final = re.compile(r"-?\d+")
# Lines that only YAML has: name: "#2ca02c"; 1: name; key: and an indented or listed line; - key: value.
_COLOUR_LINE: Final = re.compile(r"""[^:#]+:\s+["']#[0-9a-fA-F]{6}["']""")
_CODE_LINE: Final = re.compile(r"""["']?\d+["']?:\s+\S.*""")
_KEY_LINE: Final = re.compile(r"\w+:\s*(\[.*|\{.*)?")
_NESTED_LINE: Final = re.compile(r"(\s+|-\s).*")
_ITEM_LINE: Final = re.compile(r"-\s+(\w+):\s.*")


def structured_rows(text: str, source: str, lines: Sequence[str]) -> list[NamedRow] | None:
    """Read class names from JSON or YAML; None for other texts.

    Parameters
    ----------
    text : str
        The content.
    source : str
        Name of the file, for messages; ``.yaml`` and ``.yml`` say what it is.
    lines : sequence of str
        Its lines that are not blank and no comments, with their indentation.

    Raises
    ------
    LabelsError
        The text looks like JSON or YAML, from which no class names can be read.
    """
    if _JSON.match(text):
        return _rows(_json(text, source), source, "JSON")
    is_yaml = source.lower().endswith((".yaml", ".yml"))
    if not is_yaml and not _looks_like_yaml(text, lines):
        return None
    value = _yaml(text, source)
    return None if isinstance(value, str) else _rows(value, source, "YAML")


def _looks_like_yaml(text: str, lines: Sequence[str]) -> bool:
    if _FLOW.fullmatch(text) or (lines and lines[0].strip() == "---"):
        return True
    if len(lines) < 2:
        return bool(lines and re.fullmatch(r"\w+:\s*\[.*\]", lines[0].strip()))
    if all(map(_COLOUR_LINE.fullmatch, lines)) or all(map(_CODE_LINE.fullmatch, lines)):
        return True
    if _KEY_LINE.fullmatch(lines[0]) and all(map(_NESTED_LINE.fullmatch, lines[1:])):
        return True
    items = [_ITEM_LINE.fullmatch(line) for line in lines if line.startswith("-")]
    keys = {match[1].lower() if match else "" for match in items}
    return bool(items) and len(keys) == 1 and keys <= NAMES | COLOURS | {"id"} and lines[0].startswith("-")


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, source))
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):  # single quotes, or a comma after the last name: valid as YAML
            try:
                return _yaml(text, source)
            except LabelsError:
                pass
        raise LabelsError(f"{source}: looks like JSON, but cannot be read: {_one_line(error)}", PLAIN) from error


def _yaml(text: str, source: str) -> Any:
    import yaml

    class Loader(yaml.BaseLoader):  # type: ignore[misc]
        """All scalars are text, so that no and 012 stay as they are."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            pairs = [(self.construct_object(key, deep=True), value) for key, value in node.value]
            _unique([(str(key), None) for key, _ in pairs], source)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LabelsError(f"{source}: looks like YAML, but cannot be read: {_one_line(error)}", PLAIN) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _unique(pairs: Sequence[tuple[str, Any]], source: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise LabelsError(f"{source}: {key[:40]!r} occurs twice", "give each class once")
        seen[key] = value
    return seen


def _rows(value: Any, source: str, kind: str) -> list[NamedRow]:
    _refuse_known(value, source)
    found = _named(_inner(value))
    if found is None:
        raise LabelsError(
            f"{source}: {kind} that is not a list of names", 'write ["forest", "river"], or one class name per line'
        )
    return found


def _refuse_known(value: Any, source: str) -> None:
    kind = str(value.get("type", "")) if isinstance(value, dict) else ""
    if kind.startswith("CIM"):
        raise LabelsError(
            f"{source}: an ArcGIS layer file, which is not read", "export the symbology as .clr, or write the names"
        )
    if kind in ("FeatureCollection", "Feature", "Topology"):
        raise LabelsError(
            f"{source}: features ({kind}), not class names", "as examples give them to finetune with --polygons"
        )


def _inner(value: Any) -> Any:
    """Return the list in an object such as ``{"labels": [...]}``, else the value itself."""
    if not isinstance(value, dict):
        return value
    inner = [each for key, each in value.items() if title_of(key) in _LISTS and isinstance(each, list | dict)]
    return inner[0] if len(inner) == 1 else value


def _named(value: Any) -> list[NamedRow] | None:
    if isinstance(value, list):
        rows = [_item(item) for item in value]
        found = [row for row in rows if row is not None]
        return found if found and len(found) == len(rows) else None
    if not isinstance(value, dict) or len(value) < 2:
        return None
    if all(map(_CODE.fullmatch, value)):
        in_order = [value[code] for code in sorted(value, key=int)]
        return _named(in_order)
    colours = {name: _colour(colour) for name, colour in value.items()}
    if all(colour and hex_colour(colour) for colour in colours.values()):
        return [NamedRow(0, name, colour) for name, colour in colours.items()]
    codes = {name: _code(code) for name, code in value.items()}
    if len({code for code in codes.values() if code is not None}) == len(codes):
        return [NamedRow(0, name) for name in sorted(codes, key=lambda name: codes[name] or 0)]
    return None


def _item(item: Any) -> NamedRow | None:
    if isinstance(item, str):
        return NamedRow(0, item)
    if not isinstance(item, dict):
        return None
    name, colour = _by_title(item, NAMES), _colour(_by_title(item, COLOURS))
    if isinstance(name, str):
        return NamedRow(0, name, colour)
    if len(item) == 1:  # - forest: "#2ca02c"
        ((only, colour),) = ((key, _colour(each)) for key, each in item.items())
        return NamedRow(0, only, colour) if colour and hex_colour(colour) else None
    return None


def _by_title(item: Mapping[str, Any], titles: frozenset[str]) -> Any:
    found = [value for key, value in item.items() if title_of(str(key)) in titles]
    return found[0] if len(found) == 1 else None


def _colour(value: Any) -> str | None:
    if isinstance(value, list) and len(value) in (3, 4):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else None


def _code(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _CODE.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) else None
