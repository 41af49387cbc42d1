"""Captions of a few tiles of a finished layer, made when someone looks at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, open_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.errors import InputError
from bimors_cli.options.view import ReportOptions
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.results.layer_view import LayerView
from bimors_cli.results.report import MadeCaptions
from bimors_cli.results.report import report as write_page
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.steps import LIBRARIES, step

_OTHER: Final = "choose another with --model NAME|DIR: bimors models list"


@keeps_warnings
def report(options: ReportOptions, tell: Callable[[str, str | None], None] | None = None) -> Path:
    """Write the page of a layer, and return its path; the tiles of ``caption_tiles`` are captioned for it.

    Parameters
    ----------
    options : ReportOptions
        The options of `bimors report`.
    tell : callable, optional
        Called with the id of each tile that was captioned and its caption; None if the captioner failed.

    Raises
    ------
    InputError
        A tile is not in the layer or has no data; the bundle is not found, is another one, or has no captioner; as
        `bimors_cli.results.report.report`.
    BimorsError
        The model cannot be loaded, or the page cannot be written.
    """

    def captions(view: LayerView) -> MadeCaptions:
        made = caption_tiles(view, options.caption_tiles, options.model)
        if tell is not None:
            for tile_id, caption in made.captions.items():
                tell(tile_id, caption)
        return made

    return write_page(options, captions if options.caption_tiles else None)


def caption_tiles(view: LayerView, tile_ids: tuple[str, ...], model: str | None) -> MadeCaptions:
    """Caption tiles of a layer as the run would have captioned them; the captions go into the user's cache.

    Parameters
    ----------
    view : LayerView
        The layer with its scene.
    tile_ids : tuple of str
        Tiles of the scene that is shown.
    model : str or None
        A bundle, by its name or folder; None for that of the run.

    Raises
    ------
    InputError, BimorsError
        As `report`.
    """
    tiles = _find_tiles(view, tile_ids)
    bundle = _find_bundle(view.layer, model)
    images = []
    bands, stretch = view.recorded.shown(view.scene)
    with SceneReader(view.scene.info, view.recorded.grid, bands, stretch, view.recorded.nodata) as reader:
        for tile_id, tile in zip(tile_ids, tiles, strict=True):
            pixels = read_tile(reader, tile, bundle.image_size)
            if pixels.valid_fraction == 0:
                raise InputError(f"--caption-tile {tile_id}: the tile has no data", "leave it out")
            images.append(pixels.image)

    with step(LIBRARIES):
        import torch

        from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
        from bimors_cli.pipeline.inference.load import load_models

    with open_caption_cache() as cache:
        models = load_models(bundle, "auto", caption_cache=cache, unused=frozenset({CLIP, CAPTION_ENCODER}))
        captions = models.caption(torch.from_numpy(np.stack(images)))
    return MadeCaptions(bundle.name, dict(zip(tile_ids, captions, strict=True)))


def _find_tiles(view: LayerView, tile_ids: tuple[str, ...]) -> list[Tile]:
    grid = view.recorded.grid
    rows = {name: row for row, name in enumerate(view.tiles.text["tile_id"])}
    for tile_id in tile_ids:
        if tile_id not in rows:
            raise InputError(
                f"--caption-tile {tile_id}: {view.layer.path} has no such tile of {view.recorded.name}",
                f"give a tile_id of the layer, such as {next(iter(rows))}"
                + ("; choose its scene with --scene" if len(view.layer.scenes) > 1 else ""),
            )
    windows = view.tiles.windows[[rows[tile_id] for tile_id in tile_ids]].astype(np.int64).tolist()
    return [grid.tile(top // grid.stride_y, left // grid.stride_x) for left, top, _, _ in windows]


def _find_bundle(layer: ClassifiedLayer, model: str | None) -> Bundle:
    """Open the bundle that captions: the one of the run, unless another is given."""
    recorded = layer.run.bundle
    if model is not None:
        bundle = open_bundle(find_bundle(model))
    else:
        try:
            bundle = open_bundle(find_bundle(str(recorded["name"])))
        except InputError as error:
            raise InputError(f"--caption-tile needs the bundle of {layer.path}: {error.message}", _OTHER) from error
        if bundle.sha256 != recorded["sha256"]:
            raise InputError(
                f"{layer.path} was made with another bundle {recorded['name']} ({str(recorded['sha256'])[:12]}) than "
                f"{bundle.folder} ({bundle.sha256[:12]})",
                f"give --model {bundle.name} to caption with this one",
            )
    need_part(bundle, CAPTIONER, "--caption-tile", _OTHER)
    return bundle
