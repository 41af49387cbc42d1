"""`bimors change`: what changed between two classified layers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say, show_table
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.change import ChangeOptions

if TYPE_CHECKING:
    from bimors_cli.results.change.summary import ChangeSummary

EXAMPLE = "Example: bimors change 2014.gpkg 2018.gpkg -o change.gpkg"

# A wider table does not fit a terminal: the largest transitions are listed instead.
_MOST_COLUMNS = 8
_MOST_ROWS = 20


@command(ChangeOptions)
def change(options: ChangeOptions, as_json: Json = False) -> None:
    """Find what changed between two layers of one place, classified with the same labels.

    Classify both scenes on one grid with the same options, and with --probabilities. The probability of change of a
    tile follows from both answers, from how often each label became each other on this map, and from how alike the
    errors of both answers are: two labels that differ do not prove a change. The layer opens coloured in QGIS.

    Areas that one can publish come from a sample: bimors sample change.gpkg --by stratum.
    """
    from bimors_cli.results.change.run import change as run

    summary = run(options, command=sys.argv)
    _show(summary)
    if as_json:
        print_json(summary.to_json())
    else:
        print(summary.path)


def _show(summary: ChangeSummary) -> None:
    false = {"change": summary.false_change, "no change": summary.false_no_change}
    show_table(
        f"Tiles compared, at most {summary.max_false:.0%} false",
        ("stratum", "tiles", "hectares", "expected to be false"),
        [
            (name, f"{tiles:,}", f"{summary.hectares[name]:,.1f}", f"{false[name]:.1%}" if name in false else "")
            for name, tiles in summary.tiles.items()
        ],
    )
    if len(summary.labels) <= _MOST_COLUMNS:
        show_table(
            "Expected area in hectares: labels before by row, labels after by column",
            ("", *summary.labels, "before"),
            [
                *(
                    (label, *(f"{value:,.1f}" for value in row), f"{row.sum():,.1f}")
                    for label, row in zip(summary.labels, summary.expected, strict=True)
                ),
                ("after", *(f"{v:,.1f}" for v in summary.expected.sum(axis=0)), f"{summary.expected.sum():,.1f}"),
            ],
        )
    else:
        listed = summary.transitions(summary.expected)[:_MOST_ROWS]
        rows = [(f"{before} to {after}", f"{area:,.1f}") for before, after, area in listed]
        show_table("Largest transitions", ("transition", "expected hectares"), rows)
    say(f"{summary.expected_change_ha:,.1f} ha are expected to have changed, if the probabilities hold on both scenes")
    if summary.not_compared:
        say(f"{summary.not_compared:,} tiles have no answer at one of the dates")
    say(f"for an area with an interval: bimors sample {summary.path} --by stratum")
