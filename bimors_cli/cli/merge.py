"""`bimors merge`: the journals of all shards in, the layer out."""

from __future__ import annotations

from typing import Annotated

import typer

from bimors_cli.cli import options
from bimors_cli.cli.classify import expand
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.run_command import run_with_progress

EXAMPLE = "Example: bimors merge out.gpkg out.gpkg.*-of-2.bimors-journal"

MergedOutput = Annotated[
    str, typer.Argument(metavar="OUT", help="Where the layer goes; any name that classify -o takes but -.")
]
ShardJournals = Annotated[
    list[str], typer.Argument(metavar="JOURNAL", help="The journals of all shards of one run; globs are expanded.")
]
LayerOfShards = Annotated[
    str | None,
    typer.Option(
        "--layer", metavar="NAME", rich_help_panel=options.OUTPUT, help="Name of the layer; else the shards' own."
    ),
]
SceneNow = Annotated[
    list[str] | None,
    typer.Option(
        "--scene",
        metavar="PATH",
        rich_help_panel=options.INPUT,
        help="Where a scene of this file name is on this machine, if elsewhere. Repeat it for several.",
    ),
]
AoiNow = Annotated[
    str | None,
    typer.Option(
        "--aoi", metavar="FILE[:LAYER]", rich_help_panel=options.INPUT, help="Where the AOI is now, if elsewhere."
    ),
]
ModelNow = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|DIR", rich_help_panel=options.INPUT, help="Where the bundle is now, if elsewhere."
    ),
]
AdapterNow = Annotated[
    str | None,
    typer.Option(
        "--adapter", metavar="DIR", rich_help_panel=options.INPUT, help="Where the adapter is now, if elsewhere."
    ),
]
KeepJournals = Annotated[
    bool, typer.Option("--keep-journals", rich_help_panel=options.RUN, help="Leave the journals as they are.")
]


def merge(
    output: MergedOutput,
    journals: ShardJournals,
    format: options.Format = None,
    layer: LayerOfShards = None,
    scene: SceneNow = None,
    aoi: AoiNow = None,
    model: ModelNow = None,
    adapter: AdapterNow = None,
    keep_journals: KeepJournals = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Write the layer of a run that was done in shards (classify --shard), as it would be without them.

    Refuses shards that are missing, unfinished or of different runs. All that the shards were told goes for the layer:
    labels, raster, provenance. The journals are removed when the layer holds everything; a merge that was interrupted
    goes on when it is called again. Streams and exit codes are those of classify.
    """
    set_verbosity(verbose, quiet)
    from bimors_cli.pipeline.merge import MergeOptions
    from bimors_cli.pipeline.merge import merge as run

    run_with_progress(
        run,
        MergeOptions(
            output=output,
            journals=expand(journals),
            format=format,
            layer=layer,
            scenes=tuple(scene or ()),
            aoi=aoi,
            model=model,
            adapter=adapter,
            overwrite=overwrite,
            keep_journals=keep_journals,
        ),
    )
