"""`bimors caption`: what each tile shows, in a sentence."""

from __future__ import annotations

from bimors_cli.cli import options
from bimors_cli.cli.classify import expand, refuse_remote, stay_off_the_network
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.run_command import run_with_progress

EXAMPLE = "Example: bimors caption scene.tif --tile-size 200m -o captions.gpkg"


def caption(
    scenes: options.Scenes,
    output: options.GivenOutput,
    format: options.Format = None,
    rs: options.RecordSeparators = False,
    layer: options.Layer = "captions",
    append: options.Append = False,
    dst_crs: options.DstCrs = None,
    keep_empty: options.KeepEmpty = False,
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
    caption_cache: options.CaptionCache = True,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    engine: options.Engine = "local",
    ray_address: options.RayAddress = None,
    workers: options.Workers = None,
    blocks: options.Blocks = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Describe every tile of a scene, without labels, and write a layer with the sentences.

    The sentences are those of classify, and go into the same cache: a later classify does not ask for them again.
    Streams and exit codes are those of classify.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    paths = expand(scenes)
    if offline:
        refuse_remote(paths)

    from bimors_cli.options.classify import InferenceOptions
    from bimors_cli.pipeline.caption import caption as run
    from bimors_cli.scene.bands import parse_bidx

    chosen = InferenceOptions(
        scenes=paths,
        output=output,
        format=format,
        rs=rs,
        layer=layer,
        append=append,
        dst_crs=dst_crs,
        keep_empty=keep_empty,
        tile_size=tile_size,
        overlap=overlap,
        min_valid=min_valid,
        aoi=aoi,
        aoi_rule=aoi_rule,
        bidx=parse_bidx(bidx or []) or (),
        stretch=stretch,
        nodata=nodata,
        assume_crs=assume_crs,
        allow_drivers=tuple(allow_driver or ()),
        model=model,
        caption_cache=caption_cache,
        device=device,
        engine=engine,
        ray_address=ray_address,
        workers=workers,
        blocks=blocks,
        batch_size=batch_size,
        overwrite=overwrite,
        resume=resume,
    )
    run_with_progress(run, chosen)
