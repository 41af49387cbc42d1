"""The views of training examples, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.errors import InputError, ReadError
from bimors_cli.options.views import CAPTION, VIEWS
from bimors_cli.pipeline.inference.tile_reader import ReadTile, read_ahead
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.pipeline.sample_numbers import sample_numbers
from bimors_cli.pipeline.scene_views import with_views
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.tile_views import TileViews
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.scene_tiles import TileImages
from bimors_cli.training.extract_features import read_example_image

BATCH: Final = 64
# Tiles of the scenes, evenly spread, whose statistics say what is usual there; and most pixels to read for them.
SAMPLE_TILES: Final = 512
_SAMPLE_PIXELS: Final = 60_000_000

Values = npt.NDArray[np.float32]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Collected:
    """Views of the examples that could be read.

    ``rows`` are their indices, ``views`` float32 [n, d] by name.
    """

    rows: tuple[int, ...]
    views: dict[str, Values] = field(default_factory=dict)


def collect_views(
    examples: Examples,
    tiles: TileImages | None,
    views: AdapterViews,
    encoder: ViewEncoder,
    advance: Advance,
    false_colour_stretch: str = "auto",
) -> Collected:
    """Compute views of examples.

    Parameters
    ----------
    examples : Examples
        The examples.
    tiles : TileImages or None
        The same examples as tiles of scenes, see `tiles_of`.
    views : AdapterViews
        The views; of images in files only those of the image.
    encoder : ViewEncoder
        Computes those of networks.
    advance : callable
        Called with the number of examples after each batch.
    false_colour_stretch : str
        As for `with_views`.

    Raises
    ------
    InputError
        No example can be read, or a scene lacks a band.
    """
    inputs = views.inputs
    read = _read_images(examples, encoder) if tiles is None else _read_tiles(tiles, views, false_colour_stretch)
    rows: list[int] = []
    parts: list[dict[str, Values]] = []
    for batch in _batches(read):
        valid = [(row, image, found) for row, image, found in batch if image is not None]
        if valid:
            images = {}
            if inputs & {"image", CAPTION}:
                images["image"] = torch.from_numpy(np.stack([image for _, image, _ in valid]))
            for name in inputs - {"image", CAPTION}:
                images[name] = torch.from_numpy(np.stack([found.images[name] for _, _, found in valid]))
            names = valid[0][2].numbers
            numbers = {name: np.stack([found.numbers[name] for _, _, found in valid]) for name in names}
            captions = encoder.models.caption(images["image"]) if CAPTION in inputs else ()
            parts.append(encoder.encode(views.names, images, numbers, captions))
            rows += [row for row, _, _ in valid]
        advance(len(batch))
    if not parts:
        raise InputError(f"{examples.name}: none of {len(examples)} examples can be read", "check the files")
    order = np.argsort(rows, kind="stable")
    joined = {name: np.concatenate([part[name] for part in parts])[order] for name in views.names}
    return Collected(tuple(np.asarray(rows)[order].tolist()), joined)


def sample_statistics(tiles: TileImages, views: AdapterViews, min_valid: float) -> dict[str, Values]:
    """Read the statistics of tiles evenly spread over the scenes of the examples, with or without a label.

    Returns
    -------
    dict of str to array
        float32 [n, d] by view.
    """
    numbers = AdapterViews(tuple(name for name in views.names if VIEWS[name].kind == "statistics"), views.bands)
    if not numbers.names:
        return {}
    parts = []
    for scene in tiles.scenes:
        pixels = scene.grid.tile_width * scene.grid.tile_height
        count = int(max(64, min(SAMPLE_TILES, _SAMPLE_PIXELS // (9 * pixels)))) // len(tiles.scenes) + 1
        parts.append(sample_numbers(with_views(scene, numbers, tiles.scenes[0].info.name), count, min_valid))
    used = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in used]) for name in (numbers.names if used else ())}


_Read = tuple[int, npt.NDArray[np.uint8] | None, TileViews]


def _read_tiles(tiles: TileImages, views: AdapterViews, stretch: str) -> Iterator[_Read]:
    first = tiles.scenes[0].info.name
    viewed = [with_views(scene, views, first, stretch) for scene in tiles.scenes]
    return chain.from_iterable(_read_scene(tiles, number, scene) for number, scene in enumerate(viewed))


def _read_scene(tiles: TileImages, number: int, scene: ScenePlan) -> Iterator[_Read]:
    # In the order of the grid: tiles that share blocks are read one after the other.
    rows = sorted(
        (row for row, tile in enumerate(tiles.tiles) if tile.scene == number), key=lambda row: tiles.tiles[row].index
    )
    wanted = ((tiles.tiles[row].index, scene.grid[tiles.tiles[row].index]) for row in rows)
    for row, tile in zip(rows, read_ahead(scene, wanted, tiles.image_size, BATCH), strict=True):
        yield row, _image(tile), tile.views or TileViews()


def _image(tile: ReadTile) -> npt.NDArray[np.uint8] | None:
    if isinstance(tile.pixels, ReadError):
        warn_of_one("tiles are skipped", "%s: the tile is skipped", tile.pixels.message)
        return None
    return tile.pixels.image if tile.views is not None or tile.pixels.valid_fraction > 0 else None


def _read_images(examples: Examples, encoder: ViewEncoder) -> Iterator[_Read]:
    side = encoder.models.bundle.image_size
    for row in range(len(examples)):
        image = read_example_image(examples, row, side)
        yield row, None if image is None else image.numpy(), TileViews()


def _batches(read: Iterator[_Read]) -> Iterator[Sequence[_Read]]:
    batch: list[_Read] = []
    for item in read:
        # Scenes may have tiles of different sizes, which do not fit into one array.
        if len(batch) == BATCH or (batch and _shape(batch[-1]) != _shape(item)):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _shape(item: _Read) -> tuple[int, ...] | None:
    return None if item[1] is None else item[1].shape
