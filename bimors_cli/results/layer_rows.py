"""The rows of a layer that `classify` wrote, without polygons: tiles, labels, and whether a user corrected them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.output.checked import COLUMN, is_checked
from bimors_cli.output.classified_schema import UNSEEN
from bimors_cli.output.geopackage import pam_disabled
from bimors_cli.output.predictions import read_predictions
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.run_warnings import warn

_COLUMNS: Final = ("tile_id", "scene", "row", "col", "label", "confidence", "reason", COLUMN)


@dataclass(frozen=True)
class LayerRows:
    """n tiles, sorted by their ids, so that the order of the file has no effect.

    Attributes
    ----------
    tile_ids : list of str
        Their ids; each once.
    scenes : tuple of RecordedScene
        The scenes of the layer.
    scene, row, col : int array [n]
        Index into ``scenes``, and place in the grid of that scene.
    labels, reasons : list of (str or None)
        As the layer has them now.
    confidence : list of (float or None)
        Of the run.
    with_data : bool array [n]
        Whether a model has seen the tile.
    corrected : bool array [n]
        Whether a user has changed the label, or has checked it.
    """

    tile_ids: list[str]
    scenes: tuple[RecordedScene, ...]
    scene: npt.NDArray[np.intp]
    row: npt.NDArray[np.intp]
    col: npt.NDArray[np.intp]
    labels: list[str | None]
    reasons: list[str | None]
    confidence: list[float | None]
    with_data: npt.NDArray[np.bool_]
    corrected: npt.NDArray[np.bool_]


def read_rows(layer: ClassifiedLayer) -> LayerRows:
    """Read the rows of a layer. Features that are not tiles of its scenes are left out, with a warning.

    Raises
    ------
    InputError
        The file cannot be read, two rows have one tile_id, or a value of the column ``checked`` is invalid.
    """
    import pyogrio
    import pyogrio.errors

    with pam_disabled():
        try:
            frame = pyogrio.read_dataframe(layer.path, layer=layer.name, columns=list(_COLUMNS), read_geometry=False)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(
                f"{layer.path}: {' '.join(str(error).split())}", "give a .gpkg that bimors wrote"
            ) from error
    number = {recorded.name: index for index, recorded in enumerate(layer.scenes)}
    sizes = np.array([(one.grid.rows, one.grid.cols) for one in layer.scenes])
    scene = np.array([number.get(name, -1) for name in frame["scene"].tolist()], np.intp)
    row, col = (np.array(frame[name].tolist(), np.float64) for name in ("row", "col"))
    with np.errstate(invalid="ignore"):
        in_grid = (scene >= 0) & (row >= 0) & (row < sizes[scene, 0]) & (col >= 0) & (col < sizes[scene, 1])
    in_grid &= frame["tile_id"].notna().to_numpy()
    if not in_grid.all():
        warn(
            "%s: skipped %d features without a row and column of the grid: they are not tiles of the run",
            layer.path,
            int((~in_grid).sum()),
        )
    ids = [str(value) for value in frame["tile_id"].tolist()]
    order = np.array(sorted(np.flatnonzero(in_grid).tolist(), key=ids.__getitem__), np.intp)
    ids = [ids[place] for place in order.tolist()]
    twice = next((one for one, other in pairwise(ids) if one == other), None)
    if twice is not None:
        raise InputError(f"{layer.path}: layer {layer.name!r} has the tile {twice} twice", "delete the copies")
    frame = frame.iloc[order]
    labels, reasons = ([_text(value) for value in frame[name].tolist()] for name in ("label", "reason"))
    return LayerRows(
        ids,
        layer.scenes,
        scene[order],
        row[order].astype(np.intp),
        col[order].astype(np.intp),
        labels,
        reasons,
        [None if value is None or value != value else float(value) for value in frame["confidence"].tolist()],
        np.array([reason not in UNSEEN for reason in reasons], np.bool_),
        _corrected(layer, ids, labels, frame[COLUMN].tolist() if COLUMN in frame else None),
    )


def _corrected(
    layer: ClassifiedLayer, ids: list[str], labels: list[str | None], checked: list[Any] | None
) -> npt.NDArray[np.bool_]:
    predicted = read_predictions(layer.path, layer.name)
    found = np.zeros(len(ids), np.bool_)
    if predicted is not None:
        found |= [label != _text(predicted.get(tile_id)) for tile_id, label in zip(ids, labels, strict=True)]
    if checked is not None:
        found |= [is_checked(value, f"{layer.path}, {one}") for one, value in zip(ids, checked, strict=True)]
    return found


def _text(value: Any) -> str | None:
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None
