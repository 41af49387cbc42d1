"""`bimors finetune`: a few examples in, an adapter out."""

from __future__ import annotations

from bimors_cli.cli import options
from bimors_cli.cli.classify import expand, labels_from, refuse_remote, stay_off_the_network
from bimors_cli.cli.console import TrainingProgress, duration, say, set_verbosity
from bimors_cli.cli.signals import graceful_stop

EXAMPLE = "Example: bimors finetune scene.tif --polygons train.gpkg --field class -o coast"


def finetune(
    sources: options.Sources,
    output: options.AdapterOutput = None,
    shots: options.Shots = 16,
    labels: options.LearnedLabels = None,
    polygons: options.Polygons = None,
    field: options.Field = None,
    min_overlap: options.MinOverlap = 0.5,
    background: options.Background = None,
    layer: options.SourceLayer = None,
    images: options.Images = None,
    tile_size: options.TileSize = "224",
    overlap: options.Overlap = "0",
    min_valid: options.MinValid = 0.5,
    bidx: options.Bidx = None,
    stretch: options.StretchOption = "auto",
    nodata: options.Nodata = None,
    assume_crs: options.AssumeCrs = None,
    allow_driver: options.AllowDriver = None,
    model: options.Model = "mini",
    head: options.TrainedHead = "bimors",
    cache: options.Cache = False,
    captions: options.Captions = True,
    caption_cache: options.CaptionCache = True,
    freeze_caption_projection: options.FreezeCaptionProjection = False,
    epochs: options.Epochs = 10,
    lr: options.LearningRate = None,
    batch_size: options.TrainingBatch = 4,
    seed: options.Seed = 1,
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
