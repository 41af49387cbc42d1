"""`bimors models import`: a checkpoint of the published BiMoRS code becomes an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import options
from bimors_cli.cli.classify import labels_from, stay_off_the_network
from bimors_cli.cli.console import say, set_verbosity

EXAMPLE = "Example: bimors models import model-best.pth.tar --model bimors-b16 -l labels.txt --official-seed 1 -o coast"

Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="prompt_learner/model.pth.tar-N or model-best.pth.tar.")
]
Target = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The adapter's folder.")]
OfficialSeed = Annotated[
    int | None,
    typer.Option(
        "--official-seed",
        metavar="N",
        min=1,
        help="The --seed of the run that wrote it: the caption projection, which is not saved, follows from it.",
    ),
]


def import_(
    checkpoint: Checkpoint,
    labels: options.LabelsFile,
    output: Target,
    model: options.Model,
    official_seed: OfficialSeed = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Turn a checkpoint of the published BiMoRS code into an adapter.

    The labels are the classes of its training, in their order. Without --official-seed captions have no part in the
    answer. Writes the adapter's path to standard output.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    names = labels_from(labels)

    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.manifest import open_bundle
    from bimors_cli.pipeline.bundles.import_official import import_official

    bundle = open_bundle(find_bundle(model))
    adapter = import_official(checkpoint, bundle, names, output, seed=official_seed, overwrite=overwrite)
    say(f"caption projection: {adapter.training['caption projection']}")
    print(output)
