"""`bimors models recommend`: bundles for a scene, with the published figures that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Annotated, Final

import typer

from bimors_cli.bundle.facts import NOT_KNOWN
from bimors_cli.cli.console import say, set_verbosity
from bimors_cli.cli.models_page import wrapped
from bimors_cli.cli.parameters import Json, Quiet, Verbose
from bimors_cli.errors import InputError

_INDENT: Final = "    "
EXAMPLE = "Example: bimors models recommend scene.tif --memory 8GB"

_COLOURS: Final = ("red", "green", "blue")
# Bands of 10 m and 20 m for Sentinel-2, reflective bands for Landsat 8 and 9.
_SENSORS: Final = {
    "rgb": _COLOURS,
    "naip": (*_COLOURS, "nir"),
    "planet": (*_COLOURS, "nir"),
    "landsat": ("coastal", *_COLOURS, "nir", "swir1", "swir2"),
    "s2": (*_COLOURS, "rededge1", "rededge2", "rededge3", "nir", "nir narrow", "swir1", "swir2"),
}
_GSD: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(m|cm)")
_MEMORY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*GB", re.IGNORECASE)

SceneArgument = Annotated[
    str | None, typer.Argument(metavar="[SCENE]", help="A raster, whose pixel size and bands are used.")
]
Gsd = Annotated[
    str | None, typer.Option("--gsd", metavar="LENGTH", help="Pixel size on the ground, such as 10m or 30cm.")
]
BandsOption = Annotated[
    str | None,
    typer.Option("--bands", metavar="N|SENSOR", help=f"Number of bands, or one of {', '.join(_SENSORS)}."),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Memory that the models may take, such as 8GB. Default: no limit."),
]
Commercial = Annotated[
    bool,
    typer.Option("--commercial", help="Only models that may be used commercially, with all their parts."),
]


def recommend(
    scene: SceneArgument = None,
    gsd: Gsd = None,
    bands: BandsOption = None,
    memory: Memory = None,
    commercial: Commercial = False,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Recommend models for a scene, or for a pixel size and bands, the best first.

    Models that take all bands of the scene come first, then those of colours by their published zero-shot accuracy: on
    a data set with coarse pixels if yours have 5 m or more, else on one with fine pixels. Each figure is compared with
    that of georsclip-b32 in the same protocol; where that was not measured, the model comes last.

    SIZE of --memory is that of libraries and of weights in float32, as on a CPU; on a GPU weights need half of it.
    """
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.recommend import Wanted
    from bimors_cli.bundle.recommend import recommend as recommendations

    size, count, names = _given(scene, gsd, bands)
    found = recommendations(Wanted(size, count, names, None if memory is None else _bytes(memory), commercial))
    if json_output:
        print(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        print(one.command)
        needed = "" if one.memory is None else f"about {one.memory / 1e9:.1f} GB"
        facts = f"memory: {needed or NOT_KNOWN}; commercial use: {one.commercial}"
        print(f"{wrapped(one.why, _INDENT)}\n{wrapped(facts, _INDENT)}")
    if not found:
        licence = " and licence" if commercial else ""
        say(f"no model of the catalog fits this memory{licence} | use --model mini, which needs 1.3 GB")


def _given(scene: str | None, gsd: str | None, bands: str | None) -> tuple[float | None, int, Collection[str]]:
    """Return the pixel size in metres, and number and names of the bands, from options before those of the scene."""
    size = None if gsd is None else _metres(gsd)
    count, names = (None, ()) if bands is None else _bands(bands)
    if scene is not None and (size is None or count is None):
        from bimors_cli.scene.bands import data_indexes
        from bimors_cli.scene.raster import open_scene
        from bimors_cli.scene.size import ground_pixel_size

        with open_scene(scene) as opened:
            ground = ground_pixel_size(opened.info)
            size = size if size is not None or ground is None else max(ground)
            if count is None:
                count = len(data_indexes(opened.info))
                names = tuple(name for name in opened.info.band_names if name is not None)
    if scene is None and gsd is None:
        raise InputError("no pixel size is given", "name a scene, or add --gsd, such as --gsd 10m")
    return size, 3 if count is None else count, names


def _metres(text: str) -> float:
    found = _GSD.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--gsd {text}: not a length", "write it as 10m, 0.5m or 30cm")
    return float(found[1]) * (0.01 if found[2] == "cm" else 1.0)


def _bands(text: str) -> tuple[int, Collection[str]]:
    names = _SENSORS.get(text.lower())
    if names is not None:
        return len(names), names
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise InputError(
            f"--bands {text}: not a number of bands or a sensor", f"use a number, or {', '.join(_SENSORS)}"
        )
    return int(text), ()


def _bytes(text: str) -> float:
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise InputError(f"--memory {text}: not a size", "write it as 8GB")
    return float(found[1]) * 1e9
