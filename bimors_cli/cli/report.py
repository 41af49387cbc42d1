"""`bimors report`: the result as one web page that needs no network."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say
from bimors_cli.options.view import ReportOptions

EXAMPLE = "Example: bimors report out.gpkg -o report.html"


@command(ReportOptions)
def report(options: ReportOptions) -> None:
    """Write an HTML page that shows a layer in a browser: map, tiles, classes, confidence and provenance.

    --caption-tile captions a tile of a layer that was made without captions, and shows the caption here too.

    For a sample that bimors sample drew it is a page to label the tiles, and to save the answers for bimors evaluate.
    """
    from bimors_cli.evaluation.areas.sample_file import is_sample

    if is_sample(options.layer_file):
        from bimors_cli.evaluation.areas.label_sample import label_sample

        print(label_sample(options))
        return
    from bimors_cli.pipeline.tile_captions import report as write

    print(write(options, lambda tile_id, caption: say(f"{tile_id}: {caption or 'the captioner found no words'}")))
