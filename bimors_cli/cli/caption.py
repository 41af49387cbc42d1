"""`bimors caption`: a caption of each tile."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.json_output import refuse_rows_and_json
from bimors_cli.cli.parameters import Json
from bimors_cli.cli.run_command import run_with_progress
from bimors_cli.options.inference import CaptionOptions

EXAMPLE = "Example: bimors caption scene.tif --tile-size 200m -o captions.gpkg"


@command(CaptionOptions)
def caption(options: CaptionOptions, as_json: Json = False) -> None:
    """Caption every tile of a scene, without labels, and write a layer with the captions.

    The captions are those of classify and are stored in the same cache, so that a later classify reuses them. Streams
    and exit codes are those of classify.
    """
    from bimors_cli.pipeline.caption import caption as run

    refuse_rows_and_json(options.output, as_json)
    run_with_progress(run, options, as_json=as_json)
