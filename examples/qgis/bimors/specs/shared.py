"""Parameters that several algorithms have."""

from __future__ import annotations

from dataclasses import replace

from ..declared import names
from ..spec import CHOICES, CRS, FILE, FOLDER, LAYER, SCENE, SCENES, SOURCE, Parameter

SCENES_GROUP, CLASSIFICATION, REVIEW = "Scenes", "Classification", "Search and review"
TRAINING, ACCURACY = "Training", "Accuracy and area"

NOT_A_COPY = "The GeoPackage that bimors wrote, not a copy of it: 'Restore exported copy' repairs a copy."
LABELS_FILTER = "Labels (*.txt *.csv *.tsv *.json *.yaml *.yml *.qml *.sld);;All files (*.*)"
CSV_FILTER = "CSV files (*.csv)"

INPUT_SCENE = Parameter("INPUT", "Scene", "scenes", SCENE, "The raster layer whose tiles are processed.")
MORE_SCENES = Parameter(
    "SCENES", "Further scenes", "scenes", SCENES, "Scenes that are processed in the same run.", advanced=True
)
LABELS = (
    Parameter(
        "LABELS",
        "Labels file",
        "labels",
        FILE,
        "Text file with one class name per line. Synonyms follow after bars: forest | woodland. A tab and a colour "
        "such as #2ca02c may follow. Also CSV, JSON, YAML, and styles of QGIS.",
        optional=True,
        filter=LABELS_FILTER,
    ),
    Parameter(
        "WORDLIST",
        "Or a wordlist",
        "labels",
        CHOICES,
        "The class names and colours of a land cover map, instead of a labels file.",
        optional=True,
        choices=names("wordlists"),
    ),
)
TILE_SIZE = Parameter("TILE_SIZE", "Tile size", "tile_size")
OVERLAP = Parameter("OVERLAP", "Tile overlap", "overlap", advanced=True)
MIN_VALID = Parameter("MIN_VALID", "Least valid fraction", "min_valid", advanced=True)
AOI = (
    Parameter("AOI", "Area of interest", "aoi", SOURCE, geometry="polygon", optional=True),
    Parameter("AOI_RULE", "Tiles of the area of interest", "aoi_rule", advanced=True),
)
BANDS = Parameter(
    "BANDS",
    "Bands for red, green, blue",
    "bidx",
    tip="Band numbers, counted from 1, for example 4,3,2. Empty: by the names of the bands, by colour interpretation, "
    "else the first three. For a model of other bands: all of these, in its order.",
    advanced=True,
)
PIXELS = (
    BANDS,
    Parameter("STRETCH", "Stretch", "stretch", advanced=True),
    Parameter("NODATA", "Nodata value", "nodata", advanced=True),
    Parameter("IGNORE_MASK", "Ignore alpha band and mask", "ignore_mask", advanced=True),
)
ASSUME_CRS = Parameter("ASSUME_CRS", "CRS of a scene without CRS", "assume_crs", CRS, optional=True, advanced=True)
DST_CRS = Parameter("DST_CRS", "CRS of the output", "dst_crs", CRS, optional=True, advanced=True)
MODEL = Parameter(
    "MODEL",
    "Model",
    "model",
    tip="Name of a model, as bimors models list shows them, or folder of a bundle.",
    advanced=True,
)
CAPTIONER = Parameter("CAPTIONER", "Captioner", "captioner", advanced=True)
CAPTION_CACHE = Parameter(
    "CAPTION_CACHE",
    "Reuse captions",
    "caption_cache",
    tip="Reuse captions of identical pixels from earlier runs, and store new ones.",
    advanced=True,
)
VERIFY = Parameter("VERIFY", "Verify the model", "verify", advanced=True)
DEVICE = Parameter("DEVICE", "Device", "device", tip="auto, cpu, cuda, cuda:N or mps.", advanced=True)
BATCH_SIZE = Parameter("BATCH_SIZE", "Batch size", "batch_size", advanced=True)
MODEL_RUN = (MODEL, CAPTIONER, CAPTION_CACHE, VERIFY, BATCH_SIZE, DEVICE)
ADAPTER = Parameter(
    "ADAPTER",
    "Adapter",
    "adapter",
    FOLDER,
    "Folder of an adapter trained with 'Finetune from polygons'. Empty: the model without adapter.",
    optional=True,
)
RESUME = Parameter(
    "RESUME",
    "Resume a cancelled run",
    "resume",
    tip="Resume a run that was cancelled, or that could not read some tiles. Select the same output file.",
)
EXTRA = Parameter(
    "EXTRA",
    "Additional command-line parameters",
    tip="Options of the command, as bimors COMMAND --help shows them.",
    advanced=True,
)
CLASSIFIED = Parameter("INPUT", "Classified layer", "file", LAYER, NOT_A_COPY, geometry="polygon", layer_option="layer")
MIN_OVERLAP = Parameter("MIN_OVERLAP", "Minimum overlap", "min_overlap", advanced=True)
MIN_DISTANCE = Parameter("MIN_DISTANCE", "Least distance in metres", "min_distance", advanced=True)
SEED = Parameter("SEED", "Seed", "seed", tip="The same seed gives the same result.", advanced=True)


def overwrite(label: str) -> Parameter:
    """Return the parameter for the replacement of a file that holds the work of the user."""
    return Parameter(
        "OVERWRITE",
        label,
        "overwrite",
        tip="If unchecked, the program refuses to replace a file, and the work that it may contain.",
        advanced=True,
    )


def advanced(parameter: Parameter) -> Parameter:
    """Return a parameter folded away."""
    return replace(parameter, advanced=True)
