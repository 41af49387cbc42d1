"""Every option that a command may have, once: the same name, help and place everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion

_INPUT, _OUTPUT, _MODEL, _TILES, _RUN, _CLUSTER = "Input", "Output", "Model", "Tiles", "Run", "Cluster"

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
        rich_help_panel=_OUTPUT,
        help="Where the layer goes; - streams GeoJSONSeq, in WGS 84, to standard output. Default: SCENE's name with "
        ".gpkg, here.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        rich_help_panel=_OUTPUT,
        autocompletion=completion.formats,
        help="GPKG, FlatGeobuf, Parquet, GeoJSON or GeoJSONSeq; else by the suffix: .gpkg, .fgb, .parquet, .geojson, "
        ".geojsonl, .geojsons.",
    ),
]
RecordSeparators = Annotated[
    bool,
    typer.Option("--rs", rich_help_panel=_OUTPUT, help="Begin each line of GeoJSONSeq with the separator of RFC 8142."),
]
Append = Annotated[
    bool,
    typer.Option(
        "--append", rich_help_panel=_OUTPUT, help="Add the layer to the GeoPackage that is there; name it with --layer."
    ),
]
LabelRaster = Annotated[
    str | None,
    typer.Option(
        "--raster",
        metavar="FILE.tif",
        rich_help_panel=_OUTPUT,
        help="Write a GeoTIFF as well: band 1 the label's number from 1, in its colour; band 2 the confidence.",
    ),
]
RasterRes = Annotated[
    str,
    typer.Option(
        "--raster-res",
        rich_help_panel=_OUTPUT,
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
        rich_help_panel=_OUTPUT,
        help="Where the layer goes; - streams GeoJSONSeq, in WGS 84, to standard output.",
    ),
]
KeepFeatures = Annotated[
    bool,
    typer.Option(
        "--keep-features",
        rich_help_panel=_OUTPUT,
        help="Keep each tile's image feature in the GeoPackage, to find tiles by a text later: bimors search.",
    ),
]
Layer = Annotated[str, typer.Option("--layer", rich_help_panel=_OUTPUT, help="Name of the layer.")]
DstCrs = Annotated[
    str | None,
    typer.Option("--dst-crs", metavar="CRS", rich_help_panel=_OUTPUT, help="CRS of the layer; else the scene's."),
]
TopK = Annotated[
    int, typer.Option("--top-k", metavar="N", rich_help_panel=_OUTPUT, help="How many labels a row names, best first.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", rich_help_panel=_OUTPUT, help="Add a column p_LABEL for every label.")
]
KeepEmpty = Annotated[
    bool,
    typer.Option("--keep-empty", rich_help_panel=_OUTPUT, help="Keep tiles without data or outside the AOI as rows."),
]
MinConfidence = Annotated[
    float,
    typer.Option(
        "--min-confidence", metavar="P", rich_help_panel=_OUTPUT, help="Below it a tile gets no label (0 to 1)."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        rich_help_panel=_MODEL,
        autocompletion=completion.bundles,
        help="The bundle: a name, or a folder.",
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="DIR",
        rich_help_panel=_MODEL,
        autocompletion=completion.adapters,
        help="A trained adapter; else the bundle's own.",
    ),
]
Head = Annotated[
    str,
    typer.Option(
        "--head",
        rich_help_panel=_MODEL,
        autocompletion=completion.heads,
        help="auto: the adapter's own; zero-shot: plain CLIP, no adapter.",
    ),
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        rich_help_panel=_MODEL,
        help='For --head zero-shot: what a label is read in, with {} for it: "an aerial photo of a {}.". Repeat it to '
        "average several. Default: the bundle's own.",
    ),
]
Refine = Annotated[
    str | None,
    typer.Option(
        "--refine",
        metavar="HOW",
        rich_help_panel=_MODEL,
        autocompletion=completion.refinements,
        help="Let all tiles of the run settle their labels together: transductive, by what looks alike, or spatial, by "
        "their neighbours on the map as well.",
    ),
]
Vote = Annotated[
    bool,
    typer.Option(
        "--vote",
        rich_help_panel=_TILES,
        help="With --overlap: average overlapping tiles, for a map as fine as the step from one tile to the next.",
    ),
]
Captions = Annotated[
    bool,
    typer.Option(
        "--captions/--no-captions", rich_help_panel=_MODEL, help="Describe tiles, or go by the picture alone: faster."
    ),
]
CaptionCache = Annotated[
    bool,
    typer.Option(
        "--caption-cache/--no-caption-cache",
        rich_help_panel=_MODEL,
        help="Take captions of the same pixels from earlier runs, and keep new ones: bimors cache info.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        rich_help_panel=_MODEL,
        autocompletion=completion.devices,
        help="auto, cpu, cuda, cuda:N or mps. classify and caption take several, which share the tiles: cuda:0,1,2,3.",
        envvar="BIMORS_DEVICE",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        rich_help_panel=_CLUSTER,
        autocompletion=completion.engines,
        help="local: this machine; ray: the workers of a Ray cluster. The rows are the same.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        rich_help_panel=_CLUSTER,
        help="Of a cluster that runs: auto, or HOST:PORT. Default: one is started on this machine.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        rich_help_panel=_CLUSTER,
        help="Of Ray; each loads the model. Default: one a GPU, else one a machine.",
    ),
]
Blocks = Annotated[
    str | None,
    typer.Option(
        "--blocks",
        metavar="DIR|URL",
        rich_help_panel=_CLUSTER,
        help="Where Ray's workers write what they finish, until the layer holds it: s3://bucket/run. Default: beside "
        "the output, which all machines must see.",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", rich_help_panel=_MODEL, help="Tiles at a time.")
]
TileSize = Annotated[
    str,
    typer.Option("--tile-size", metavar="SIZE", rich_help_panel=_TILES, help="Side of a tile: pixels, or 500m, 2km."),
]
Overlap = Annotated[
    str,
    typer.Option("--overlap", metavar="SIZE", rich_help_panel=_TILES, help="Of neighbouring tiles: pixels, 25%, 50m."),
]
Bidx = Annotated[
    list[str] | None,
    typer.Option(
        "-b",
        "--bidx",
        "--band",
        metavar="N",
        rich_help_panel=_INPUT,
        help="Bands for red, green, blue, from 1: -b 4,3,2. Default: by colour interpretation, else the first three.",
    ),
]
StretchOption = Annotated[
    str,
    typer.Option(
        "--stretch",
        rich_help_panel=_INPUT,
        autocompletion=completion.stretches,
        help="Pixel values to brightness, once a scene: auto, none, MIN,MAX or percentiles as p2,p98.",
    ),
]
Nodata = Annotated[
    str | None,
    typer.Option(
        "--nodata", metavar="VALUE", rich_help_panel=_INPUT, help="Instead of the scene's own: number, nan, none."
    ),
]
MinValid = Annotated[
    float,
    typer.Option("--min-valid", metavar="SHARE", rich_help_panel=_TILES, help="Of a tile's pixels; below: nodata."),
]
Aoi = Annotated[
    str | None,
    typer.Option("--aoi", metavar="FILE[:LAYER]", rich_help_panel=_TILES, help="Only tiles in these polygons."),
]
AoiRule = Annotated[
    str,
    typer.Option(
        "--aoi-rule",
        rich_help_panel=_TILES,
        autocompletion=completion.aoi_rules,
        help="A tile counts by its centre, by any part, or within.",
    ),
]
AssumeCrs = Annotated[
    str | None,
    typer.Option(
        "--assume-crs", metavar="CRS", rich_help_panel=_INPUT, help="For a scene that has no CRS: EPSG:32633."
    ),
]
AllowDriver = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-driver",
        metavar="NAME",
        rich_help_panel=_INPUT,
        help="Also open scenes of this GDAL driver, which may read other files and addresses. Repeat it for several.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_RUN, help="Replace an output that is there, or start anew.")
]
Resume = Annotated[
    bool, typer.Option("--resume", rich_help_panel=_RUN, help="Go on with a run that was killed or left tiles unread.")
]
ShardOfRun = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        rich_help_panel=_RUN,
        envvar="BIMORS_SHARD",
        help="Look at the K-th of N parts of the tiles only, into a journal beside the output: bimors merge.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", rich_help_panel=_RUN, help="Show grid, tile count and estimates; write nothing."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", rich_help_panel=_RUN, envvar="BIMORS_OFFLINE", help="Refuse every network connection."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=_RUN, help="Errors only.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, rich_help_panel=_RUN, help="More detail; -vv shows tracebacks.")
]
_EXAMPLES, _TRAINING = "Examples", "Training"
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
        rich_help_panel=_OUTPUT,
        help="The adapter's folder. Default: adapters/NAME OF THE SOURCE, here.",
    ),
]
Shots = Annotated[
    int, typer.Option("--shots", metavar="K", rich_help_panel=_EXAMPLES, help="Examples a class; 0 takes all.")
]
LearnedLabels = Annotated[
    str | None,
    typer.Option(
        "-l",
        "--labels",
        metavar="FILE",
        rich_help_panel=_EXAMPLES,
        help="Only these classes of the source, one a line. Default: all of them.",
    ),
]
Polygons = Annotated[
    str | None,
    typer.Option(
        "--polygons",
        metavar="FILE[:LAYER]",
        rich_help_panel=_EXAMPLES,
        help="Polygons, lines or points that say what the scenes show.",
    ),
]
Field = Annotated[
    str | None, typer.Option("--field", metavar="NAME", rich_help_panel=_EXAMPLES, help="Their field of the class.")
]
MinOverlap = Annotated[
    float,
    typer.Option(
        "--min-overlap", metavar="SHARE", rich_help_panel=_EXAMPLES, help="Of a tile that its class must cover."
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background", metavar="NAME", rich_help_panel=_EXAMPLES, help="Class of the tiles that no feature reaches."
    ),
]
SourceLayer = Annotated[
    str | None,
    typer.Option("--layer", metavar="NAME", rich_help_panel=_EXAMPLES, help="Of a corrected file with several layers."),
]
Images = Annotated[
    str | None,
    typer.Option("--images", metavar="DIR", rich_help_panel=_EXAMPLES, help="Of a split file; else images/ beside it."),
]
TrainedHead = Annotated[
    str,
    typer.Option(
        "--head",
        rich_help_panel=_MODEL,
        autocompletion=completion.trained_heads,
        help="What is trained: bimors, coop, cocoop, cache or linear.",
    ),
]
Cache = Annotated[
    bool,
    typer.Option("--cache/--no-cache", rich_help_panel=_MODEL, help="Let the examples themselves vote as well."),
]
FreezeCaptionProjection = Annotated[
    bool,
    typer.Option(
        "--freeze-caption-projection",
        rich_help_panel=_TRAINING,
        help="Leave the caption projection as it begins, at random, as the published code does.",
    ),
]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", rich_help_panel=_TRAINING, help="Rounds of training.")]
LearningRate = Annotated[
    float | None,
    typer.Option("--lr", metavar="RATE", rich_help_panel=_TRAINING, help="Highest learning rate; else the head's own."),
]
TrainingBatch = Annotated[
    int, typer.Option("--batch-size", metavar="N", rich_help_panel=_TRAINING, help="Examples at a time.")
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", rich_help_panel=_TRAINING, help="Of the draw, the crops, the training.")
]
_COMPARISON, _MAP = "Heads on data sets", "A layer and a reference"
Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help="Folders of classes and split files (.json) to compare heads on; or one layer that classify wrote.",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAMES",
        rich_help_panel=_COMPARISON,
        autocompletion=completion.protocols,
        help="base-to-new, cross-dataset, domain-generalization or plain; several with commas.",
    ),
]
Heads = Annotated[
    str,
    typer.Option(
        "--heads",
        metavar="NAMES",
        rich_help_panel=_COMPARISON,
        autocompletion=completion.compared_heads,
        help="What is compared, with commas; bimors+cache, bimors:no-captions, bimors:tokens=8, bimors:transductive, "
        "zero-shot:one-template and the like as well.",
    ),
]
ShotsList = Annotated[
    str,
    typer.Option("--shots", metavar="K,…", rich_help_panel=_COMPARISON, help="Examples a class to learn from; 0: all."),
]
Seeds = Annotated[
    str,
    typer.Option("--seeds", metavar="N,…", rich_help_panel=_COMPARISON, help="Each head learns once for each."),
]
ImagesList = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        metavar="DIR",
        rich_help_panel=_COMPARISON,
        help="Pictures of a split file; else images/ beside it. Repeat it for several, in their order.",
    ),
]
Evidence = Annotated[
    str | None,
    typer.Option(
        "--evidence",
        metavar="DIR",
        rich_help_panel=_COMPARISON,
        help="Keep here what the models saw, captions and features, so that other runs need not look again.",
    ),
]
OfficialQuirks = Annotated[
    bool,
    typer.Option(
        "--official-quirks",
        rich_help_panel=_COMPARISON,
        help="Do as the published code: epoch chosen on test pictures, random frozen projection, float16.",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option("--reference", metavar="FILE", rich_help_panel=_MAP, help="Polygons or points with the true class."),
]
ReferenceField = Annotated[
    str | None, typer.Option("--field", metavar="NAME", rich_help_panel=_MAP, help="The field that holds the class.")
]
ReferenceLayer = Annotated[
    str | None,
    typer.Option("--reference-layer", metavar="NAME", rich_help_panel=_MAP, help="Of a reference with several layers."),
]
CheckedLayer = Annotated[
    str | None, typer.Option("--layer", metavar="NAME", rich_help_panel=_MAP, help="Of a file with several layers.")
]
ResultsOutput = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        rich_help_panel=_OUTPUT,
        help="The folder of the results. Default: results, here; of a layer, none.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]
PngOutput = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="The picture, a PNG.")]
HtmlOutput = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="The page, an HTML file.")]
LayerFile = Annotated[Path, typer.Argument(metavar="LAYER", help="A GeoPackage that bimors classify wrote.")]
SceneOfLayer = Annotated[
    str | None, typer.Option("--scene", metavar="SCENE", help="Which scene of the layer, or where it is now.")
]
ShownLayer = Annotated[str | None, typer.Option("--layer", metavar="NAME", help="Of a GeoPackage with several layers.")]
Query = Annotated[str, typer.Argument(metavar="TEXT", help="What the tiles should show, in a few words.")]
Top = Annotated[int, typer.Option("--top", metavar="N", help="How many tiles, the best first.")]
FoundOutput = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="A layer of the best tiles, coloured by score; - streams GeoJSONSeq."
    ),
]
MadeBy = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        autocompletion=completion.bundles,
        help="The bundle that made the layer, if it is elsewhere now.",
    ),
]
MergedOutput = Annotated[
    str, typer.Argument(metavar="OUT", help="Where the layer goes; any name that classify -o takes but -.")
]
ShardJournals = Annotated[
    list[str], typer.Argument(metavar="JOURNAL", help="The journals of all shards of one run; globs are expanded.")
]
LayerOfShards = Annotated[
    str | None,
    typer.Option("--layer", metavar="NAME", rich_help_panel=_OUTPUT, help="Name of the layer; else the shards' own."),
]
SceneNow = Annotated[
    list[str] | None,
    typer.Option(
        "--scene",
        metavar="PATH",
        rich_help_panel=_INPUT,
        help="Where a scene of this file name is on this machine, if elsewhere. Repeat it for several.",
    ),
]
AoiNow = Annotated[
    str | None,
    typer.Option("--aoi", metavar="FILE[:LAYER]", rich_help_panel=_INPUT, help="Where the AOI is now, if elsewhere."),
]
ModelNow = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|DIR", rich_help_panel=_INPUT, help="Where the bundle is now, if elsewhere."),
]
AdapterNow = Annotated[
    str | None,
    typer.Option("--adapter", metavar="DIR", rich_help_panel=_INPUT, help="Where the adapter is now, if elsewhere."),
]
KeepJournals = Annotated[
    bool, typer.Option("--keep-journals", rich_help_panel=_RUN, help="Leave the journals as they are.")
]
