"""Examples from a copy of a layer that QGIS exported: the tiles that a user checked, in the grid of the scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.checked import COLUMN, is_checked
from bimors_cli.output.classified_schema import UNSEEN
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.results.copy_hint import find_original, restore_command
from bimors_cli.results.exported_copy import CopiedTile, ExportedCopy, read_copy
from bimors_cli.results.tile_places import GridPlace
from bimors_cli.run_warnings import warn
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.corrected_layer import row_weight
from bimors_cli.training.examples.layer_tiles import typed_label
from bimors_cli.training.examples.scene_tiles import LabelledTile, TileImages, has_enough_data, tile_examples

_COLUMNS: Final = ("label", "reason", COLUMN, "weight")


def from_copy(path: Path, scenes: Sequence[ScenePlan], *, image_size: int, min_valid: float) -> Examples:
    """Take the checked tiles of a copy as examples.

    A copy holds no predicted labels, so only rows with a column ``checked`` that says yes are examples. Their labels
    are in alphabetical order.

    Parameters
    ----------
    path : Path
        A vector file in any CRS, see `read_copy`.
    scenes : sequence of ScenePlan
        The scenes, in the grid of the copy.
    image_size : int
        Pixels a side of the model's input.
    min_valid : float
        Minimum fraction of valid pixels of a tile, 0..1.

    Raises
    ------
    InputError
        As `read_copy`; the copy has no column ``label`` or ``checked``; no tile is checked.
    """
    places = tuple(GridPlace.of_scene(scene.info, scene.grid) for scene in scenes)
    names = " ".join(quote(scene.info.path) for scene in scenes)
    hint = f"bimors finetune {names} --corrected {quote(str(path))} --tile-size SIZE, the tile size of the layer"
    copy = read_copy(str(path), None, places, _COLUMNS, hint=hint)
    for column in ("label", COLUMN):
        if column not in copy.columns:
            why = " and no predicted labels, so corrections are unknown" if column == COLUMN else ""
            raise InputError(f"{path} has no column {column}{why}", restore_command(path, find_original(path)))
    rows = _checked(copy)
    tiles = [
        LabelledTile(tile.scene, tile.row * scenes[tile.scene].grid.cols + tile.col, 0, weight)
        for tile, _, weight in rows
    ]
    if not rows:
        raise InputError(
            f"{path}: no row is checked",
            f"set {COLUMN} in QGIS for rows to learn from, or {restore_command(path, find_original(path))}",
        )
    labels = sorted({label for _, label, _ in rows})
    Labels.literal([*labels, f"not {labels[0]}"])  # raises for typed text that cannot be a label; one is enough here
    number = {label: index for index, label in enumerate(labels)}
    usable = _with_data(scenes, tiles, image_size, min_valid)
    if not all(usable):
        warn("%s: skipped %d checked tiles with too few valid pixels", path, usable.count(False))
    kept = [
        LabelledTile(tile.scene, tile.index, number[label], tile.weight)
        for tile, (_, label, _), ok in zip(tiles, rows, usable, strict=True)
        if ok
    ]
    if not kept:
        raise InputError(f"{path}: no checked tile has enough data", "check the scene, --nodata and --min-valid")
    return Examples(
        Labels(tuple(map(Label, labels)), str(path)),
        tile_examples(scenes, kept),
        TileImages(tuple(scenes), tuple(kept), image_size),
        path.stem,
        {
            "source": "checked tiles of an exported copy",
            "path": str(path.resolve()),
            "layer": copy.layer,
            "scenes": ", ".join(scene.info.name for scene in scenes),
            "tiles": str(len(kept)),
        },
    )


def _checked(copy: ExportedCopy) -> list[tuple[CopiedTile, str, float]]:
    """Return the checked tiles with their labels and weights."""
    spelling: dict[str, str] = {}
    found = []
    unlabelled = 0
    for tile in copy.tiles:
        where = f"{copy.path}, row {tile.row}, column {tile.col}"
        if not is_checked(tile.values[COLUMN], where):
            continue
        label = typed_label(tile.values["label"], spelling)
        if label is None or tile.values.get("reason") in UNSEEN:
            unlabelled += 1
            continue
        found.append((tile, label, row_weight(tile.values.get("weight"), where)))
    if unlabelled:
        warn("%s: skipped %d checked tiles without label or data", copy.path, unlabelled)
    return found


def _with_data(
    scenes: Sequence[ScenePlan], tiles: Sequence[LabelledTile], image_size: int, min_valid: float
) -> list[bool]:
    usable = [True] * len(tiles)
    for number, scene in enumerate(scenes):
        rows = [row for row, tile in enumerate(tiles) if tile.scene == number]
        enough = has_enough_data(scene, [tiles[row].index for row in rows], image_size, min_valid)
        for row, has_data in zip(rows, enough.tolist(), strict=True):
            usable[row] = has_data
    return usable
