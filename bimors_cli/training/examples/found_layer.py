"""Examples from a layer that `search` wrote and in which a user accepted and rejected tiles."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels
from bimors_cli.results.found_layer import FoundLayer, FoundTile, read_found_layer
from bimors_cli.training.examples.base import Examples, class_labels
from bimors_cli.training.examples.layer_tiles import labelled_tiles, open_recorded, spellings, typed_label
from bimors_cli.training.examples.scene_tiles import TileImages, tile_examples

# The class of rejected tiles.
OTHERS: Final = "other"

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class _Classes:
    """The names of the class of accepted tiles and of that of rejected ones."""

    accepted: str
    rejected: str


def from_found(
    path: Path,
    layer: str | None = None,
    *,
    image_size: int,
    accepted_as: str | None = None,
    rejected_as: str | None = None,
) -> Examples:
    """Take the accepted and rejected tiles of a search as examples.

    An accepted tile is an example of the class that was searched. A rejected one is an example of the class that was
    typed as its ``label``, if that was changed, otherwise of ``rejected_as``; the label that `classify` gave to it says
    nothing, since nobody checked it. A tile that is not judged is an example only if its label was changed. The labels
    are the class that was searched, the typed ones alphabetically, and ``rejected_as`` if a tile is of it.

    Parameters
    ----------
    path : Path
        A GeoPackage that `search` wrote, edited in place.
    layer : str, optional
        Name of the layer; by default the one that the search wrote.
    image_size : int
        Pixels a side of the model's input.
    accepted_as : str, optional
        The class of accepted tiles; by default the one that the layer names.
    rejected_as : str, optional
        The class of rejected tiles; by default `OTHERS`.

    Raises
    ------
    InputError
        The layer was not written by `search` or is damaged, see `read_found_layer`; it does not name the class; no tile
        is accepted, or all tiles are of one class; a judgement contradicts a typed label; a scene does not exist or is
        another raster now, see `check_same_raster`.
    """
    found = read_found_layer(path, layer)
    classes = _classes(found, accepted_as, rejected_as)
    label_of = _labels_of_tiles(found, classes)
    if classes.accepted not in label_of.values():
        raise InputError(
            f"{path}: no tile of {found.name} is accepted",
            "accept tiles in QGIS: set the column accept to yes (1), and to no (0) for tiles of another kind",
        )
    typed = set(label_of.values()) - {classes.accepted, classes.rejected}
    rest = [classes.rejected] if classes.rejected in label_of.values() else []
    names = [classes.accepted, *sorted(typed), *rest]
    class_labels(
        names,
        str(path),
        f"reject some tiles that are not {classes.accepted}: set the column accept to no (0)",
    )
    scenes = tuple(open_recorded(scene, path) for scene in found.scenes)
    rows = [(tile_id, label, 1.0) for tile_id, label in label_of.items()]
    tiles = labelled_tiles(path, rows, scenes, {name: number for number, name in enumerate(names)})
    open_count = len(found.tiles) - len(label_of)
    if open_count:
        log.info("%s: %d tiles are not judged, and no examples", path, open_count)
    colours = found.run.labels or {}
    return Examples(
        Labels(tuple(Label(name, colours.get(name)) for name in names), str(path)),
        tile_examples(scenes, tiles),
        TileImages(scenes, tuple(tiles), image_size),
        path.stem,
        {
            "source": "accepted and rejected tiles of a search",
            "path": str(path.resolve()),
            "layer": found.name,
            "scenes": ", ".join(scene.info.name for scene in scenes),
            "tiles": str(len(tiles)),
            "bundle": str(found.run.bundle["name"]),
            "bundle_sha256": str(found.run.bundle["sha256"]),
        },
    )


def _classes(found: FoundLayer, accepted_as: str | None, rejected_as: str | None) -> _Classes:
    accepted = accepted_as if accepted_as is not None else found.run.accepted_as
    if accepted is None:
        raise InputError(
            f"{found.path} does not say of what class accepted tiles are", 'name it with --as NAME: --as "solar farm"'
        )
    rejected = OTHERS if rejected_as is None else rejected_as
    if accepted.strip().casefold() == rejected.strip().casefold():
        raise InputError(
            f"{found.path}: accepted and rejected tiles would both be examples of {accepted!r}",
            "name the class of accepted tiles with --as NAME, or that of rejected ones with --others NAME",
        )
    return _Classes(accepted.strip(), rejected.strip())


def _labels_of_tiles(found: FoundLayer, classes: _Classes) -> dict[str, str]:
    """Return the class of the tiles that are examples, by their ids."""
    spelling = spellings(found.run)
    spelling |= {name.casefold(): name for name in (classes.rejected, classes.accepted)}
    labels = {tile.tile_id: _label(found, tile, classes, spelling) for tile in found.tiles}
    return {tile_id: label for tile_id, label in labels.items() if label is not None}


def _label(found: FoundLayer, tile: FoundTile, classes: _Classes, spelling: dict[str, str]) -> str | None:
    typed = typed_label(tile.corrected, spelling)
    if tile.accepted is None or typed is None:
        return {True: classes.accepted, False: classes.rejected, None: typed}[tile.accepted]
    if tile.accepted != (typed == classes.accepted):
        verdict, change = ("accepted", "reject it") if tile.accepted else ("rejected", "accept it")
        raise InputError(
            f"{found.path}, {tile.tile_id}: the tile is {verdict} as {classes.accepted}, and its label was changed to "
            f"{typed!r}",
            f"{change}, or undo the label",
        )
    return typed
