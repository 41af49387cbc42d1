"""Algorithms that train adapters, and the one that suggests what to label for that."""

from __future__ import annotations

from dataclasses import replace

from ..declared import names
from ..spec import (
    CHOICES,
    FIELD,
    FILE,
    FOLDER_OUTPUT,
    LAYERS,
    RASTER,
    SOURCE,
    VECTOR_OUTPUT,
    Algorithm,
    Output,
    Parameter,
)
from .shared import (
    ASSUME_CRS,
    CAPTION_CACHE,
    CAPTIONER,
    CLASSIFIED,
    CSV_FILTER,
    DEVICE,
    EXTRA,
    INPUT_SCENE,
    LABELS_FILTER,
    MIN_DISTANCE,
    MIN_OVERLAP,
    MIN_VALID,
    MODEL,
    MORE_SCENES,
    OVERLAP,
    PIXELS,
    RESUME,
    SEED,
    TILE_SIZE,
    TRAINING,
    VERIFY,
    advanced,
    overwrite,
)

_NAME = Parameter("NAME", "Adapter name", default="adapter", tip="The adapter is a folder of this name.")
_TRAINING = (
    Parameter("SHOTS", "Examples per class", "shots", tip="Number of training tiles per class; 0 uses all tiles."),
    _NAME,
    Parameter(
        "HEAD",
        "Head",
        "head",
        CHOICES,
        "auto classifies by the views of a tile that suit the examples best, in seconds. The others train a network, "
        "which takes minutes.",
        choices=names("heads"),
    ),
    Parameter(
        "VIEWS",
        "Views for auto",
        "views",
        CHOICES,
        "Views of a tile to choose from. Empty: all but captions, and prompts only where the class names alone are "
        "useful.",
        choices=names("views"),
        advanced=True,
    ),
    Parameter("CAPTIONS", "Captions", "captions", advanced=True),
    Parameter("EPOCHS", "Epochs", "epochs", tip="Passes over the training tiles, for heads but auto.", advanced=True),
    Parameter("RATE", "Highest learning rate", "rate", minimum=0, maximum=1000, advanced=True),
    Parameter("BATCH_SIZE", "Examples per batch", "batch_size", advanced=True),
    Parameter("TIP_ADAPTER", "Tip-Adapter cache", "cache", advanced=True),
    Parameter("SEED", "Seed", "seed", advanced=True),
    overwrite("Replace an existing adapter"),
    advanced(replace(RESUME, tip="Resume a run that was cancelled. Select the same folder and name.")),
)
_CLASSES = Parameter(
    "LABELS",
    "Classes to learn",
    "labels",
    FILE,
    "Text file with the classes to learn, one per line. Empty: all of them.",
    filter=LABELS_FILTER,
    optional=True,
    advanced=True,
)
_MODEL = (MODEL, CAPTIONER, CAPTION_CACHE, VERIFY, DEVICE, EXTRA)
_FOLDER = Parameter("FOLDER", "Output folder", "output", FOLDER_OUTPUT, "The folder of the adapter is written to it.")
_ADAPTER = (Output("OUTPUT", "Adapter", "folder"),)
_TAGS = ("train", "few-shot", "examples", "learn", "adapter")
_CORRECTED = Parameter(
    "CORRECTED",
    "Corrected layers",
    "corrected",
    LAYERS,
    "Layers of 'Suggest tiles to label' whose corrected and checked tiles are examples too.",
    optional=True,
)
_BACKGROUND = Parameter("BACKGROUND", "Background class", "background", advanced=True)
_OF_SCENES = (
    _CORRECTED,
    *_TRAINING,
    _CLASSES,
    MIN_OVERLAP,
    _BACKGROUND,
    MORE_SCENES,
    OVERLAP,
    MIN_VALID,
    *PIXELS,
    ASSUME_CRS,
    *_MODEL,
    _FOLDER,
)
_SCENE = (replace(INPUT_SCENE, option="sources", tip="The raster layer that the features label."), TILE_SIZE)
_FURTHER = "Scenes that the features label too."


def _for_sources(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    return tuple(
        replace(one, option="sources", tip=_FURTHER) if one.name == MORE_SCENES.name else one for one in parameters
    )


FINETUNE = Algorithm(
    "finetune",
    "Finetune from polygons",
    TRAINING,
    "finetune",
    "Trains an adapter for your classes from polygons, lines or points digitized on a scene, with a field that holds "
    "the class name. A tile becomes a training example of the class that covers most of it. Use the same tile size as "
    "for classification.\n\n"
    "The adapter is written to a folder of that name, which can be used in 'Classify scene'.",
    (
        *_SCENE,
        Parameter("POLYGONS", "Training features", "polygons", SOURCE, "Polygons, lines or points with a class."),
        Parameter(
            "FIELD",
            "Class field",
            "field",
            FIELD,
            "Field of the training features with the class name.",
            parent="POLYGONS",
        ),
        Parameter(
            "CLASS_NAMES",
            "Names of class codes",
            "class_names",
            FILE,
            "CSV with the names of the codes in the class field (code,name). Other codes are skipped.",
            filter=CSV_FILTER,
            optional=True,
            advanced=True,
        ),
        *_for_sources(_OF_SCENES),
    ),
    tags=_TAGS,
    outputs=_ADAPTER,
)
FINETUNE_RASTER = Algorithm(
    "finetuneraster",
    "Finetune from label raster",
    TRAINING,
    "finetune",
    "Trains an adapter from a raster of class codes that labels a scene, such as a land cover map, in any CRS and "
    "resolution. A tile becomes a training example of the class of most of its pixels.\n\n"
    "The names of the codes are those in the raster, of a CSV, or of a wordlist.\n\n"
    "The adapter is written to a folder of that name, which can be used in 'Classify scene'.",
    (
        *_SCENE,
        Parameter("EXAMPLES", "Label raster", "examples", RASTER, "Raster with a class code in each pixel."),
        Parameter(
            "CLASS_NAMES",
            "Names of class codes",
            "class_names",
            FILE,
            "CSV with the names of the class codes (code,name); other codes are skipped. Empty: the names in the label "
            "raster.",
            filter=CSV_FILTER,
            optional=True,
        ),
        Parameter(
            "WORDLIST",
            "Or a wordlist",
            "class_names",
            CHOICES,
            "The codes and class names of a land cover map, instead of a CSV.",
            choices=names("wordlists"),
            optional=True,
        ),
        *_for_sources(_OF_SCENES),
    ),
    tags=(*_TAGS, "land cover map"),
    outputs=_ADAPTER,
)
FINETUNE_CORRECTED = Algorithm(
    "finetunecorrected",
    "Finetune from corrected tiles",
    TRAINING,
    "finetune",
    "Trains an adapter from a layer of 'Classify scene' or 'Suggest tiles to label' in which you corrected labels, or "
    "from one of 'Search tiles' in which you accepted and rejected tiles. A tile whose label you changed is an "
    "example. A tile whose label was right is one if you tick it in a boolean field named checked.\n\n"
    "Save the edits of the layer first. Bands, stretch and tile size are those of the layer.\n\n"
    "The adapter is written to a folder of that name, which can be used in 'Classify scene'.",
    (
        replace(CLASSIFIED, label="Corrected layer", option="sources"),
        _CORRECTED,
        *_TRAINING,
        _CLASSES,
        Parameter(
            "ACCEPTED_AS",
            "Class of accepted tiles",
            "accepted_as",
            tip="For a layer of 'Search tiles'. Empty: the class or text of the search.",
            advanced=True,
        ),
        Parameter(
            "REJECTED_AS",
            "Class of rejected tiles",
            "rejected_as",
            tip="For a layer of 'Search tiles': of the rejected tiles whose label you did not change. Empty: other.",
            advanced=True,
        ),
        *_MODEL,
        _FOLDER,
    ),
    tags=_TAGS,
    outputs=_ADAPTER,
)
SUGGEST = Algorithm(
    "suggest",
    "Suggest tiles to label",
    TRAINING,
    "suggest",
    "Selects tiles whose correct labels would improve the map most: like many tiles of the map, and unlike the "
    "examples and each other. The layer must be written by 'Classify scene' with 'Keep image features' checked.\n\n"
    "Correct the labels in the output layer, tick the field checked of each tile that is right, save the edits, and "
    "train with 'Finetune from polygons' or 'Finetune from corrected tiles'.\n\n"
    "Select a sample for the assessment of accuracy as features to avoid: its tiles must not train the map.",
    (
        CLASSIFIED,
        Parameter("TILES", "Number of tiles", "tiles"),
        Parameter(
            "EXAMPLES",
            "Training features",
            "examples",
            SOURCE,
            "Their tiles are not suggested, and tiles like them only after others.",
            optional=True,
        ),
        Parameter(
            "EXCLUDE",
            "Features to avoid",
            "exclude",
            SOURCE,
            "No tile under these features is suggested: a sample for the assessment of accuracy.",
            optional=True,
        ),
        MIN_DISTANCE,
        SEED,
        overwrite("Replace an existing layer"),
        EXTRA,
        Parameter("OUTPUT", "Suggested tiles", "output", VECTOR_OUTPUT),
    ),
    tags=("active learning", "uncertainty", "examples", "correct", "train"),
    styled=True,
    edited=True,
)
ALGORITHMS = (FINETUNE, FINETUNE_RASTER, FINETUNE_CORRECTED, SUGGEST)
