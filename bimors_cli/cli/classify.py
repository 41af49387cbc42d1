"""`bimors classify`: a scene in, a coloured layer out."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path

from bimors_cli.cli import options
from bimors_cli.cli.console import duration, log, say, set_verbosity
from bimors_cli.cli.run_command import run_with_progress
from bimors_cli.errors import InputError
from bimors_cli.labels import Labels, parse_labels, read_labels

EXAMPLE = "Example: bimors classify scene.tif --labels labels.txt --tile-size 200m -o out.gpkg"


def classify(
    scenes: options.Scenes,
    labels: options.LabelsFile,
    output: options.Output = None,
    format: options.Format = None,
    rs: options.RecordSeparators = False,
    layer: options.Layer = "tiles",
    append: options.Append = False,
    raster: options.LabelRaster = None,
    raster_res: options.RasterRes = "tile",
    dst_crs: options.DstCrs = None,
    min_confidence: options.MinConfidence = 0.0,
    top_k: options.TopK = 2,
    probabilities: options.Probabilities = False,
    keep_empty: options.KeepEmpty = False,
    keep_features: options.KeepFeatures = False,
    tile_size: options.TileSize = "224",
    overlap: options.Overlap = "0",
    min_valid: options.MinValid = 0.5,
    aoi: options.Aoi = None,
    aoi_rule: options.AoiRule = "centre",
    bidx: options.Bidx = None,
    stretch: options.StretchOption = "auto",
    nodata: options.Nodata = None,
    assume_crs: options.AssumeCrs = None,
    allow_driver: options.AllowDriver = None,
    model: options.Model = "mini",
    adapter: options.Adapter = None,
    head: options.Head = "auto",
    template: options.Template = None,
    refine: options.Refine = None,
    vote: options.Vote = False,
    captions: options.Captions = True,
    caption_cache: options.CaptionCache = True,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    shard: options.ShardOfRun = None,
    engine: options.Engine = "local",
    ray_address: options.RayAddress = None,
    workers: options.Workers = None,
    blocks: options.Blocks = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Label every tile of a scene, and write a layer that opens coloured in QGIS.

    Writes the path of the layer to standard output, everything else to standard error. Ends with 0 when done, 2 for
    unusable input, 3 when some tiles could not be read, 130 or 143 when it was interrupted (go on with --resume).

    Into a pipe: bimors classify scene.tif -l labels.txt -o - | jq .properties.label

    Beside other layers: bimors classify scene.tif -l labels.txt -o out.gpkg --append --layer second

    All tiles together, on a finer map: bimors classify scene.tif -l labels.txt --refine spatial --overlap 50% --vote

    With a raster: bimors classify scene.tif -l labels.txt -o out.fgb --raster labels.tif

    In parts, which bimors merge puts together: bimors classify scene.tif -l labels.txt -o map.gpkg --shard 3/16
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    paths = expand(scenes)
    if offline:
        refuse_remote(paths)

    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.scene.bands import parse_bidx

    chosen = ClassifyOptions(
        scenes=paths,
        labels=labels_from(labels),
        output=output,
        format=format,
        rs=rs,
        layer=layer,
        append=append,
        raster=raster,
        raster_res=raster_res,
        model=model,
        adapter=adapter,
        head=head,
        templates=tuple(template or ()),
        refine=refine,
        vote=vote,
        captions=captions,
        caption_cache=caption_cache,
        tile_size=tile_size,
        overlap=overlap,
        bidx=parse_bidx(bidx or []) or (),
        stretch=stretch,
        nodata=nodata,
        min_valid=min_valid,
        aoi=aoi,
        aoi_rule=aoi_rule,
        assume_crs=assume_crs,
        allow_drivers=tuple(allow_driver or ()),
        dst_crs=dst_crs,
        min_confidence=min_confidence,
        top_k=top_k,
        probabilities=probabilities,
        keep_empty=keep_empty,
        keep_features=keep_features,
        batch_size=batch_size,
        device=device,
        shard=shard,
        engine=engine,
        ray_address=ray_address,
        workers=workers,
        blocks=blocks,
        overwrite=overwrite,
        resume=resume,
    )
    if dry_run:
        from bimors_cli.pipeline.dry_run import estimate

        for line in estimate(chosen).lines(duration):
            say(line)
        return

    from bimors_cli.pipeline.run import run

    run_with_progress(run, chosen)


def labels_from(name: str) -> Labels:
    """Read the labels file, or standard input for ``-``."""
    return parse_labels(sys.stdin.buffer.read(), "standard input") if name == "-" else read_labels(Path(name))


def expand(patterns: list[str]) -> tuple[str, ...]:
    """Expand globs that the shell left alone; every other name stays as it is, in order, once."""
    paths: list[str] = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not Path(pattern).exists() and "://" not in pattern:
            found = sorted(glob.glob(pattern, recursive=True))
            if not found:
                raise InputError(f"{pattern}: no file has such a name")
            paths += found
        else:
            paths.append(pattern)
    return tuple(dict.fromkeys(paths))


def refuse_remote(paths: tuple[str, ...]) -> None:
    """Raise InputError for a scene that is not on this machine."""
    from bimors_cli.scene.gdal import display_name, is_local
    from bimors_cli.scene.vrt import check_vrt_file

    for path in paths:
        if not is_local(path):
            raise InputError(f"--offline, but {display_name(path)} is not on this machine", "copy it here first")
        for source in check_vrt_file(path) if os.path.isfile(path) else ():
            raise InputError(f"--offline, but {path} names {display_name(source)}", "copy its sources here first")


def stay_off_the_network() -> None:
    """Keep the model libraries from asking their hubs; they read this when they are imported."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    log.debug("the model libraries work from local files only")
