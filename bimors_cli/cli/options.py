"""Every option that several commands have, and those of classify, once: the same name, help and place everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion

INPUT, OUTPUT, MODEL, TILES, RUN, CLUSTER = "Input", "Output", "Model", "Tiles", "Run", "Cluster"

Scenes = Annotated[list[str], typer.Argument(metavar="SCENE", help="Rasters that GDAL opens; globs are expanded.")]
Scene = Annotated[str, typer.Argument(metavar="SCENE", help="A raster that GDAL opens.")]
LabelsFile = Annotated[
    str,
    typer.Option(
        "-l",
        "--labels",
        metavar="FILE",
        help="Class names, one a line, synonyms behind bars: forest | woodland. - reads them from standard input.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Where the layer goes; - streams GeoJSONSeq, in WGS 84, to standard output. Default: SCENE's name with "
        ".gpkg, here.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        rich_help_panel=OUTPUT,
        autocompletion=completion.formats,
        help="GPKG, FlatGeobuf, Parquet, GeoJSON or GeoJSONSeq; else by the suffix: .gpkg, .fgb, .parquet, .geojson, "
        ".geojsonl, .geojsons.",
    ),
]
RecordSeparators = Annotated[
    bool,
    typer.Option("--rs", rich_help_panel=OUTPUT, help="Begin each line of GeoJSONSeq with the separator of RFC 8142."),
]
Append = Annotated[
    bool,
    typer.Option(
        "--append", rich_help_panel=OUTPUT, help="Add the layer to the GeoPackage that is there; name it with --layer."
    ),
]
LabelRaster = Annotated[
    str | None,
    typer.Option(
        "--raster",
        metavar="FILE.tif",
        rich_help_panel=OUTPUT,
        help="Write a GeoTIFF as well: band 1 the label's number from 1, in its colour; band 2 the confidence.",
    ),
]
RasterRes = Annotated[
    str,
    typer.Option(
        "--raster-res",
        rich_help_panel=OUTPUT,
        autocompletion=completion.raster_pixels,
        help="Its pixels: tile, one a tile (with --overlap: one a step, around the tile's middle), or scene, as those "
        "of the scene.",
    ),
]
GivenOutput = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Where the layer goes; - streams GeoJSONSeq, in WGS 84, to standard output.",
    ),
]
KeepFeatures = Annotated[
    bool,
    typer.Option(
        "--keep-features",
        rich_help_panel=OUTPUT,
        help="Keep each tile's image feature in the GeoPackage, to find tiles by a text later: bimors search.",
    ),
]
Layer = Annotated[str, typer.Option("--layer", rich_help_panel=OUTPUT, help="Name of the layer.")]
DstCrs = Annotated[
    str | None,
    typer.Option("--dst-crs", metavar="CRS", rich_help_panel=OUTPUT, help="CRS of the layer; else the scene's."),
]
TopK = Annotated[
    int, typer.Option("--top-k", metavar="N", rich_help_panel=OUTPUT, help="How many labels a row names, best first.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", rich_help_panel=OUTPUT, help="Add a column p_LABEL for every label.")
]
KeepEmpty = Annotated[
    bool,
    typer.Option("--keep-empty", rich_help_panel=OUTPUT, help="Keep tiles without data or outside the AOI as rows."),
]
MinConfidence = Annotated[
    float,
    typer.Option(
        "--min-confidence", metavar="P", rich_help_panel=OUTPUT, help="Below it a tile gets no label (0 to 1)."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        rich_help_panel=MODEL,
        autocompletion=completion.bundles,
        help="The bundle: a name, or a folder.",
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="DIR",
        rich_help_panel=MODEL,
        autocompletion=completion.adapters,
        help="A trained adapter; else the bundle's own.",
    ),
]
Head = Annotated[
    str,
    typer.Option(
        "--head",
        rich_help_panel=MODEL,
        autocompletion=completion.heads,
        help="auto: the adapter's own; zero-shot: plain CLIP, no adapter.",
    ),
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        rich_help_panel=MODEL,
        help='For --head zero-shot: what a label is read in, with {} for it: "an aerial photo of a {}.". Repeat it to '
        "average several. Default: the bundle's own.",
    ),
]
Refine = Annotated[
    str | None,
    typer.Option(
        "--refine",
        metavar="HOW",
        rich_help_panel=MODEL,
        autocompletion=completion.refinements,
        help="Let all tiles of the run settle their labels together: transductive, by what looks alike, or spatial, by "
        "their neighbours on the map as well.",
    ),
]
Vote = Annotated[
    bool,
    typer.Option(
        "--vote",
        rich_help_panel=TILES,
        help="With --overlap: average overlapping tiles, for a map as fine as the step from one tile to the next.",
    ),
]
Captions = Annotated[
    bool,
    typer.Option(
        "--captions/--no-captions", rich_help_panel=MODEL, help="Describe tiles, or go by the picture alone: faster."
    ),
]
CaptionCache = Annotated[
    bool,
    typer.Option(
        "--caption-cache/--no-caption-cache",
        rich_help_panel=MODEL,
        help="Take captions of the same pixels from earlier runs, and keep new ones: bimors cache info.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        rich_help_panel=MODEL,
        autocompletion=completion.devices,
        help="auto, cpu, cuda, cuda:N or mps. classify and caption take several, which share the tiles: cuda:0,1,2,3.",
        envvar="BIMORS_DEVICE",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        rich_help_panel=CLUSTER,
        autocompletion=completion.engines,
        help="local: this machine; ray: the workers of a Ray cluster. The rows are the same.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        rich_help_panel=CLUSTER,
        help="Of a cluster that runs: auto, or HOST:PORT. Default: one is started on this machine.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        rich_help_panel=CLUSTER,
        help="Of Ray; each loads the model. Default: one a GPU, else one a machine.",
    ),
]
Blocks = Annotated[
    str | None,
    typer.Option(
        "--blocks",
        metavar="DIR|URL",
        rich_help_panel=CLUSTER,
        help="Where Ray's workers write what they finish, until the layer holds it: s3://bucket/run. Default: beside "
        "the output, which all machines must see.",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", rich_help_panel=MODEL, help="Tiles at a time.")
]
TileSize = Annotated[
    str,
    typer.Option("--tile-size", metavar="SIZE", rich_help_panel=TILES, help="Side of a tile: pixels, or 500m, 2km."),
]
Overlap = Annotated[
    str,
    typer.Option("--overlap", metavar="SIZE", rich_help_panel=TILES, help="Of neighbouring tiles: pixels, 25%, 50m."),
]
Bidx = Annotated[
    list[str] | None,
    typer.Option(
        "-b",
        "--bidx",
        "--band",
        metavar="N",
        rich_help_panel=INPUT,
        help="Bands for red, green, blue, from 1: -b 4,3,2. Default: by colour interpretation, else the first three.",
    ),
]
StretchOption = Annotated[
    str,
    typer.Option(
        "--stretch",
        rich_help_panel=INPUT,
        autocompletion=completion.stretches,
        help="Pixel values to brightness, once a scene: auto, none, MIN,MAX or percentiles as p2,p98.",
    ),
]
Nodata = Annotated[
    str | None,
    typer.Option(
        "--nodata", metavar="VALUE", rich_help_panel=INPUT, help="Instead of the scene's own: number, nan, none."
    ),
]
MinValid = Annotated[
    float,
    typer.Option("--min-valid", metavar="SHARE", rich_help_panel=TILES, help="Of a tile's pixels; below: nodata."),
]
Aoi = Annotated[
    str | None,
    typer.Option("--aoi", metavar="FILE[:LAYER]", rich_help_panel=TILES, help="Only tiles in these polygons."),
]
AoiRule = Annotated[
    str,
    typer.Option(
        "--aoi-rule",
        rich_help_panel=TILES,
        autocompletion=completion.aoi_rules,
        help="A tile counts by its centre, by any part, or within.",
    ),
]
AssumeCrs = Annotated[
    str | None,
    typer.Option("--assume-crs", metavar="CRS", rich_help_panel=INPUT, help="For a scene that has no CRS: EPSG:32633."),
]
AllowDriver = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-driver",
        metavar="NAME",
        rich_help_panel=INPUT,
        help="Also open scenes of this GDAL driver, which may read other files and addresses. Repeat it for several.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=RUN, help="Replace an output that is there, or start anew.")
]
Resume = Annotated[
    bool, typer.Option("--resume", rich_help_panel=RUN, help="Go on with a run that was killed or left tiles unread.")
]
ShardOfRun = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        rich_help_panel=RUN,
        envvar="BIMORS_SHARD",
        help="Look at the K-th of N parts of the tiles only, into a journal beside the output: bimors merge.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", rich_help_panel=RUN, help="Show grid, tile count and estimates; write nothing."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", rich_help_panel=RUN, envvar="BIMORS_OFFLINE", help="Refuse every network connection."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=RUN, help="Errors only.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, rich_help_panel=RUN, help="More detail; -vv shows tracebacks.")
]
EXAMPLES, TRAINING = "Examples", "Training"
MinOverlap = Annotated[
    float,
    typer.Option(
        "--min-overlap", metavar="SHARE", rich_help_panel=EXAMPLES, help="Of a tile that its class must cover."
    ),
]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", rich_help_panel=TRAINING, help="Rounds of training.")]
TrainingBatch = Annotated[
    int, typer.Option("--batch-size", metavar="N", rich_help_panel=TRAINING, help="Examples at a time.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]
PngOutput = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="The picture, a PNG.")]
HtmlOutput = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="The page, an HTML file.")]
LayerFile = Annotated[Path, typer.Argument(metavar="LAYER", help="A GeoPackage that bimors classify wrote.")]
SceneOfLayer = Annotated[
    str | None, typer.Option("--scene", metavar="SCENE", help="Which scene of the layer, or where it is now.")
]
ShownLayer = Annotated[str | None, typer.Option("--layer", metavar="NAME", help="Of a GeoPackage with several layers.")]
