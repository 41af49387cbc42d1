"""`bimors report`: the result as one web page that needs no network."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.options.view import ReportOptions

EXAMPLE = "Example: bimors report out.gpkg -o report.html"


@command(ReportOptions)
def report(options: ReportOptions) -> None:
    """Write an HTML page that shows a layer in a browser: map, tiles, classes, confidence and provenance.

    For a sample that bimors sample drew it is a page to label the tiles, and to save the answers for bimors evaluate.
    """
    from bimors_cli.evaluation.areas.sample_file import is_sample

    if is_sample(options.layer_file):
        from bimors_cli.evaluation.areas.label_sample import label_sample

        print(label_sample(options))
        return
    from bimors_cli.results.report import report as write

    print(write(options))
