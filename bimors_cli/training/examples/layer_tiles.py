"""Tiles of a layer by their ids: the scenes of its run, opened again, and the places of the tiles in the grids."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError, SceneError
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.provenance import RecordedScene, RunProvenance, check_same_raster
from bimors_cli.run_warnings import warn, warn_of_one
from bimors_cli.scene.gdal import is_local
from bimors_cli.scene.raster import scene_info
from bimors_cli.scene.stac_scene import file_of
from bimors_cli.training.examples.scene_tiles import LabelledTile


def open_recorded(recorded: RecordedScene, layer_file: Path) -> ScenePlan:
    """Open a scene of the run, at its recorded path or next to the layer, and check that it is the same raster.

    Raises
    ------
    InputError
        The scene does not exist or cannot be opened.
    SceneError
        It is another raster, see `check_same_raster`.
    """
    path = recorded.find(layer_file) if is_local(file_of(recorded.path)) else recorded.path
    if path is None:
        copy = layer_file.parent / recorded.name
        raise InputError(
            f"{recorded.path}: the scene of {layer_file} does not exist",
            f"restore it, or copy it to {copy}",
        )
    try:
        # The CRS of the run is for a file that has none; the file's own CRS wins.
        info = scene_info(path, assume_crs=recorded.crs_wkt)
    except SceneError as error:
        raise InputError(f"the scene of {layer_file} cannot be opened: {error.message}", error.hint) from error
    check_same_raster(info, recorded, layer_file, "restore the scene of the layer, or classify this one first")
    if info.size_bytes != recorded.size_bytes:
        warn(
            "%s has another file size than when %s was made: classify it again if its pixels have changed",
            path,
            layer_file,
        )
    return ScenePlan(
        info,
        recorded.grid,
        bands=recorded.bands_of(info),
        stretch=recorded.stretch,
        nodata=recorded.nodata,
    )


def labelled_tiles(
    path: Path, rows: Sequence[tuple[str, str, float]], scenes: Sequence[ScenePlan], number: Mapping[str, int]
) -> list[LabelledTile]:
    """Find the tiles of rows (tile_id, label, weight) in the grids, in order of scene and index.

    ``number`` is the index of each label. A row that is not a tile of the scenes is skipped with a warning.
    """
    scene_of = {scene.info.stem: index for index, scene in enumerate(scenes)}
    tiles = []
    for tile_id, label, weight in rows:
        position = _position(tile_id, scene_of, scenes)
        if position is None:
            warn_of_one(
                "corrected rows are skipped",
                "%s: tile_id %r is not a tile of the run, and its row is skipped: do not change tile_id",
                path,
                tile_id,
            )
        else:
            tiles.append(LabelledTile(*position, number[label], weight))
    return sorted(tiles, key=lambda tile: (tile.scene, tile.index))


def spellings(run: RunProvenance) -> dict[str, str]:
    """Return the labels of a run by how they may be typed, in lower case: their names and synonyms."""
    spelling = {word.casefold(): name for name, words in run.synonyms.items() for word in words}
    return spelling | {name.casefold(): name for name in run.labels or {}}


def typed_label(typed: Any, spelling: dict[str, str]) -> str | None:
    """Return a label as the run wrote it, None for blanks and null; a new label is added to ``spelling``."""
    text = unicodedata.normalize("NFC", typed.strip()) if isinstance(typed, str) else ""
    return spelling.setdefault(text.casefold(), text) or None  # a new label is spelled as it was typed first


def _position(tile_id: Any, scene_of: Mapping[str, int], scenes: Sequence[ScenePlan]) -> tuple[int, int] | None:
    """Return the index of the scene and the index in its grid of a tile, by its id; None if no scene has it."""
    match str(tile_id).rsplit("/", 2):
        case [stem, row, col] if stem in scene_of and row.isdecimal() and col.isdecimal():
            grid = scenes[scene_of[stem]].grid
            if int(row) < grid.rows and int(col) < grid.cols:
                return scene_of[stem], int(row) * grid.cols + int(col)
    return None
