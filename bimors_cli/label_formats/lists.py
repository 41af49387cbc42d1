"""Class names in lines with something before or after them: numbers, bullets, quotes, commas, colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bimors_cli.errors import LabelsError
from bimors_cli.label_formats.row import NAMES, PLAIN, NamedRow, hex_colour, rgb_colour, title_of, unquoted

Lines = Sequence[tuple[int, str]]

_SEPARATED: Final = r"\s*[\s,;]\s*"
_COLOUR_MAP: Final = re.compile(
    rf"\s*(-?\d+){_SEPARATED}(\d{{1,3}}){_SEPARATED}(\d{{1,3}}){_SEPARATED}(\d{{1,3}})(?:{_SEPARATED}(.*\S))?\s*"
)
_OPACITY: Final = re.compile(rf"(\d{{1,3}})(?:{_SEPARATED}(.*))?")
_INTERPOLATION: Final = re.compile(r"INTERPOLATION:\s*(\w+)", re.I)
_BULLET: Final = re.compile(r"([-*+•‣·–—])\s+(?:\[[ xX]\]\s+)?(\S.*)")
_NUMBERED: Final = re.compile(r"[(\[]?(\d+)(?:([.)\]:])\s+|\s+([-–])\s+|\s*(=)\s*)(\S.*)")
_LETTERED: Final = re.compile(r"\(?([A-Za-z])([.)])\s+(\S.*)")
_CLOSE: Final = re.compile(r"[(\[]?(\d+)[.):\]-](\S.*)")
_CODE_AND_NAME: Final = re.compile(r"(\d+) +(\S.*)")
_COLOURED: Final = re.compile(r"(\S.*?)\s*([\s,;:=])\s*[\"']?(#[0-9a-fA-F]{6})[\"']?[,;]?")
_HEADING: Final = re.compile(r"[^:]+:|\[\w[\w -]*\]")
_OTHER_FORMS: Final = {
    "HTML or XML": re.compile(r"<.+>"),
    "a table of Markdown": re.compile(r"\|.*\|"),
}
_ENVI_LIST: Final = r"^\s*class {}\s*=\s*\{{([^}}]*)\}}"
# Numbers of things, such as 1 storey and 2 storeys, begin alike; names of codes seldom do.
_ALIKE: Final = 4


def list_rows(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read class names from lines that all have the same form; None for other lines.

    Parameters
    ----------
    lines : sequence of (int, str)
        Number and text of each line that is not blank and no comment, at least two, without surrounding blanks.
    source : str
        Name of the file, for messages.

    Raises
    ------
    LabelsError
        The form has no names, or several readings.
    """
    lines = _without_heading(lines, source)
    for reader in (_colour_map, _bulleted, _numbered, _lettered, _quoted, _ending_alike):
        rows = reader(lines, source)
        if rows is not None:
            # The title of a column of quoted names.
            return rows[1:] if len(rows) > 2 and title_of(rows[0].name) in NAMES else rows
    return None


def _without_heading(lines: Lines, source: str) -> Lines:
    """Return the lines below a heading such as ``Legend:``; refuse those of other formats."""
    for line, text in lines:
        if text.startswith("//"):
            raise LabelsError(f"{source}, line {line}: looks like a comment", "begin comments with #")
    for what, form in _OTHER_FORMS.items():
        if all(form.fullmatch(text) for _, text in lines):
            raise LabelsError(f"{source}, line {lines[0][0]}: looks like {what}", PLAIN)
    first, others = lines[0], lines[1:]
    if _HEADING.fullmatch(first[1]) and not any(_HEADING.fullmatch(text) for _, text in others):
        if len(others) > 1 and (_bulleted(others, source) or _numbered(others, source)):
            return others
        raise LabelsError(f"{source}, line {first[0]}: looks like a heading: {first[1][:40]!r}", "begin it with #")
    return lines


def envi_rows(text: str, source: str) -> list[NamedRow] | None:
    """Read the class names and colours of the header of an ENVI classification; None for other texts.

    Raises
    ------
    LabelsError
        It is another ENVI header.
    """
    if not re.match(r"\s*ENVI\s*\n", text):
        return None
    names, numbers = (
        [item.strip() for item in match[1].split(",")]
        if (match := re.search(_ENVI_LIST.format(key), text, re.I | re.M))
        else []
        for key in ("names", "lookup")
    )
    if not names:
        raise LabelsError(f"{source}: an ENVI header without class names", PLAIN)
    whole = len(numbers) == 3 * len(names) and all(number.isdigit() for number in numbers)
    return [
        NamedRow(0, name, rgb_colour((*numbers[3 * at : 3 * at + 3],)) if whole else None)
        for at, name in enumerate(names)
        if name.lower() != "unclassified"
    ]


def _colour_map(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read a colour map of ESRI, GDAL or QGIS: value, red, green, blue, perhaps the opacity, name."""
    mode = _INTERPOLATION.fullmatch(lines[0][1])
    if mode and mode[1].upper() != "EXACT":
        raise LabelsError(f"{source}: a colour map of ranges of numbers, which has no classes", "export a palette")
    lines = lines[1:] if mode else [(line, text) for line, text in lines if not text.lower().startswith("nv ")]
    matches = [(line, _COLOUR_MAP.fullmatch(text)) for line, text in lines]
    if not matches or not all(match for _, match in matches):
        return None
    found = [(line, match) for line, match in matches if match]
    names = [match[5] or "" for _, match in found]
    opacities = [_OPACITY.fullmatch(name) for name in names]
    if all(opacities):
        names = [(match[2] or "") if match else "" for match in opacities]
    if not all(re.search(r"[^\W\d_]", name) for name in names):
        raise LabelsError(f"{source}: looks like a colour map without names", "add the class name to each line")
    return [
        NamedRow(line, unquoted(name), rgb_colour(match.group(2, 3, 4)))
        for (line, match), name in zip(found, names, strict=True)
    ]


def _bulleted(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read the items of a list with bullets."""
    matches = [(line, _BULLET.fullmatch(text)) for line, text in lines]
    if len({match[1] if match else None for _, match in matches}) != 1 or not matches[0][1]:
        return None
    return [NamedRow(line, unquoted(match[2])) for line, match in matches if match]


def _numbered(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read the items of a numbered list, or codes and names; refuse those that numbers may be part of."""
    matches = [(line, _NUMBERED.fullmatch(text)) for line, text in lines]
    found = [(line, match) for line, match in matches if match]
    if len(found) == len(lines) and len({match.group(2, 3, 4) for _, match in found}) == 1:
        if len({int(match[1]) for _, match in found}) < len(found):
            raise LabelsError(
                f"{source}, line {found[0][0]}: looks like a numbered list with a number twice", "remove the numbers"
            )
        return [NamedRow(line, unquoted(match[5])) for line, match in found]
    _refuse_close_numbers(lines, source)
    return None


def _lettered(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read the items of a list with letters in their order."""
    matches = [(line, _LETTERED.fullmatch(text)) for line, text in lines]
    found = [(line, match) for line, match in matches if match]
    letters = [ord(match[1].lower()) - ord("a") for _, match in found]
    return None if letters != list(range(len(lines))) else [NamedRow(line, unquoted(match[3])) for line, match in found]


def _refuse_close_numbers(lines: Lines, source: str) -> None:
    spaced = [_CODE_AND_NAME.fullmatch(text) for _, text in lines]
    close = [_CLOSE.fullmatch(text) for _, text in lines]
    for matches in (spaced, close):
        found = [match for match in matches if match]
        numbers = [int(match[1]) for match in found]
        starts = {match[2][:_ALIKE].casefold() for match in found}
        if len(found) == len(lines) and len(set(numbers)) == len(numbers) and len(starts) == len(found):
            raise LabelsError(
                f"{source}, line {lines[0][0]}: looks like a numbered list",
                "remove the numbers, or separate them from the names by a comma: 1,forest",
            )


def _quoted(lines: Lines, source: str) -> list[NamedRow] | None:
    texts = [(line, text.rstrip(",;").rstrip()) for line, text in lines]
    if not all(unquoted(text) != text and not set(unquoted(text)) & {text[0], text[-1]} for _, text in texts):
        return None
    return [NamedRow(line, unquoted(text)) for line, text in texts]


def _ending_alike(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read lines that all end in a comma or a semicolon, the last one perhaps not."""
    for end in ",;":
        if all(text.endswith(end) for _, text in lines[:-1]) and not any(end in text[:-1] for _, text in lines):
            return [NamedRow(line, text.rstrip(end)) for line, text in lines]
    return None


def coloured_rows(lines: Lines, source: str) -> list[NamedRow] | None:
    """Read names that a colour follows, after a tab or another separator; None without a colour.

    Raises
    ------
    LabelsError
        A line has the separator and no colour.
    """
    matches = [(line, text, _COLOURED.fullmatch(text)) for line, text in lines]
    separators = {match[2] for _, _, match in matches if match} - {" "}
    if not any(match for _, _, match in matches):
        return None
    for line, text, match in matches:
        if match is None and any(separator in text for separator in separators):
            raise LabelsError(
                f"{source}, line {line}: not a name and a colour, as other lines are: {text[:40]!r}",
                "write the colour after a tab as #2ca02c",
            )
    return [
        NamedRow(line, unquoted(match[1]), hex_colour(match[3])) if match else NamedRow(line, unquoted(text))
        for line, text, match in matches
    ]
