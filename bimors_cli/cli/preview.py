"""`bimors preview`: a picture of the result without opening QGIS."""

from __future__ import annotations

from bimors_cli.cli import options
from bimors_cli.cli.console import set_verbosity

EXAMPLE = "Example: bimors preview out.gpkg -o out.png"


def preview(
    layer_file: options.LayerFile,
    output: options.PngOutput = None,
    scene: options.SceneOfLayer = None,
    layer: options.ShownLayer = None,
    allow_driver: options.AllowDriver = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Draw a layer over its scene as a PNG: tiles in the colours of their labels, a legend, a scale bar, north."""
    set_verbosity(verbose, quiet)
    from bimors_cli.results.preview import preview as draw

    target = output or layer_file.with_suffix(".png")
    drivers = tuple(allow_driver or ())
    draw(layer_file, target, scene=scene, layer=layer, allow_drivers=drivers, overwrite=overwrite)
    print(target)
