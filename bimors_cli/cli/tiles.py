"""`bimors tiles`: the grid, to look at before a long run."""

from __future__ import annotations

import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say
from bimors_cli.cli.json_output import print_json, refuse_rows_and_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.layer import STDOUT, TilesOptions

EXAMPLE = "Example: bimors tiles scene.tif --tile-size 200m -o tiles.gpkg"


@command(TilesOptions)
def tiles(options: TilesOptions, as_json: Json = False) -> None:
    """Write the tiles that classify would process, as polygons. No pixel is read and no model is loaded.

    With the same options the tiles have the same ids as those of classify, which leaves out tiles without data.
    """
    from bimors_cli.pipeline.grid import write_grid

    refuse_rows_and_json(options.output, as_json)
    plan = write_grid(options, command=sys.argv)
    for scene in plan.scenes:
        say(scene.line())
    say(f"{len(plan):,} tiles")
    if as_json:
        scenes = {scene.info.name: len(scene) for scene in plan.scenes}
        print_json({"output": str(plan.output), "tiles": len(plan), "scenes": scenes})
    elif options.output != STDOUT:
        print(plan.output)
