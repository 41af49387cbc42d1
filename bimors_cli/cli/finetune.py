"""`bimors finetune`: a few examples in, an adapter out."""

from __future__ import annotations

from typing import Annotated

import typer

from bimors_cli.cli import completion, options
from bimors_cli.cli.classify import expand, labels_from, refuse_remote, stay_off_the_network
from bimors_cli.cli.console import TrainingProgress, duration, say, set_verbosity
from bimors_cli.cli.signals import graceful_stop

EXAMPLE = "Example: bimors finetune scene.tif --polygons train.gpkg --field class -o coast"

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A folder of classes, a split file (.json), a layer that classify wrote and you corrected, or scenes.",
    ),
]
AdapterOutput = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        rich_help_panel=options.OUTPUT,
        help="The adapter's folder. Default: adapters/NAME OF THE SOURCE, here.",
    ),
]
Shots = Annotated[
    int, typer.Option("--shots", metavar="K", rich_help_panel=options.EXAMPLES, help="Examples a class; 0 takes all.")
]
LearnedLabels = Annotated[
    str | None,
    typer.Option(
        "-l",
        "--labels",
        metavar="FILE",
        rich_help_panel=options.EXAMPLES,
        help="Only these classes of the source, one a line. Default: all of them.",
    ),
]
Polygons = Annotated[
    str | None,
    typer.Option(
        "--polygons",
        metavar="FILE[:LAYER]",
        rich_help_panel=options.EXAMPLES,
        help="Polygons, lines or points that say what the scenes show.",
    ),
]
Field = Annotated[
    str | None,
    typer.Option("--field", metavar="NAME", rich_help_panel=options.EXAMPLES, help="Their field of the class."),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background",
        metavar="NAME",
        rich_help_panel=options.EXAMPLES,
        help="Class of the tiles that no feature reaches.",
    ),
]
SourceLayer = Annotated[
    str | None,
    typer.Option(
        "--layer", metavar="NAME", rich_help_panel=options.EXAMPLES, help="Of a corrected file with several layers."
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        "--images", metavar="DIR", rich_help_panel=options.EXAMPLES, help="Of a split file; else images/ beside it."
    ),
]
TrainedHead = Annotated[
    str,
    typer.Option(
        "--head",
        rich_help_panel=options.MODEL,
        autocompletion=completion.trained_heads,
        help="What is trained: bimors, coop, cocoop, cache or linear.",
    ),
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", rich_help_panel=options.MODEL, help="Let the examples themselves vote as well."),
]
FreezeCaptionProjection = Annotated[
    bool,
    typer.Option(
        "--freeze-caption-projection",
        rich_help_panel=options.TRAINING,
        help="Leave the caption projection as it begins, at random, as the published code does.",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--lr", metavar="RATE", rich_help_panel=options.TRAINING, help="Highest learning rate; else the head's own."
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", rich_help_panel=options.TRAINING, help="Of the draw, the crops, the training."),
]


def finetune(
    sources: Sources,
    output: AdapterOutput = None,
    shots: Shots = 16,
    labels: LearnedLabels = None,
    polygons: Polygons = None,
    field: Field = None,
    min_overlap: options.MinOverlap = 0.5,
    background: Background = None,
    layer: SourceLayer = None,
    images: Images = None,
    tile_size: options.TileSize = "224",
    overlap: options.Overlap = "0",
    min_valid: options.MinValid = 0.5,
    bidx: options.Bidx = None,
    stretch: options.StretchOption = "auto",
    nodata: options.Nodata = None,
    assume_crs: options.AssumeCrs = None,
    allow_driver: options.AllowDriver = None,
    model: options.Model = "mini",
    head: TrainedHead = "bimors",
    cache: Cache = False,
    captions: options.Captions = True,
    caption_cache: options.CaptionCache = True,
    freeze_caption_projection: FreezeCaptionProjection = False,
    epochs: options.Epochs = 10,
    lr: LearningRate = None,
    batch_size: options.TrainingBatch = 4,
    seed: Seed = 1,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train an adapter from a folder of classes, from features drawn on a scene, or from a corrected layer.

    Writes the adapter's folder, and its path to standard output, everything else to standard error. Ends with 0 when
    done, 2 for unusable input, 130 or 143 when it was interrupted (go on with --resume).
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    paths = expand(sources)
    if offline:
        refuse_remote(paths)

    from bimors_cli.scene.bands import parse_bidx
    from bimors_cli.training.options import FinetuneOptions

    chosen = FinetuneOptions(
        sources=paths,
        labels=None if labels is None else labels_from(labels),
        polygons=polygons,
        field=field,
        layer=layer,
        images=images,
        min_overlap=min_overlap,
        background=background,
        output=output,
        shots=shots,
        tile_size=tile_size,
        overlap=overlap,
        min_valid=min_valid,
        bidx=parse_bidx(bidx or []) or (),
        stretch=stretch,
        nodata=nodata,
        assume_crs=assume_crs,
        allow_drivers=tuple(allow_driver or ()),
        model=model,
        head=head,
        cache=cache,
        captions=captions,
        caption_cache=caption_cache,
        freeze_caption_projection=freeze_caption_projection,
        epochs=epochs,
        rate=lr,
        batch_size=batch_size,
        seed=seed,
        device=device,
        overwrite=overwrite,
        resume=resume,
    )

    from bimors_cli.training.run import finetune as run

    with graceful_stop() as stop, TrainingProgress() as progress:
        summary = run(chosen, progress=progress, stop=stop)
    for line in summary.lines(duration):
        say(line)
    print(summary.output)
