"""Options that several commands have."""

from __future__ import annotations

from bimors_cli.options.option import INPUT, MODEL, NO_EFFECT, OUTPUT, RESOLVED, RUN, Option, RowKey
from bimors_cli.options.parse import expand_globs, parse_labels_file

SCENES = Option(
    "",
    "Rasters that GDAL can open. Shell patterns such as *.tif are expanded.",
    metavar="SCENE",
    rows=RESOLVED,
    required=True,
    reads_scenes=True,
    parse=expand_globs,
)
LABELS = Option(
    "-l --labels",
    "Text file with one class name per line. Synonyms follow after bars: forest | woodland. Use - for standard input. "
    "Or the name of a wordlist, such as nlcd or corine:2; bimors labels lists them.",
    metavar="FILE|NAME",
    rows=RESOLVED,
    required=True,
    parse=parse_labels_file,
    complete="label_lists",
)
OUTPUT_FILE = Option(
    "-o --output",
    "Output file of the layer. Use - to stream GeoJSONSeq in WGS 84 to standard output. Default: the scene's name with "
    ".gpkg, in the current folder.",
    metavar="FILE",
    panel=OUTPUT,
    rows=NO_EFFECT,
)
GIVEN_OUTPUT_FILE = Option(
    "-o --output",
    "Output file of the layer. Use - to stream GeoJSONSeq in WGS 84 to standard output.",
    metavar="FILE",
    panel=OUTPUT,
    rows=NO_EFFECT,
    required=True,
)
FORMAT = Option(
    "-f --format",
    "GDAL name of the output format: GPKG, FlatGeobuf, Parquet, GeoJSON or GeoJSONSeq. Default: by the suffix .gpkg, "
    ".fgb, .parquet, .geojson, .geojsonl or .geojsons.",
    panel=OUTPUT,
    rows=RESOLVED,
    complete="formats",
)
LAYER = Option("--layer", "Name of the output layer.", panel=OUTPUT, rows=RowKey("layer"))
MODEL_NAME = Option(
    "--model", "Model bundle: a name or a folder.", metavar="NAME|DIR", panel=MODEL, rows=RESOLVED, complete="bundles"
)
CAPTIONER = Option(
    "--captioner",
    "Use the bundle with another captioner of the catalog, or none. Fetch it first: bimors models fetch NAME "
    "--captioner CAPTIONER.",
    metavar="NAME",
    panel=MODEL,
    rows=RESOLVED,
    complete="captioners",
)
VERIFY = Option(
    "--verify",
    "Hash all files of the model. Default: only those that are new, or that changed since they were last hashed.",
    panel=MODEL,
    rows=NO_EFFECT,
)
CAPTIONS = Option(
    "--captions/--no-captions",
    "Caption every tile, or classify by the image alone, which is faster.",
    panel=MODEL,
    rows=RowKey("captions"),
)
CAPTION_CACHE = Option(
    "--caption-cache/--no-caption-cache",
    "Reuse captions of identical pixels from earlier runs, and store new ones. See bimors cache info.",
    panel=MODEL,
    rows=NO_EFFECT,
)
DEVICE = Option(
    "--device",
    "Computing device: auto, cpu, cuda, cuda:N or mps. classify and caption accept several, which process the tiles in "
    "parallel: cuda:0,1,2,3.",
    panel=MODEL,
    rows=NO_EFFECT,
    envvar="BIMORS_DEVICE",
    complete="devices",
)
BATCH_SIZE = Option(
    "--batch-size",
    "Tiles per batch. Default: by the memory of the device.",
    metavar="N",
    panel=MODEL,
    rows=NO_EFFECT,
    minimum=1,
)
OVERWRITE = Option(
    "--overwrite", "Replace an existing output, and discard an unfinished run.", panel=RUN, rows=NO_EFFECT
)
RESUME = Option(
    "--resume", "Resume a run that was interrupted, or that could not read some tiles.", panel=RUN, rows=NO_EFFECT
)
MIN_OVERLAP = Option(
    "--min-overlap",
    "Smallest fraction of a tile that its class must cover, from 0 to 1.",
    metavar="FRACTION",
    minimum=0,
    maximum=1,
)
ALLOW_DRIVERS = Option(
    "--allow-driver",
    "Also open scenes with this GDAL driver, which may read other files and URLs. Repeat the option for several.",
    metavar="NAME",
    panel=INPUT,
    rows=NO_EFFECT,
)
POINTS_CRS = Option(
    "--points-crs",
    "CRS of the coordinates x and y in a CSV table, such as EPSG:32633. Longitude and latitude need none.",
    metavar="CRS",
)
