"""`bimors report`: the result as one web page that needs no network."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.options.view import ReportOptions

EXAMPLE = "Example: bimors report out.gpkg -o report.html"


@command(ReportOptions)
def report(options: ReportOptions) -> None:
    """Write an HTML page that shows a layer in a browser: map, tiles, classes, confidence and provenance."""
    from bimors_cli.results.report import report as write

    print(write(options))
