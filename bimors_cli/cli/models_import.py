"""`bimors models import`: a checkpoint of the published BiMoRS code becomes an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli.command import stay_off_the_network, typer_parameter
from bimors_cli.cli.console import say, set_verbosity
from bimors_cli.cli.parameters import Overwrite, Quiet, Verbose
from bimors_cli.options.common import LABELS, MODEL_NAME
from bimors_cli.options.parse import parse_labels_file
from bimors_cli.steps import LIBRARIES, step

EXAMPLE = "Example: bimors models import model-best.pth.tar --model bimors-b16 -l labels.txt --official-seed 1 -o coast"

LabelsFile = Annotated[str, typer_parameter(LABELS)]
Model = Annotated[str, typer_parameter(MODEL_NAME)]
Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="prompt_learner/model.pth.tar-N or model-best.pth.tar.")
]
Target = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the adapter.")]
OfficialSeed = Annotated[
    int | None,
    typer.Option(
        "--official-seed",
        metavar="N",
        min=1,
        help="The --seed of the run that wrote the checkpoint. The caption projection follows from it.",
    ),
]


def import_(
    checkpoint: Checkpoint,
    labels: LabelsFile,
    output: Target,
    model: Model,
    official_seed: OfficialSeed = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Turn a checkpoint of the published BiMoRS code into an adapter.

    The labels are the classes that it was trained on, in the same order. Without --official-seed captions have no
    effect on the result. The path of the adapter is written to standard output.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    names = parse_labels_file(labels)

    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.manifest import CLIP, open_bundle
    from bimors_cli.bundle.needed_parts import need_part

    bundle = open_bundle(find_bundle(model))
    need_part(bundle, CLIP, "bimors models import")

    with step(LIBRARIES):
        from bimors_cli.pipeline.bundles.import_official import import_official

    adapter = import_official(checkpoint, bundle, names, output, seed=official_seed, overwrite=overwrite)
    say(f"caption projection: {adapter.training['caption projection']}")
    print(output)
