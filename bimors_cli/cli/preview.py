"""`bimors preview`: an image of the result without opening QGIS."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.options.view import PreviewOptions

EXAMPLE = "Example: bimors preview out.gpkg -o out.png"


@command(PreviewOptions)
def preview(options: PreviewOptions) -> None:
    """Draw a layer over its scene as a PNG: tiles in the colours of their labels, a legend, a scale bar and north."""
    from bimors_cli.results.preview import preview as draw

    print(draw(options))
