"""The layer that is checked: its tiles, and what it says of each."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from bimors_cli.errors import InputError
from bimors_cli.labels import new_names, places, reading
from bimors_cli.output.geopackage import choose_layer, read_layer
from bimors_cli.output.predictions import read_predictions
from bimors_cli.provenance import read_run
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.vector import Place, check_vector_file

_COLUMNS: Final = ("tile_id", "label", "confidence", "reason")
_HINT: Final = "give a layer that bimors classify wrote"
NO_ANSWER: Final = -1


@dataclass(frozen=True)
class MapLayer:
    """N tiles of a layer.

    Attributes
    ----------
    path, name : str
        The file and its layer.
    crs : CRS
        Of the polygons.
    polygons : object array [N] of Polygon, MultiPolygon or None
        Valid.
    labels : tuple of str
        Those of the run, in order, then what was typed since. Names that are read alike are one.
    answers : int array [N]
        The place of each tile's label among them; `NO_ANSWER` for a tile without one.
    confidence : float array [N]
        0..1; nan where the layer has none, or has it of a label that was replaced since.
    reasons : object array [N] of str
        Why there is no label; empty where that is not told.
    corrected : int or None
        How many tiles have another label than was predicted; None where the file does not say what was predicted.
    synonyms : mapping of str to str
        From what a synonym of a label is read as to the label.
    """

    path: str
    name: str
    crs: CRS
    polygons: Polygons
    labels: tuple[str, ...]
    answers: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.float64]
    reasons: npt.NDArray[np.object_]
    corrected: int | None
    synonyms: Mapping[str, str]

    def called(self, name: str) -> str:
        """Return the label that has a name as a synonym; else the name."""
        return self.synonyms.get(reading(name), name)

    @property
    def place(self) -> Place:
        """Where it is."""
        left, bottom, right, top = shapely.total_bounds(self.polygons)
        return Place("layer", Path(self.path).name, self.crs.to_wkt(), (left, bottom, right, top))

    def areas(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return the area of some tiles on the ground, in square metres."""
        return ground_areas(self.polygons[rows], self.crs)


def read_map_layer(path: str, layer: str | None = None) -> MapLayer:
    """Read a layer that `classify` wrote, as it is now.

    Parameters
    ----------
    path : str
        The file.
    layer : str, optional
        Its layer; by default the one that the run wrote, ``tiles`` where the file does not say.

    Raises
    ------
    InputError
        Not there, not a vector file, no such layer, not the columns of `classify`, no CRS, no tile, or a confidence
        that is none.
    """
    check_vector_file(path)
    file = Path(path)
    name = choose_layer(file, layer)
    run = read_run(file, name)
    frame = read_layer(file, name, _COLUMNS)
    missing = [column for column in _COLUMNS if column not in frame]
    if missing:
        raise InputError(f"{path}: the layer {name} has no column {', '.join(missing)}", _HINT)
    if frame.crs is None:
        raise InputError(f"{path}: the layer {name} has no CRS", _HINT)
    polygons: Polygons = frame.geometry.to_numpy()
    if shapely.is_missing(polygons).all():
        raise InputError(f"{path}: the layer {name} holds no tile", _HINT)
    synonyms = {reading(other): label for label, others in run.synonyms.items() for other in others}
    typed = [synonyms.get(reading(text), text) for text in map(_text, frame["label"].tolist())]
    labels = distinct([*(run.labels or ()), *dict.fromkeys(text for text in typed if text)])
    changed = _changed(file, name, frame, typed)
    confidence = _confidence(frame, path)
    if changed is not None:
        confidence[changed] = np.nan
    return MapLayer(
        path,
        name,
        CRS.from_user_input(frame.crs),
        _valid(polygons),
        labels,
        find_places(typed, labels),
        confidence,
        np.array([_text(value) for value in frame["reason"].tolist()], object),
        None if changed is None else int(changed.sum()),
        synonyms,
    )


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without those that are read like an earlier one."""
    return tuple(names[place] for place in dict.fromkeys(places(names, names)) if place is not None)


def find_places(names: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the place of each name among labels, read alike or equal; `NO_ANSWER` for an empty name.

    Raises
    ------
    ValueError
        A name is none of the labels.
    """
    different = [name for name in dict.fromkeys(names) if name]
    if unknown := new_names(different, labels):
        raise ValueError(f"{unknown[0]!r} is none of the labels")
    found = dict(zip(different, places(different, labels), strict=True))
    return np.array([found[name] if name else NO_ANSWER for name in names], np.intp)


def _text(value: Any) -> str:
    return unicodedata.normalize("NFC", value.strip()) if isinstance(value, str) else ""


def _changed(
    path: Path, layer: str, frame: geopandas.GeoDataFrame, typed: Sequence[str]
) -> npt.NDArray[np.bool_] | None:
    """Tell which rows have another label than was predicted; None where the file does not say."""
    predicted = read_predictions(path, layer) if path.suffix.lower() == ".gpkg" else None
    if predicted is None:
        return None
    before = [_text(predicted.get(tile)) for tile in frame["tile_id"].tolist()]
    return np.array([old.casefold() != new.casefold() for old, new in zip(before, typed, strict=True)], np.bool_)


def _confidence(frame: geopandas.GeoDataFrame, path: str) -> npt.NDArray[np.float64]:
    try:
        values = np.array(frame["confidence"].tolist(), np.float64)  # None becomes nan
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the column confidence does not hold numbers", _HINT) from error
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if len(wrong):
        where = frame["tile_id"].tolist()[wrong[0]]
        raise InputError(f"{path}, {where}: confidence is {values[wrong[0]]:g}, not between 0 and 1", _HINT)
    return values


def _valid(polygons: Polygons) -> Polygons:
    """Repair what was edited into knots; other tiles are left as they are, to the last bit."""
    invalid = ~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)
    if invalid.any():
        polygons = polygons.copy()
        polygons[invalid] = shapely.make_valid(polygons[invalid])
    return polygons
