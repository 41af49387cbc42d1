"""`bimors restore`: a layer from a copy that QGIS exported."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say
from bimors_cli.options.restore import RestoreOptions

EXAMPLE = "Example: bimors restore copy.geojson --original out.gpkg -o restored.gpkg"


@command(RestoreOptions)
def restore(options: RestoreOptions) -> None:
    """Give a copy that QGIS or another program exported the record of its run again, which an export loses.

    The output is the original with the tiles that the copy has and with what was edited in the copy: the columns label,
    checked, weight, accept, reference and note. All commands read it. Tiles are found by tile_id, by scene, row and
    col, or by their places, in any CRS. Features that were merged or moved are skipped and counted, and a copy of
    another run is refused.
    """
    from bimors_cli.results.restore import restore as run

    summary = run(options)
    edited = ", ".join(f"{count:,} of {column}" for column, count in summary.changed.items() if count) or "none"
    say(f"{summary.tiles:,} tiles in layer {summary.layer}; values that differ from the original: {edited}")
    if summary.reunited:
        say(f"{summary.reunited:,} tiles were in several features with equal values")
    if summary.deleted:
        say(f"{summary.deleted:,} tiles of the original are not in the copy, and were left out")
    print(summary.path)
