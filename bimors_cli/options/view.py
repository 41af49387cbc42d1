"""The options of `bimors preview` and `bimors report`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import ALLOW_DRIVERS, OVERWRITE
from bimors_cli.options.option import Option, Options
from bimors_cli.options.parse import parse_tile_ids

LAYER_FILE = Option("", "A GeoPackage that bimors classify wrote.", metavar="LAYER", required=True)
LAYER_NAME = Option("--layer", "Layer to read, if the GeoPackage has several.", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class ViewOptions(Options):
    """A layer, the scene that it is shown with, and the output file."""

    layer_file: Annotated[Path, LAYER_FILE] = Path()
    output: Annotated[Path | None, Option("-o --output", "Output file.", metavar="FILE")] = None
    scene: Annotated[
        str | None,
        Option("--scene", "Scene of the layer to show, or its path, if it was moved.", metavar="SCENE"),
    ] = None
    layer: Annotated[str | None, LAYER_NAME] = None
    allow_drivers: Annotated[tuple[str, ...], ALLOW_DRIVERS] = ()
    overwrite: Annotated[bool, OVERWRITE] = False


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(ViewOptions):
    """The options of `bimors preview`."""

    output: Annotated[
        Path | None,
        Option("-o --output", "Output image, a PNG. Default: the layer's name with .png.", metavar="FILE"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ReportOptions(ViewOptions):
    """The options of `bimors report`.

    ``caption_tiles`` are ids of tiles to caption for the page. ``model`` None is the bundle that made the layer.
    """

    layer_file: Annotated[
        Path, replace(LAYER_FILE, help="A GeoPackage that bimors classify or bimors sample wrote.")
    ] = Path()
    output: Annotated[
        Path | None,
        Option("-o --output", "Output page, an HTML file. Default: the layer's name with .html.", metavar="FILE"),
    ] = None
    caption_tiles: Annotated[
        tuple[str, ...],
        Option(
            "--caption-tile",
            "Caption this tile for the page, given by its tile_id, without running classify again. Repeat the option "
            "for several.",
            metavar="TILE_ID",
            parse=parse_tile_ids,
        ),
    ] = ()
    model: Annotated[
        str | None,
        Option(
            "--model",
            "For --caption-tile: the bundle whose captioner is used. Default: the bundle that made the layer.",
            metavar="NAME|DIR",
            complete="bundles",
        ),
    ] = None

    def check_combination(self) -> None:
        super().check_combination()
        if self.model is not None and not self.caption_tiles:
            raise InputError("--model needs --caption-tile", "add --caption-tile TILE_ID, or leave out --model")
