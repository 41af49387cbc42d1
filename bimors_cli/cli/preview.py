"""`bimors preview`: a picture of the result without opening QGIS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import options
from bimors_cli.cli.console import set_verbosity

EXAMPLE = "Example: bimors preview out.gpkg -o out.png"


def preview(
    layer: Annotated[Path, typer.Argument(metavar="LAYER", help="A GeoPackage that bimors classify wrote.")],
    output: options.PngOutput = None,
    scene: Annotated[
        str | None, typer.Option("--scene", metavar="SCENE", help="Which scene, or where it is now.")
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Draw a layer over its scene as a PNG: tiles in the colours of their labels, and a legend."""
    set_verbosity(verbose, quiet)
    from bimors_cli.pipeline.preview import preview as draw

    target = output or layer.with_suffix(".png")
    draw(layer, target, scene=scene, overwrite=overwrite)
    print(target)
