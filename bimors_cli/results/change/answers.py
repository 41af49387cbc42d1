"""The probabilities of all labels for the tiles of a classified layer, read from its columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.labels import match_names
from bimors_cli.output.classified_schema import REASONS, probability_names
from bimors_cli.output.predictions import read_corrections
from bimors_cli.results.classified_layer import ClassifiedLayer

_BLOCK: Final = 50_000
_PROBABILITIES: Final = np.dtype(np.float32)
# A tile below --min-confidence has no label, but its probabilities can be compared.
_COMPARABLE: Final = frozenset({None, "low_confidence"})
NONE: Final = -1


@dataclass(frozen=True)
class Answers:
    """The answers of a layer for its N tiles, in the order of the file. The probabilities are a memory map.

    Attributes
    ----------
    scene : int16 array [N]
        Number of the scene of each tile in the layer's run.
    row, col : int32 array [N]
        Place in the grid of the scene, from 0.
    label : int16 array [N]
        Index of the label that the layer shows; `NONE` without one.
    confidence : float32 array [N]
        The layer's confidence; NaN without one.
    reason : object array [N] of str or None
        Why there is no label.
    corrected : bool array [N]
        Whether somebody gave the tile its label after the run: then it is certain.
    probabilities : float32 array [N, K]
        Probabilities of the labels; rows of NaN for tiles that cannot be compared.
    """

    scene: npt.NDArray[np.int16]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    label: npt.NDArray[np.int16]
    confidence: npt.NDArray[np.float32]
    reason: npt.NDArray[np.object_]
    corrected: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[np.float32]


def check_complete(layer: ClassifiedLayer) -> None:
    """Check that a layer holds the probabilities of all labels: in columns p_LABEL, or as runners-up of all but one.

    Raises
    ------
    InputError
        It does not.
    """
    count = len(layer.labels)
    if not layer.run_key.get("probabilities") and _ranks(layer) < count - 1:
        raise InputError(
            f"{layer.path}: the layer {layer.name!r} holds {_ranks(layer)} of the probabilities of its {count} labels",
            "classify again with --probabilities (--resume does not add columns)",
        )


def read_answers(layer: ClassifiedLayer, labels: Sequence[str], scratch: Path) -> Answers:
    """Read the answers of a layer in blocks, so that millions of tiles fit.

    Parameters
    ----------
    layer : ClassifiedLayer
        It passed `check_complete`.
    labels : sequence of str
        The labels of the layer in the order wanted.
    scratch : Path
        A file to be made for the probabilities.

    Raises
    ------
    InputError
        The file cannot be read or has lost a column; a tile has a label that is not one of the labels.
    """
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    with scratch.open("wb") as file:
        for block in _blocks(layer, labels):
            file.write(block.pop("probabilities").astype(_PROBABILITIES).tobytes())
            for name, values in block.items():
                columns.setdefault(name, []).append(values)
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    shape = (len(found["row"]), len(labels))
    empty = np.empty(shape, _PROBABILITIES)
    mapped = np.memmap(scratch, _PROBABILITIES, "r", shape=shape) if shape[0] else empty
    return Answers(**found, probabilities=mapped)


def _ranks(layer: ClassifiedLayer) -> int:
    return 1 + sum(name.startswith("label_") for name in layer.columns)


def _blocks(layer: ClassifiedLayer, labels: Sequence[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the columns of `Answers`, one block at a time, at least one."""
    whole = bool(layer.run_key.get("probabilities"))
    of_name = dict(zip(layer.labels.names, probability_names(layer.labels), strict=True))
    own = match_names(labels, layer.labels.names)
    given = [of_name[layer.labels.names[index]] for index in own if index is not None]
    if not whole:
        given = [name for rank in range(2, _ranks(layer) + 1) for name in (f"label_{rank}", f"confidence_{rank}")]
    names = ["tile_id", "scene", "row", "col", "label", "confidence", "reason", *given]
    scenes = {scene.name: number for number, scene in enumerate(layer.scenes)}
    corrections = read_corrections(layer.path, layer.name)
    index_of = _Index(layer, labels)
    for rows in _read(layer, names):
        data = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
        label = index_of(data["label"])
        reason = np.array([one if one in REASONS else None for one in data["reason"]], object)
        confidence = np.array(data["confidence"], np.float32)
        if whole:
            table = np.array([data[name] for name in given], np.float32).T.reshape(len(rows), len(labels))
        else:
            table = _ranked(data, index_of, len(labels), _ranks(layer))
        corrected = np.array([tile_id in corrections for tile_id in data["tile_id"]], np.bool_)
        table[corrected] = np.eye(len(labels), dtype=np.float32)[label[corrected]]
        table[~corrected & np.array([one not in _COMPARABLE for one in reason], np.bool_)] = np.nan
        table[~np.isfinite(table).all(axis=1)] = np.nan
        block: dict[str, npt.NDArray[Any]] = {
            "scene": np.array([scenes.get(name, NONE) for name in data["scene"]], np.int16),
            **{
                name: np.array([NONE if one is None else one for one in data[name]], np.int32)
                for name in ("row", "col")
            },
            "label": label,
            "confidence": confidence,
            "reason": reason,
            "corrected": corrected,
            "probabilities": table,
        }
        known = block["scene"] != NONE
        yield {name: values[known] for name, values in block.items()}


class _Index:
    """Turns labels of a layer into their indices; raises InputError for one that is not in the list."""

    def __init__(self, layer: ClassifiedLayer, labels: Sequence[str]) -> None:
        self._layer, self._labels = layer, labels
        self._known: dict[Any, int] = {None: NONE}

    def __call__(self, values: Sequence[Any]) -> npt.NDArray[np.int16]:
        for value in set(values) - set(self._known):
            text = str(value).strip()
            index = match_names([text], self._labels)[0] if text else NONE
            if index is None:
                raise InputError(
                    f"{self._layer.path}: a tile has the label {text!r}, which the run did not have",
                    f"use one of {', '.join(self._labels[:20])}, or no label",
                )
            self._known[value] = index
        return np.array([self._known[value] for value in values], np.int16)


def _ranked(data: dict[str, Any], index_of: _Index, count: int, ranks: int) -> npt.NDArray[np.float32]:
    """Return the probabilities [n, K] of ranked labels; a label without a rank has what remains."""
    rows = np.arange(len(data["label"]))
    found = np.full((len(rows), count), np.nan, np.float32)
    for rank in range(1, ranks + 1):
        suffix = "" if rank == 1 else f"_{rank}"
        label = index_of(data[f"label{suffix}"])
        given = label != NONE
        found[rows[given], label[given]] = np.array(data[f"confidence{suffix}"], np.float32)[given]
    missing = np.isnan(found)
    rest = np.clip(1 - np.nansum(found, axis=1), 0, 1)
    alone = missing.sum(axis=1) == 1
    found[missing & alone[:, None]] = rest[alone]
    return found


def _read(layer: ClassifiedLayer, names: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of columns of a layer, one block at a time; an empty block for an empty layer."""
    wanted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    table = layer.name.replace('"', '""')
    try:
        # By SQLite and read-only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{layer.path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            there = {str(row[1]) for row in database.execute(f'PRAGMA table_info("{table}")')}
            lost = [name for name in names if name not in there]
            if lost:
                raise InputError(f"{layer.path}: layer {layer.name!r} has no column {lost[0]}", "classify again")
            cursor = database.execute(f'SELECT {wanted} FROM "{table}"')
            yield cursor.fetchmany(_BLOCK)
            while rows := cursor.fetchmany(_BLOCK):
                yield rows
    except sqlite3.Error as error:
        raise InputError(f"{layer.path}: {error}", "give a .gpkg that bimors classify wrote") from error
