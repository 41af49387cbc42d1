"""`bimors tiles`: the grid, to look at before a long run."""

from __future__ import annotations

import sys

from bimors_cli.cli import options
from bimors_cli.cli.classify import expand, refuse_remote
from bimors_cli.cli.console import say, set_verbosity

EXAMPLE = "Example: bimors tiles scene.tif --tile-size 200m -o tiles.gpkg"


def tiles(
    scenes: options.Scenes,
    output: options.GivenOutput,
    format: options.Format = None,
    rs: options.RecordSeparators = False,
    layer: options.Layer = "tiles",
    append: options.Append = False,
    dst_crs: options.DstCrs = None,
    tile_size: options.TileSize = "224",
    overlap: options.Overlap = "0",
    aoi: options.Aoi = None,
    aoi_rule: options.AoiRule = "centre",
    assume_crs: options.AssumeCrs = None,
    allow_driver: options.AllowDriver = None,
    overwrite: options.Overwrite = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Write the tiles that classify would look at, as empty polygons; no pixel is read and no model is loaded.

    With the same options the tiles have the same ids as those of classify, which leaves out tiles without data.
    """
    set_verbosity(verbose, quiet)
    paths = expand(scenes)
    if offline:
        refuse_remote(paths)

    from bimors_cli.options.classify import LayerOptions
    from bimors_cli.pipeline.grid import write_grid

    plan = write_grid(
        LayerOptions(
            scenes=paths,
            output=output,
            format=format,
            rs=rs,
            layer=layer,
            append=append,
            dst_crs=dst_crs,
            tile_size=tile_size,
            overlap=overlap,
            aoi=aoi,
            aoi_rule=aoi_rule,
            assume_crs=assume_crs,
            allow_drivers=tuple(allow_driver or ()),
            overwrite=overwrite,
        ),
        command=sys.argv,
    )
    for scene in plan.scenes:
        say(scene.line())
    say(f"{len(plan):,} tiles")
    if output != "-":
        print(plan.output)
