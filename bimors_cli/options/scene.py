"""Options about scenes: how a grid is laid over them, and how their pixels become an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from bimors_cli.options.common import ALLOW_DRIVERS, MODEL_NAME, OVERWRITE
from bimors_cli.options.option import INPUT, MODEL, OUTPUT, RESOLVED, TILES, Option, Options, RowKey
from bimors_cli.options.parse import parse_assets, parse_bidx

TILE_SIZE: Final = "224"
# What completion offers of an open set.
STRETCHES = {
    "auto": "8-bit colour unchanged, else p2,p98",
    "none": "8-bit values unchanged",
    "p2,p98": "percentiles of the scene",
    "0,3000": "these values",
}


@dataclass(frozen=True, kw_only=True)
class OpenOptions(Options):
    """How a raster is opened."""

    allow_drivers: Annotated[tuple[str, ...], ALLOW_DRIVERS] = ()


@dataclass(frozen=True, kw_only=True)
class PixelOptions(OpenOptions):
    """How the pixels of a raster become the image that a model is given."""

    bidx: Annotated[
        tuple[int, ...],
        Option(
            "-b --bidx --band",
            "Bands for red, green and blue, counted from 1: -b 4,3,2. Default: by the names of the bands, by colour "
            "interpretation, else the first three. For a model of other bands: all of these, in its order; default: "
            "by name or wavelength.",
            metavar="N",
            panel=INPUT,
            rows=RESOLVED,
            parse=parse_bidx,
        ),
    ] = ()
    stretch: Annotated[
        str,
        Option(
            "--stretch",
            "Range of pixel values that is stretched to 8 bits, the same for a whole scene: auto, none, MIN,MAX, or "
            "percentiles such as p2,p98. MIN and MAX are values as the file stores them, before scale and offset.",
            panel=INPUT,
            rows=RESOLVED,
            complete="stretches",
        ),
    ] = "auto"
    nodata: Annotated[
        str | None,
        Option(
            "--nodata",
            "Nodata value to use instead of the scene's own, as the file stores it, before scale and offset: a number, "
            "nan, or none. An alpha band or mask is applied in addition.",
            metavar="VALUE",
            panel=INPUT,
            rows=RESOLVED,
        ),
    ] = None
    ignore_mask: Annotated[
        bool,
        Option(
            "--ignore-mask",
            "Do not apply the alpha band or the mask of the scene, for example if near infrared is flagged as alpha: "
            "the band is one of data then.",
            panel=INPUT,
            rows=RESOLVED,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class GridOptions(OpenOptions):
    """How a scene is opened and divided into tiles."""

    asset: Annotated[
        tuple[str, ...],
        Option(
            "--asset",
            "For a scene that is a STAC item: the asset to read, or several that become the bands of one raster: "
            "red,green,blue. Keys of assets, or common names of assets of one band. Default: the only raster asset.",
            metavar="NAME",
            panel=INPUT,
            rows=RESOLVED,
            parse=parse_assets,
            complete="stac_assets",
        ),
    ] = ()
    tile_size: Annotated[
        str,
        Option(
            "--tile-size",
            "Side of a tile: pixels, or a length on the ground such as 500m or 2km.",
            metavar="SIZE",
            panel=TILES,
            rows=RowKey("tile size"),
        ),
    ] = TILE_SIZE
    overlap: Annotated[
        str,
        Option(
            "--overlap",
            "Overlap of neighbouring tiles: pixels, a percentage such as 25%, or a length such as 50m.",
            metavar="SIZE",
            panel=TILES,
            rows=RowKey("overlap"),
        ),
    ] = "0"
    assume_crs: Annotated[
        str | None,
        Option(
            "--assume-crs",
            "CRS of a scene that has none, such as EPSG:32633.",
            metavar="CRS",
            panel=INPUT,
            rows=RESOLVED,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SceneOptions(PixelOptions, GridOptions):
    """Grid and pixels, and how much of a tile must hold data."""

    min_valid: Annotated[
        float,
        Option(
            "--min-valid",
            "Smallest fraction of valid pixels, from 0 to 1. Tiles with less are nodata.",
            metavar="FRACTION",
            panel=TILES,
            rows=RowKey("min valid"),
            minimum=0,
            maximum=1,
        ),
    ] = 0.5


@dataclass(frozen=True, kw_only=True)
class InfoOptions(PixelOptions, GridOptions):
    """The options of `bimors info`."""

    scene: Annotated[
        str, Option("", "A raster that GDAL can open.", metavar="SCENE", required=True)
    ] = ""  # fmt: skip
    png: Annotated[
        Path | None,
        Option(
            "--png",
            "Also write a small image of the scene to this file: the chosen bands with the stretch, transparent where "
            "pixels are not valid, at most 1024 pixels a side.",
            metavar="FILE",
            panel=OUTPUT,
        ),
    ] = None
    model: Annotated[str, MODEL_NAME] = "mini"
    adapter: Annotated[
        str | None,
        Option(
            "--adapter",
            "Folder of a trained adapter: check whether classify can use it with the scene.",
            metavar="DIR",
            panel=MODEL,
            complete="adapters",
        ),
    ] = None
    overwrite: Annotated[bool, replace(OVERWRITE, help="Replace an existing image.")] = False
