"""`bimors info`: what a scene is, and how it would be read and cut."""

from __future__ import annotations

import json

from bimors_cli.cli import options
from bimors_cli.cli.console import set_verbosity

EXAMPLE = "Example: bimors info scene.tif --tile-size 500m"


def info(
    scene: options.Scene,
    tile_size: options.TileSize = "224",
    overlap: options.Overlap = "0",
    bidx: options.Bidx = None,
    stretch: options.StretchOption = "auto",
    nodata: options.Nodata = None,
    assume_crs: options.AssumeCrs = None,
    allow_driver: options.AllowDriver = None,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Show size, CRS, pixel size, chosen bands, stretch, valid share and tile count of a scene."""
    set_verbosity(verbose, quiet)
    from bimors_cli.scene.bands import parse_bidx
    from bimors_cli.scene.describe import describe

    facts = describe(
        scene,
        tile_size=tile_size,
        overlap=overlap,
        bidx=parse_bidx(bidx or []),
        stretch=stretch,
        nodata=nodata,
        assume_crs=assume_crs,
        allow_drivers=tuple(allow_driver or ()),
    )
    if json_output:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
