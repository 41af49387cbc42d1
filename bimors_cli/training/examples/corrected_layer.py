"""Examples from a layer that `classify` wrote and a user corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.checked import is_checked
from bimors_cli.output.geopackage import choose_layer, read_layer
from bimors_cli.output.predictions import read_predictions
from bimors_cli.provenance import read_classify_run
from bimors_cli.run_warnings import warn
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.layer_tiles import labelled_tiles, open_recorded, spellings, typed_label
from bimors_cli.training.examples.scene_tiles import TileImages, tile_examples

_COLUMNS: Final = ("tile_id", "label", "reason", "checked", "weight")


def from_layer(path: Path, layer: str | None = None, *, image_size: int) -> Examples:
    """Take the corrected tiles of a layer as examples.

    A row is an example if its ``label`` differs from the predicted one, or if a column ``checked`` (boolean, number or
    text such as yes or x) says that it is right. A column ``weight`` may weight the rows; null is 1. The labels are
    those of the run, then new words that were typed, alphabetically; a label of the run needs no example. Case and
    surrounding blanks of a label are ignored, a synonym of a label of the run is that label, and a bar in a typed label
    is a plain character. The description holds the ``bundle`` of the run and its ``bundle_sha256``.

    Parameters
    ----------
    path : Path
        A GeoPackage that `classify` wrote, edited in place.
    layer : str, optional
        Name of the layer; by default the one that the run wrote.
    image_size : int
        Pixels a side of the model's input.

    Raises
    ------
    InputError
        The file was not written by `classify`, or has no such layer; no row is corrected; a scene does not exist or is
        another raster now, see `check_same_raster`; a value of a column is invalid; a tile has two labels.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist", "give the .gpkg that bimors classify wrote")
    layer = choose_layer(path, layer)
    run, recorded = read_classify_run(path, layer)
    if run.change is not None:
        raise InputError(
            f"{path}: the layer {layer} says whether tiles changed, which a scene of one date cannot show",
            "correct the layers that it compares, and finetune on them",
        )
    colours = run.labels or {}
    scenes = tuple(open_recorded(scene, path) for scene in recorded)
    predicted = read_predictions(path, layer)
    spelling = spellings(run)
    rows = _corrected_rows(path, layer, predicted, spelling)
    new = sorted({label for _, label, _ in rows} - set(colours))
    if new:
        warn(
            "%s: labels that the run did not have: %s; correct the spelling if others are meant",
            path,
            ", ".join(map(repr, new)),
        )
    names = [*colours, *new]
    Labels.literal(names)  # raises for typed text that cannot be a label
    tiles = labelled_tiles(path, rows, scenes, {name: i for i, name in enumerate(names)})
    if not tiles:
        hint = "change labels in QGIS, or add a boolean column `checked` and set it for rows that are right"
        raise InputError(f"{path}: no row of {layer} is corrected or checked", hint)
    return Examples(
        Labels(tuple(Label(name, colours.get(name)) for name in names), str(path)),
        tile_examples(scenes, tiles),
        TileImages(scenes, tuple(tiles), image_size),
        path.stem,
        {
            "source": "corrected layer",
            "path": str(path.resolve()),
            "layer": layer,
            "scenes": ", ".join(scene.info.name for scene in scenes),
            "tiles": str(len(tiles)),
            "bundle": str(run.bundle["name"]),
            "bundle_sha256": str(run.bundle["sha256"]),
        },
        optional=frozenset(range(len(colours))),
    )


def _corrected_rows(
    path: Path, layer: str, predicted: Mapping[str, str | None] | None, spelling: dict[str, str]
) -> list[tuple[str, str, float]]:
    """Return tile_id, label and weight of the rows that are corrected or checked."""
    frame = read_layer(path, layer, _COLUMNS)
    for name in ("tile_id", "label"):
        if name not in frame:
            raise InputError(f"{path}: {layer} has no column {name}", "give the .gpkg that bimors classify wrote")
    columns = {name: frame[name].tolist() if name in frame else [None] * len(frame) for name in _COLUMNS}
    if predicted is None and "checked" not in frame:
        raise InputError(
            f"{path} holds no predicted labels: it is a copy, or an older bimors wrote it",
            "add a boolean column `checked` and set it for the rows to learn from",
        )
    found: dict[str, tuple[str, float]] = {}
    unlabelled = empty = 0
    for tile_id, typed, reason, checked, weight in zip(*(columns[name] for name in _COLUMNS), strict=True):
        where = f"{path}, {tile_id}"
        label = typed_label(typed, spelling)
        # A row that was drawn by hand is not a tile: it passes here and is reported by `labelled_tiles`.
        changed = predicted is not None and label != predicted.get(tile_id)
        if not (changed or is_checked(checked, where)):
            continue
        unlabelled += label is None
        empty += label is not None and reason == "nodata"
        if label is None or reason == "nodata":
            continue
        if found.setdefault(tile_id, (label, row_weight(weight, where)))[0] != label:
            raise InputError(f"{where}: two rows with different labels", "keep one row per tile")
    for count, why in ((unlabelled, "label: fill it in"), (empty, "data: no model saw these tiles")):
        if count:
            warn("%s: skipped %d corrected rows without %s", path, count, why)
    return [(tile_id, label, weight) for tile_id, (label, weight) in found.items()]


def row_weight(value: Any, where: str) -> float:
    """Return the value of a column ``weight``; 1 for null. Raises InputError if it is not a number above 0."""
    if value is None or value != value:
        return 1.0
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"{where}: weight is {value!r}", "write a number above 0, or null for 1")
    return weight
