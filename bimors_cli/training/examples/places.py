"""Where the examples of an adapter are on the ground."""

from __future__ import annotations

from collections import defaultdict

from bimors_cli.scene.tile_set import TileSet
from bimors_cli.training.examples.base import Examples, find_images
from bimors_cli.training.examples.scene_tiles import TileImages


def tile_sets(examples: Examples) -> tuple[TileSet, ...] | None:
    """Return the tiles that are examples, one set per scene; None for image files, whose places are unknown."""
    images, rows = find_images(examples)
    if not isinstance(images, TileImages):
        return None
    tiles: defaultdict[int, list[int]] = defaultdict(list)
    for row in rows:
        tiles[images.tiles[row].scene].append(images.tiles[row].index)
    found = ((images.scenes[number], indices) for number, indices in sorted(tiles.items()))
    return tuple(
        TileSet.of(scene.info.name, scene.info.crs, scene.info.transform, scene.grid, indices)
        for scene, indices in found
    )
