"""`bimors sample`: draw tiles of a map for reference labels."""

from __future__ import annotations

import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say, show_table
from bimors_cli.options.sample import SampleOptions

EXAMPLE = "Example: bimors sample out.gpkg --target-se 0.02 -o sample.gpkg"


@command(SampleOptions)
def sample(options: SampleOptions) -> None:
    """Draw tiles of a layer by chance, to label them and to estimate accuracy and areas from them.

    Every tile with data has a known probability to be drawn. The layer does not show the labels of the map, so that
    they cannot bias whoever fills in the column reference. Tiles that trained an adapter should not be drawn: give the
    training polygons with --exclude.
    """
    from bimors_cli.evaluation.areas.sample import sample as run

    summary = run(options, command=sys.argv)
    show_table(
        f"{summary.drawn:,} tiles drawn",
        ("stratum", "tiles", "hectares", "drawn", "inclusion probability"),
        [
            (one.name, f"{one.tiles:,}", f"{one.hectares:,.1f}", f"{one.drawn:,}", f"{one.inclusion_probability:.4f}")
            for one in summary.design.strata
        ],
    )
    if summary.drawn < summary.wanted:
        say(f"--min-distance left {summary.drawn:,} of {summary.wanted:,} tiles")
    if options.exclude is not None:
        say(f"{summary.design.excluded:,} tiles excluded by {options.exclude}")
    elif summary.adapter:
        say("the layer does not record which tiles were examples of the adapter: exclude them with --exclude FILE")
    say(f"fill in the column reference in QGIS, then: bimors evaluate {summary.path}")
    print(summary.path)
