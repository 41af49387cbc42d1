"""`bimors report`: the result as one web page that needs no network."""

from __future__ import annotations

from bimors_cli.cli import options
from bimors_cli.cli.console import set_verbosity

EXAMPLE = "Example: bimors report out.gpkg -o report.html"


def report(
    layer_file: options.LayerFile,
    output: options.HtmlOutput = None,
    scene: options.SceneOfLayer = None,
    layer: options.ShownLayer = None,
    allow_driver: options.AllowDriver = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Write a page to look at a layer in a browser: map, tiles, classes, confidence, and how it was made."""
    set_verbosity(verbose, quiet)
    from bimors_cli.results.report import report as write

    target = output or layer_file.with_suffix(".html")
    drivers = tuple(allow_driver or ())
    write(layer_file, target, scene=scene, layer=layer, allow_drivers=drivers, overwrite=overwrite)
    print(target)
