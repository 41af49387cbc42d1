"""`bimors finetune`: a few examples in, an adapter out."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.console import TrainingProgress, duration, say
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.cli.signals import graceful_stop
from bimors_cli.training.options import FinetuneOptions

EXAMPLE = "Example: bimors finetune scene.tif --polygons train.gpkg --field class -o coast"


@command(FinetuneOptions)
def finetune(options: FinetuneOptions, as_json: Json = False) -> None:
    """Train an adapter from a folder of classes, from vector features or a label raster on a scene, from a corrected
    layer, or from the accepted and rejected tiles of a search.

    The path of the adapter's folder is written to standard output, everything else to standard error. Exit codes: 0
    done, 2 unusable input, 130 or 143 interrupted (continue with --resume).
    """
    from bimors_cli.training.finetune import finetune as run

    with graceful_stop() as stop, TrainingProgress() as progress:
        summary = run(options, progress=progress, stop=stop)
    for line in summary.lines(duration):
        say(line)
    if as_json:
        print_json(summary.to_json())
    else:
        print(summary.output)
