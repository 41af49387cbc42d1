"""`bimors classify`: a scene in, a coloured layer out."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.console import duration, say
from bimors_cli.cli.json_output import refuse_rows_and_json
from bimors_cli.cli.parameters import DryRun, Json
from bimors_cli.cli.run_command import run_with_progress
from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions

EXAMPLE = "Example: bimors classify scene.tif --labels labels.txt --tile-size 200m -o out.gpkg"


@command(ClassifyOptions)
def classify(options: ClassifyOptions, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Label every tile of a scene, and write a layer that opens coloured in QGIS.

    The path of the layer is written to standard output, everything else to standard error. Exit codes: 0 done, 2
    unusable input, 3 some tiles could not be read, 130 or 143 interrupted (continue with --resume).

    Pipe: bimors classify scene.tif -l labels.txt -o - | jq .properties.label

    Add a layer to a file: bimors classify scene.tif -l labels.txt -o out.gpkg --append --layer second

    Refine all tiles together, on a finer grid: bimors classify scene.tif -l labels.txt --refine spatial --overlap 50%
    --vote

    Write a raster too: bimors classify scene.tif -l labels.txt -o out.fgb --raster labels.tif

    Run in parts, joined by bimors merge: bimors classify scene.tif -l labels.txt -o map.gpkg --shard 3/16
    """
    if dry_run:
        if as_json:
            raise InputError("--json has no effect with --dry-run", "use one of them")
        from bimors_cli.pipeline.dry_run import estimate

        for line in estimate(options).lines(duration):
            say(line)
        return

    from bimors_cli.pipeline.run import run

    refuse_rows_and_json(options.output, as_json)
    run_with_progress(run, options, as_json=as_json)
