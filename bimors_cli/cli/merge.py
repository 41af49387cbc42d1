"""`bimors merge`: the journals of all shards in, the layer out."""

from __future__ import annotations

from bimors_cli.cli import options
from bimors_cli.cli.classify import expand
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.watched_run import watch

EXAMPLE = "Example: bimors merge out.gpkg out.gpkg.*-of-2.bimors-journal"


def merge(
    output: options.MergedOutput,
    journals: options.ShardJournals,
    format: options.Format = None,
    layer: options.LayerOfShards = None,
    scene: options.SceneNow = None,
    aoi: options.AoiNow = None,
    model: options.ModelNow = None,
    adapter: options.AdapterNow = None,
    keep_journals: options.KeepJournals = False,
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

    watch(
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
