"""Examples of several sources together: those that were drawn on scenes, and those of corrected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, match_names
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.run_warnings import warn
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.training.examples.base import Examples, find_images
from bimors_cli.training.examples.scene_tiles import LabelledTile, TileImages, tile_examples


def join_corrected(first: Examples, others: Sequence[Examples]) -> Examples:
    """Add the examples of corrected layers to those of a source of tiles.

    Labels are those of the source, then those of the layers that have examples and that it does not have; names are
    compared as `match_names` does. A tile that both have gets the label of the layer, the last one that has
    it: its user saw what was learned before. Blocks and groups are those of all tiles together.

    Parameters
    ----------
    first : Examples
        The source, of tiles of scenes.
    others : sequence of Examples
        From `from_layer`.

    Raises
    ------
    InputError
        The source is of image files; two scenes have one name but are different rasters, or different tiles.
    """
    images, _ = find_images(first)
    if not isinstance(images, TileImages):
        raise InputError(
            f"{first.name} holds image files, and --corrected tiles of scenes", "use scenes with --polygons"
        )
    scenes = list(images.scenes)
    tiles = {(tile.scene, tile.index): tile for tile in images.tiles}
    labels = list(first.labels.items)
    for other in others:
        added, _ = find_images(other)
        assert isinstance(added, TileImages)  # `from_layer` makes no others
        number = [_place(scene, scenes, other) for scene in added.scenes]
        used = sorted({tile.label for tile in added.tiles})
        numbers = _numbers([other.labels.items[label] for label in used], labels, other.description["path"])
        label_of = dict(zip(used, numbers, strict=True))
        relabelled = 0
        for tile in added.tiles:
            # A tile that was corrected alone is no longer a part of the polygon that it was drawn with.
            new = LabelledTile(number[tile.scene], tile.index, label_of[tile.label], tile.weight, tile.group)
            before = tiles.get((new.scene, new.index))
            relabelled += before is not None and before.label != new.label
            tiles[new.scene, new.index] = new
        if relabelled:
            warn(
                "%s: %d tiles have another label than before, which is used: leave it out if the earlier are right",
                other.name,
                relabelled,
            )
    ordered = sorted(tiles.values(), key=lambda tile: (tile.scene, tile.index))
    corrected = ", ".join(f"{other.description['path']} ({len(other)} tiles)" for other in others)
    return Examples(
        replace(first.labels, items=tuple(labels)),
        tile_examples(scenes, ordered),
        TileImages(tuple(scenes), tuple(ordered), images.image_size),
        first.name,
        {**first.description, "corrected": corrected},
        first.optional,
    )


def _place(scene: ScenePlan, scenes: list[ScenePlan], other: Examples) -> int:
    """Return the index of a scene in a list; it is added if it is another one."""
    path, known = other.description["path"], {one.info.stem: number for number, one in enumerate(scenes)}
    number = known.get(scene.info.stem)
    if number is None:
        scenes.append(scene)
        return len(scenes) - 1
    before = scenes[number]
    if _place_on_earth(before.info) != _place_on_earth(scene.info):
        raise InputError(
            f"{path}: its scene {scene.info.path} has the name of another, {before.info.path}",
            "rename one of them, and classify it again",
        )
    if before.grid != scene.grid:
        raise InputError(
            f"{path} has tiles of {_tiling(scene.grid)}, and the other examples of {_tiling(before.grid)}",
            f"use --tile-size {scene.grid.tile_width} and the overlap of the layer, or classify with the other tiles",
        )
    return number


def _place_on_earth(info: SceneInfo) -> tuple[Any, ...]:
    return info.width, info.height, info.transform, info.crs


def _tiling(grid: Grid) -> str:
    size = f"{grid.tile_width} x {grid.tile_height} px"
    if (grid.stride_x, grid.stride_y) == (grid.tile_width, grid.tile_height):
        return size
    return f"{size}, one every {grid.stride_x} x {grid.stride_y} px"


def _numbers(added: Sequence[Label], labels: list[Label], path: str) -> list[int]:
    """Return the index of each label in a list; labels that are not in it are added."""
    numbers = []
    for label in added:
        (number,) = match_names([label.name], [known.name for known in labels])
        if number is None:
            warn(
                "%s adds the class %r, which the other examples do not have: correct the spelling if another is meant",
                path,
                label.name,
            )
            number = len(labels)
            labels.append(label)
        numbers.append(number)
    return numbers
