"""Algorithms about scenes: before anything is classified."""

from __future__ import annotations

from dataclasses import replace

from ..spec import FILE_OUTPUT, VECTOR_OUTPUT, Algorithm, Parameter
from .shared import (
    ADAPTER,
    AOI,
    ASSUME_CRS,
    DST_CRS,
    EXTRA,
    INPUT_SCENE,
    MODEL,
    MORE_SCENES,
    OVERLAP,
    PIXELS,
    SCENES_GROUP,
    TILE_SIZE,
    advanced,
)

INFO = Algorithm(
    "info",
    "Scene information",
    SCENES_GROUP,
    "info",
    "Shows how bimors reads a scene: CRS, pixel size, bands with statistics, mask, and the tiles that it would "
    "have.\n\n"
    "It warns if pixels or tiles have sizes that the model was not trained on, and with an adapter it checks whether "
    "the adapter suits the scene. The page opens in Processing > Results Viewer.",
    (
        replace(INPUT_SCENE, option="scene", tip="A raster layer."),
        TILE_SIZE,
        advanced(ADAPTER),
        OVERLAP,
        *PIXELS,
        ASSUME_CRS,
        MODEL,
        EXTRA,
        Parameter("PAGE", "Page", kind=FILE_OUTPUT, filter="HTML files (*.html)"),
    ),
    tags=("metadata", "bands", "statistics", "sensor", "resolution", "check"),
)
TILES = Algorithm(
    "tiles",
    "Tile grid",
    SCENES_GROUP,
    "tiles",
    "Writes the tiles that 'Classify scene' would process, as polygons. No pixel is read and no model is loaded, so it "
    "takes seconds: use it to choose a tile size.",
    (
        INPUT_SCENE,
        TILE_SIZE,
        *AOI,
        MORE_SCENES,
        OVERLAP,
        ASSUME_CRS,
        DST_CRS,
        EXTRA,
        Parameter("OUTPUT", "Tile grid", "output", VECTOR_OUTPUT),
    ),
    tags=("grid", "fishnet", "tile size", "polygons"),
    replaces=True,
    styled=True,
)
ALGORITHMS = (INFO, TILES)
