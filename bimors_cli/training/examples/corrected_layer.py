"""Examples from a layer that `classify` wrote and a person corrected."""

from __future__ import annotations

import json
import logging
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bimors_cli.errors import InputError, SceneError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.geopackage import choose_layer, read_layer, read_provenance
from bimors_cli.output.predictions import read_predictions
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.provenance import grid_of_rows
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.gdal import file_name, is_local
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.stretch import Stretch
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.scene_tiles import LabelledTile, TilePictures, tile_examples

# What a text column says for yes and no.
_YES: Final = frozenset({"1", "true", "t", "yes", "y", "x"})
_NO: Final = frozenset({"", "0", "false", "f", "no", "n"})

log = logging.getLogger("bimors")


def from_layer(path: Path, layer: str | None = None, *, image_size: int) -> Examples:
    """Take the corrected tiles of a layer as examples.

    A row is an example if its ``label`` differs from what was predicted, or if a column ``checked`` (boolean, a number
    or a text such as yes or x) says that it is right. A column ``weight`` may weigh the rows; null weighs 1. Labels are
    those of the run that wrote the layer, then new words that were typed, alphabetically; a label of that run needs no
    example. Case and blanks at the ends of a label do not matter, and a synonym of one of the run's labels is that
    label; a bar in what was typed is a letter. The description has the ``bundle`` of the run and its ``bundle_sha256``.

    Parameters
    ----------
    path : Path
        A GeoPackage that `classify` wrote, edited in place.
    layer : str, optional
        Its layer; by default the one that the run wrote.
    image_size : int
        Pixels a side of the model's input.

    Raises
    ------
    InputError
        Not such a file; no such layer; nothing corrected; a scene is gone or another one now; a column that cannot be
        understood; one tile with two labels.
    """
    layer = choose_layer(_existing(path), layer)
    provenance = read_provenance(path, layer)
    try:
        run = json.loads(provenance["run"])
        colours = json.loads(provenance["labels"])
        paths = json.loads(provenance["scenes"])
        model = run["model"]
        synonyms = {word.casefold(): name for name, words in run.get("synonyms", {}).items() for word in words}
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} does not say how bimors made it",
            "give the .gpkg that bimors classify wrote, edited in place: exported copies lose it",
        ) from error
    scenes = reopen(run, paths, path)
    predicted = read_predictions(path, layer)
    spelling = synonyms | {name.casefold(): name for name in colours}
    rows = _corrected(path, layer, predicted, spelling)
    new = sorted({label for _, label, _ in rows} - set(colours))
    if new:
        log.warning("%s: labels that the run did not have: %s", path, ", ".join(map(repr, new)))
    names = [*colours, *new]
    Labels.literal(names)  # what was typed must be a label
    places = {scene.info.stem: number for number, scene in enumerate(scenes)}
    number = {name: i for i, name in enumerate(names)}
    tiles = []
    for tile_id, label, weight in rows:
        place = _place(tile_id, places, [scene.grid for scene in scenes])
        if place is None:
            log.warning("%s: a row is no tile of the run (tile_id %r) and is left out", path, tile_id)
        else:
            tiles.append(LabelledTile(*place, number[label], weight))
    if not tiles:
        hint = "change labels in QGIS, or add a boolean column `checked` and set it for rows that are right"
        raise InputError(f"{path}: no row of {layer} is corrected or checked", hint)
    tiles.sort(key=lambda tile: (tile.scene, tile.index))
    return Examples(
        Labels(tuple(Label(name, colours.get(name)) for name in names), str(path)),
        tile_examples(scenes, tiles),
        TilePictures(scenes, tuple(tiles), image_size),
        path.stem,
        {
            "source": "corrected layer",
            "path": str(path.resolve()),
            "layer": layer,
            "scenes": ", ".join(scene.info.name for scene in scenes),
            "tiles": str(len(tiles)),
            "bundle": str(model["name"]),
            "bundle_sha256": str(model["sha256"]),
        },
        optional=frozenset(range(len(colours))),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there", "give the .gpkg that bimors classify wrote")
    return path


def _corrected(
    path: Path, layer: str, predicted: Mapping[str, str | None] | None, spelling: dict[str, str]
) -> list[tuple[str, str, float]]:
    """Return tile_id, label and weight of the rows to learn from."""
    frame = read_layer(path, layer, ["tile_id", "label", "reason", "checked", "weight"])
    for name in ("tile_id", "label"):
        if name not in frame:
            raise InputError(f"{path}: {layer} has no column {name}", "give the .gpkg that bimors classify wrote")
    columns = {name: frame[name].tolist() if name in frame else [None] * len(frame) for name in _COLUMNS}
    if predicted is None and "checked" not in frame:
        raise InputError(
            f"{path} does not say what was predicted: it is a copy, or an older bimors wrote it",
            "add a boolean column `checked` and set it for the rows to learn from",
        )
    found: dict[str, tuple[str, float]] = {}
    unlabelled = empty = 0
    for tile_id, typed, reason, checked, weight in zip(*(columns[name] for name in _COLUMNS), strict=True):
        where = f"{path}, {tile_id}"
        label = _label(typed, spelling)
        # A row that was drawn by hand has no tile: it is kept here, and said to be none later.
        changed = predicted is not None and label != predicted.get(tile_id)
        if not (changed or _is_checked(checked, where)):
            continue
        unlabelled += label is None
        empty += label is not None and reason == "nodata"
        if label is None or reason == "nodata":
            continue
        if found.setdefault(tile_id, (label, _weight(weight, where)))[0] != label:
            raise InputError(f"{where}: two rows with different labels", "keep one row a tile")
    for count, why in ((unlabelled, "no label"), (empty, "no data")):
        if count:
            log.warning("%s: %d corrected rows have %s and are left out", path, count, why)
    return [(tile_id, label, weight) for tile_id, (label, weight) in found.items()]


_COLUMNS: Final = ("tile_id", "label", "reason", "checked", "weight")


def _label(typed: Any, spelling: dict[str, str]) -> str | None:
    """Return a label as the run wrote it; one that the run did not have is noted among the spellings."""
    text = unicodedata.normalize("NFC", typed.strip()) if isinstance(typed, str) else ""
    return spelling.setdefault(text.casefold(), text) or None  # a new word: as it was typed first


def _is_checked(value: Any, where: str) -> bool:
    if isinstance(value, str):
        word = value.strip().casefold()
        if word not in _YES | _NO:
            raise InputError(f"{where}: checked is {value!r}", "write yes or no, or use a boolean column")
        return word in _YES
    return value is not None and value == value and bool(value)  # NaN is how a number says null


def _weight(value: Any, where: str) -> float:
    if value is None or value != value:
        return 1.0
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"{where}: weight is {value!r}", "write a number above 0, or leave it null for 1")
    return weight


def _place(tile_id: Any, stems: Mapping[str, int], grids: Sequence[Any]) -> tuple[int, int] | None:
    """Return scene and place in its grid of a tile's id, None if it is no tile of the run."""
    match str(tile_id).rsplit("/", 2):
        case [stem, row, col] if stem in stems and row.isdecimal() and col.isdecimal():
            grid = grids[stems[stem]]
            if int(row) < grid.rows and int(col) < grid.cols:
                return stems[stem], int(row) * grid.cols + int(col)
    return None


log = logging.getLogger("bimors")


def reopen(run: Mapping[str, Any], paths: Sequence[str], layer: Path) -> tuple[ScenePlan, ...]:
    """Open the scenes of a run again, by what the provenance of its layer says of them.

    A scene that is no longer where it was is looked for beside the layer.

    Parameters
    ----------
    run : mapping
        ``run`` of the provenance, see `Plan.run_key`.
    paths : sequence of str
        Where they were.
    layer : Path
        The file of the layer.

    Raises
    ------
    InputError
        A scene is in neither place, cannot be opened, or has another size or position now.
    """
    return tuple(
        _reopen(scene, grid_of_rows(run, scene), path, layer) for scene, path in zip(run["scenes"], paths, strict=True)
    )


def _reopen(written: Mapping[str, Any], grid: Grid, path: str, layer: Path) -> ScenePlan:
    beside = layer.parent / file_name(path)
    if is_local(path) and not Path(path).exists():
        if not beside.exists():
            raise InputError(
                f"{path}: the scene of {layer} is not there any more", f"put it back, or beside the layer as {beside}"
            )
        path = str(beside)
    try:
        # The CRS that the run took, where the file has none; the file's own wins.
        info = scene_info(path, assume_crs=written["crs"])
    except SceneError as error:
        raise InputError(f"the scene of {layer} cannot be opened: {error.message}", error.hint) from error
    width, height = written["pixels"]
    if (info.width, info.height) != (width, height) or list(info.transform)[:6] != written["transform"]:
        raise InputError(
            f"{path} is not the scene that {layer} was made of: its size or its place differs",
            "put the former one there, or classify this one first",
        )
    if info.size_bytes != written["size"]:
        log.warning("%s has another file size than when %s was made", path, layer)
    kind, low, high = written["stretch"]
    return ScenePlan(
        info,
        grid,
        bands=choose_bands(info, tuple(written["bands"])),
        stretch=Stretch(kind, tuple(low), tuple(high)),
        nodata=parse_nodata(None if written["nodata"] == "file" else written["nodata"]),
    )
