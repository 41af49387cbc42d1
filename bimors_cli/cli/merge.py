"""`bimors merge`: the journals of all shards in, the layer out."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.parameters import Json
from bimors_cli.cli.run_command import run_with_progress
from bimors_cli.options.merge import MergeOptions

EXAMPLE = "Example: bimors merge out.gpkg out.gpkg.*-of-2.bimors-journal"


@command(MergeOptions)
def merge(options: MergeOptions, as_json: Json = False) -> None:
    """Write the layer of a run that was done in shards (classify --shard), as one run would have written it.

    Shards that are missing, unfinished or from different runs are refused. Labels, raster and provenance are those of
    the shards' command. The journals are deleted when the layer is complete; an interrupted merge continues when it is
    called again. Streams and exit codes are those of classify.
    """
    from bimors_cli.pipeline.merge import merge as run

    run_with_progress(run, options, as_json=as_json)
