"""`bimors sample`: draw tiles of a map for reference labels."""

from __future__ import annotations

import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say, show_table
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.sample import DEFAULT_ACCURACY, SampleOptions

EXAMPLE = "Example: bimors sample out.gpkg --target-se 0.02 -o sample.gpkg"


@command(SampleOptions)
def sample(options: SampleOptions, as_json: Json = False) -> None:
    """Draw tiles of a layer by chance, to label them and to estimate accuracy and areas from them.

    Every tile with data has a known probability to be drawn. The layer does not show the labels of the map, so that
    they cannot bias whoever fills in the column reference. Tiles that were examples of the adapter are not drawn.
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
    if summary.drawn != summary.wanted:
        cause = f"--min-distance {options.min_distance:g}" if options.min_distance else "the random start of the grid"
        say(f"{summary.wanted:,} tiles were wanted; {cause} gives {summary.drawn:,}")
    if summary.examples:
        say(f"{summary.examples:,} tiles share ground with examples of the adapter and are not in the sample")
    if options.exclude is not None:
        say(f"{summary.excluded:,} tiles are excluded by {options.exclude}")
    say(f"expected standard error of the overall accuracy: {summary.expected_se:.3f}, {_expectation(options)}")
    say(f"fill in the column reference in QGIS, then: bimors evaluate {summary.path}")
    if as_json:
        print_json(summary.to_json())
        return
    for path in options.outputs:
        print(path)


def _expectation(options: SampleOptions) -> str:
    given = dict(options.expect)
    named = [f"{name} {value:g}" for name, value in given.items() if name]
    rest = f"{given.get('', DEFAULT_ACCURACY):g}"
    return "if the user's accuracies are " + ", ".join([*named, f"others {rest}" if named else rest])
