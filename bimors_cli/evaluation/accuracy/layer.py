"""The layer under assessment: its tiles and their labels."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from bimors_cli.errors import InputError
from bimors_cli.evaluation.accuracy.whole_tiles import find_altered
from bimors_cli.labels import match_names, new_names, normalized_name
from bimors_cli.output.geopackage import choose_layer, read_layer
from bimors_cli.output.predictions import read_predictions
from bimors_cli.provenance import read_run, warnings_of_layer
from bimors_cli.run_warnings import warn
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.around import Extent
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.vector import check_vector_file

if TYPE_CHECKING:
    import geopandas

_COLUMNS: Final = ("tile_id", "label", "confidence", "reason")
_OPTIONAL: Final = ("row",)
_HINT: Final = "give a layer that bimors classify wrote"
NO_CLASS: Final = -1


@dataclass(frozen=True)
class MapLayer:
    """N tiles of a layer.

    Attributes
    ----------
    path, name : str
        The file and its layer.
    crs : CRS
        CRS of the polygons.
    polygons : object array [N] of Polygon, MultiPolygon or None
        Valid.
    labels : tuple of str
        Those of the run, in order, then those that were typed in since, without names that are equal when normalized.
    classes : int array [N]
        Index of each tile's label in ``labels``; `NO_CLASS` for a tile without one.
    confidence : float array [N]
        0..1; nan where the layer has none, or where the label was edited.
    reasons : object array [N] of str
        Why there is no label; empty if unknown.
    edited : int or None
        Number of tiles whose label differs from the prediction; None if the file has no record of the predictions.
    synonyms : mapping of str to str
        Label by normalized synonym.
    """

    path: str
    name: str
    crs: CRS
    polygons: Polygons
    labels: tuple[str, ...]
    classes: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.float64]
    reasons: npt.NDArray[np.object_]
    edited: int | None
    synonyms: Mapping[str, str]

    def label_of(self, name: str) -> str:
        """Return the label that has ``name`` as a synonym, or ``name`` itself."""
        return self.synonyms.get(normalized_name(name), name)

    @property
    def place(self) -> Extent:
        """Name, CRS and bounds of the layer."""
        left, bottom, right, top = shapely.total_bounds(self.polygons)
        return Extent("layer", Path(self.path).name, self.crs.to_wkt(), (left, bottom, right, top))

    def areas(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return the ground area of tiles in square metres."""
        return ground_areas(self.polygons[rows], self.crs)


def read_map_layer(path: str, layer: str | None = None) -> MapLayer:
    """Read a layer that `classify` wrote, with later edits.

    Parameters
    ----------
    path : str
        The file.
    layer : str, optional
        Its layer; by default the one with provenance, or ``tiles``.

    Raises
    ------
    InputError
        The file does not exist or is not a vector file; the layer does not exist, lacks a column of `classify` or a
        CRS, or has no tiles; a confidence is not a number from 0 to 1.
    """
    check_vector_file(path)
    file = Path(path)
    name = choose_layer(file, layer)
    run = read_run(file, name)
    for text in warnings_of_layer(file, run):
        warn(text)
    frame = read_layer(file, name, (*_COLUMNS, *_OPTIONAL))
    missing = [column for column in _COLUMNS if column not in frame]
    if missing:
        raise InputError(f"{path}: the layer {name} has no column {', '.join(missing)}", _HINT)
    if frame.crs is None:
        raise InputError(f"{path}: the layer {name} has no CRS", _HINT)
    polygons: Polygons = frame.geometry.to_numpy()
    if shapely.is_missing(polygons).all():
        raise InputError(f"{path}: the layer {name} has no tiles", _HINT)
    synonyms = {normalized_name(other): label for label, others in run.synonyms.items() for other in others}
    typed = [synonyms.get(normalized_name(text), text) for text in map(_text, frame["label"].tolist())]
    labels = distinct([*(run.labels or ()), *dict.fromkeys(text for text in typed if text)])
    edited = _edited(file, name, frame, typed)
    confidence = _confidence(frame, path)
    if edited is not None:
        confidence[edited] = np.nan
    crs = CRS.from_user_input(frame.crs)
    return MapLayer(
        path,
        name,
        crs,
        _whole(_valid(polygons), frame, crs, path),
        labels,
        class_indices(typed, labels),
        confidence,
        np.array([_text(value) for value in frame["reason"].tolist()], object),
        None if edited is None else int(edited.sum()),
        synonyms,
    )


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Remove names that are equal to an earlier one when normalized."""
    return tuple(names[index] for index in dict.fromkeys(match_names(names, names)) if index is not None)


def class_indices(names: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the index of each name in ``labels``, compared when normalized; `NO_CLASS` for an empty name.

    Raises
    ------
    ValueError
        A name is not a label.
    """
    different = [name for name in dict.fromkeys(names) if name]
    if unknown := new_names(different, labels):
        raise ValueError(f"{unknown[0]!r} is not a label")
    found = dict(zip(different, match_names(different, labels), strict=True))
    return np.array([found[name] if name else NO_CLASS for name in names], np.intp)


def _text(value: Any) -> str:
    return unicodedata.normalize("NFC", value.strip()) if isinstance(value, str) else ""


def _edited(
    path: Path, layer: str, frame: geopandas.GeoDataFrame, typed: Sequence[str]
) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the rows whose label differs from the prediction; None if the file has no record of these."""
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
    invalid = np.flatnonzero((values < 0) | (values > 1))
    if len(invalid):
        tile = frame["tile_id"].tolist()[invalid[0]]
        raise InputError(f"{path}: tile {tile}: confidence {values[invalid[0]]:g} is not between 0 and 1", _HINT)
    return values


def _whole(polygons: Polygons, frame: geopandas.GeoDataFrame, crs: CRS, path: str) -> Polygons:
    """Return the polygons without those that are not one tile, with a warning that counts them."""
    rows = frame["row"].tolist() if "row" in frame else [None] * len(frame)
    corners = shapely.get_num_coordinates(polygons)
    altered = find_altered(frame["tile_id"].tolist(), rows, ground_areas(polygons, crs), corners)
    counts = zip(altered, ("merged from several tiles", "parts of a tile", "copies of a tile"), strict=True)
    listed = ", ".join(f"{int(mask.sum()):,} {kind}" for mask, kind in counts if mask.any())
    if not listed:
        return polygons
    warn("%s: features that are not one tile are left out of the accuracy: %s", path, listed)
    polygons = polygons.copy()
    polygons[np.logical_or.reduce(altered)] = None
    if shapely.is_missing(polygons).all():
        raise InputError(f"{path}: no feature is one tile", "give the layer as bimors classify wrote it, or restore it")
    return polygons


def _valid(polygons: Polygons) -> Polygons:
    """Repair invalid polygons; the others are not changed."""
    invalid = ~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)
    if invalid.any():
        polygons = polygons.copy()
        polygons[invalid] = shapely.make_valid(polygons[invalid])
    return polygons
