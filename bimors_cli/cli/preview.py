"""`bimors preview`: an image of the result without opening QGIS."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.view import PreviewOptions

EXAMPLE = "Example: bimors preview out.gpkg -o out.png"


@command(PreviewOptions)
def preview(options: PreviewOptions, as_json: Json = False) -> None:
    """Draw a layer over its scene as a PNG: tiles in the colours of their labels, a legend, a scale bar and north."""
    from bimors_cli.results.preview import preview as draw

    path = draw(options)
    if as_json:
        print_json({"output": str(path)})
    else:
        print(path)
