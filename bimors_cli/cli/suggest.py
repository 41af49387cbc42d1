"""`bimors suggest`: which tiles of a layer to label next."""

from __future__ import annotations

import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say, show_table
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.suggest import SuggestOptions

EXAMPLE = "Example: bimors suggest out.gpkg -n 20 --examples train.gpkg -o suggestions.gpkg"


@command(SuggestOptions)
def suggest(options: SuggestOptions, as_json: Json = False) -> None:
    """Suggest the tiles of a layer whose labels would teach most, in a layer to correct in QGIS.

    The layer must be written with classify --keep-features. Those tiles are chosen that are like many tiles of the map
    and unlike the examples and each other. In QGIS set the right label of each tile and tick checked, then learn from
    the earlier examples and these together: bimors finetune scene.tif --polygons train.gpkg --field class --corrected
    suggestions.gpkg --shots 0.
    """
    from bimors_cli.output.style import NO_LABEL_NAME
    from bimors_cli.results.suggest import suggest as run

    summary = run(options, command=sys.argv)
    show_table(
        f"{len(summary.suggestions):,} of {summary.left:,} tiles suggested",
        ("label on the map", "tiles"),
        [(label or f"({NO_LABEL_NAME})", f"{count:,}") for label, count in summary.labels.items()],
    )
    if len(summary.suggestions) < summary.wanted:
        why = "no other is left" if len(summary.suggestions) == summary.left else "--min-distance allows no more"
        say(f"{len(summary.suggestions):,} of {summary.wanted:,} tiles that were asked for: {why}")
    if summary.corrected:
        say(f"{summary.corrected:,} tiles that are corrected or checked in the layer were left out")
    if summary.examples:
        say(f"{summary.examples:,} tiles under examples were left out")
    if options.exclude:
        say(f"{summary.excluded:,} tiles under --exclude were left out")
    say("set labels and tick checked in QGIS, then: bimors finetune ... --corrected " + str(summary.path))
    if as_json:
        print_json(summary.to_json())
    else:
        print(summary.path)
