"""References of a sample that were given in CSV files, such as the page of `bimors report` saves.

Interpreters who label the same tiles should do so independently, and decide together where they differ (Olofsson et al.
2014, on the response design): to leave out such tiles as unclear would leave out the difficult ones, and the accuracy
would come out too high. So tiles with different answers are counted and refused.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.design import CANNOT_TELL
from bimors_cli.evaluation.areas.sample_file import Sample
from bimors_cli.labels import match_names, normalized_name

COLUMNS: Final = ("tile_id", "scene", "row", "col", "longitude", "latitude", "reference", "note")
_NEEDED: Final = ("tile_id", "reference")
# A sample of 100,000 tiles with notes; far below what could exhaust memory.
_MAX_BYTES: Final = 64 * 1024 * 1024
_HINT: Final = "give the CSV file that the page of bimors report saved, or one with the columns tile_id and reference"
_DECIDE: Final = (
    "decide on these tiles together: read both files on the page of bimors report, answer the tiles that are open, "
    "give the file that it saves"
)
# Tiles that a message names.
_SHOWN: Final = 3


@dataclass(frozen=True)
class _Source:
    """Answers by tile, without those that are empty, and what messages call their source."""

    name: str
    answers: Mapping[str, str]


def with_answers(sample: Sample, paths: Sequence[Path]) -> Sample:
    """Return a sample with the references of CSV files in addition to its own.

    Parameters
    ----------
    sample : Sample
        The sample.
    paths : sequence of Path
        UTF-8 with or without byte order mark, separated by commas, semicolons or tabs, with a header. Only the columns
        ``tile_id`` and ``reference`` are read; a tile without a reference is unfinished.

    Raises
    ------
    InputError
        A file cannot be read or has no such column; it has a tile that the sample has not, a tile twice, or a reference
        that is neither a label nor `design.CANNOT_TELL`; two files, or a file and the sample, have different
        answers for a tile.
    """
    if not paths:
        return sample
    own = {tile_id: text for tile_id, text in zip(sample.tile_ids, sample.references, strict=True) if text is not None}
    where = f"the column reference of {sample.path}"
    layer = _Source(where, {tile_id: _answer(text, sample.labels, where) for tile_id, text in own.items()})
    files = [_Source(str(path), _read(path, sample)) for path in paths]
    for one, other in combinations(files, 2):
        _check_agreement(one, other, _DECIDE)
    for one in files:
        _check_agreement(layer, one, "correct the reference in QGIS or in the file, or empty one of them")
    merged = {tile_id: answer for source in (layer, *files) for tile_id, answer in source.answers.items()}
    return replace(sample, references=tuple(merged.get(tile_id) for tile_id in sample.tile_ids))


def answer_of(text: str, labels: Sequence[str]) -> str | None:
    """Return the label that a reference means, or `design.CANNOT_TELL`; None if it is neither."""
    if normalized_name(text) == normalized_name(CANNOT_TELL):
        return CANNOT_TELL
    (index,) = match_names([text], labels)
    return None if index is None else labels[index]


def _answer(text: str, labels: Sequence[str], where: str) -> str:
    found = answer_of(text, labels)
    if found is None:
        raise InputError(
            f"{where}: {text!r} is not a label of the map", f"use one of {', '.join(labels[:20])} or {CANNOT_TELL}"
        )
    return found


def _read(path: Path, sample: Sample) -> dict[str, str]:
    known, deleted = frozenset(sample.tile_ids), frozenset(sample.missing)
    lines: dict[str, int] = {}
    found: dict[str, str] = {}
    reader = _reader(path)
    try:
        for row in reader:
            tile_id, text = (unicodedata.normalize("NFC", (row[name] or "").strip()) for name in _NEEDED)
            where = f"{path}, line {reader.line_num}"
            if not tile_id and not text:
                continue
            if tile_id in deleted:
                raise InputError(f"{where}: the tile {tile_id} was deleted from {sample.path}", "delete the line")
            if tile_id not in known:
                raise InputError(f"{where}: {sample.path} has no tile {tile_id!r}", "give the answers of this sample")
            if tile_id in lines:
                raise InputError(f"{where}: the tile {tile_id} is also in line {lines[tile_id]}", "delete one of them")
            lines[tile_id] = reader.line_num
            if text:
                found[tile_id] = _answer(text, sample.labels, where)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: invalid CSV: {error}", _HINT) from error
    return found


def _reader(path: Path) -> csv.DictReader[str]:
    """Open a table whose columns are called as in `COLUMNS`, whatever their case and order."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", _HINT) from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, not the answers of a sample", _HINT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {number}: not UTF-8 text", "in Excel save it as CSV UTF-8") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise InputError(f"{path}, line 1: invalid CSV: {error}", _HINT) from error
    for name in _NEEDED:
        if names.count(name) != 1:
            problem = "several columns" if name in names else "no column"
            raise InputError(f"{path} has {problem} {name}", _HINT)
    reader.fieldnames = names
    return reader


def _check_agreement(one: _Source, other: _Source, hint: str) -> None:
    both = [tile_id for tile_id in one.answers if tile_id in other.answers]
    differ = [tile_id for tile_id in both if one.answers[tile_id] != other.answers[tile_id]]
    if not differ:
        return
    more = f" and {len(differ) - _SHOWN:,} more" if len(differ) > _SHOWN else ""
    raise InputError(
        f"{one.name} and {other.name} have different answers for {len(differ):,} of {len(both):,} tiles "
        f"(agreement {100 * (1 - len(differ) / len(both)):.1f} %): {', '.join(differ[:_SHOWN])}{more}",
        hint,
    )
