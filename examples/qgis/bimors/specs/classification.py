"""Algorithms that write maps."""

from __future__ import annotations

from dataclasses import replace

from ..spec import (
    FILE,
    FILE_OUTPUT,
    FILES,
    FOLDER,
    LAYER,
    RASTER_OUTPUT,
    SCENES,
    SOURCE,
    VECTOR_OUTPUT,
    Algorithm,
    Parameter,
)
from .shared import (
    ADAPTER,
    AOI,
    ASSUME_CRS,
    CLASSIFICATION,
    CSV_FILTER,
    DST_CRS,
    EXTRA,
    INPUT_SCENE,
    LABELS,
    MIN_VALID,
    MODEL,
    MODEL_RUN,
    MORE_SCENES,
    NOT_A_COPY,
    OVERLAP,
    PIXELS,
    RESUME,
    TILE_SIZE,
)

KEEP_EMPTY = Parameter("KEEP_EMPTY", "Keep empty tiles", "keep_empty", advanced=True)

CLASSIFY = Algorithm(
    "classify",
    "Classify scene",
    CLASSIFICATION,
    "classify",
    "Classifies the tiles of a raster layer with class names of your choice. The output layer has one polygon per "
    "tile, with label, confidence, second-best label and a caption, and is styled by class.\n\n"
    "The labels are those of a labels file, with one class name per line, or of a wordlist.\n\n"
    "With an adapter and 'Coverage of label sets', tiles that may be of several classes are hatched in the colours of "
    "the best one, and the field label_set has all of them.\n\n"
    "To resume a cancelled run, select the same output file and check 'Resume a cancelled run'.",
    (
        INPUT_SCENE,
        *LABELS,
        TILE_SIZE,
        ADAPTER,
        *AOI,
        Parameter("MIN_CONFIDENCE", "Minimum confidence", "min_confidence"),
        Parameter("CAPTIONS", "Captions", "captions", tip="Which tiles are captioned; without captions it is faster."),
        Parameter("DOUBTFUL_BELOW", "Doubtful below", "doubtful_below", advanced=True),
        Parameter(
            "KEEP_FEATURES",
            "Keep image features",
            "keep_features",
            tip="Store the image features of the tiles in the file: 'Search tiles' and 'Suggest tiles to label' need "
            "them.",
        ),
        Parameter(
            "PROBABILITIES",
            "Probability of each label",
            "probabilities",
            tip="Add a field with the probability of each label: 'Detect change' needs them.",
        ),
        RESUME,
        Parameter(
            "COVERAGE", "Coverage of label sets", "coverage", percent=True, optional=True, minimum=1, maximum=99.9
        ),
        MORE_SCENES,
        OVERLAP,
        Parameter("VOTE", "Average overlapping tiles", "vote", advanced=True),
        MIN_VALID,
        KEEP_EMPTY,
        Parameter("TOP_K", "Labels per tile", "top_k", advanced=True),
        Parameter("REFINE", "Refine labels", "refine", advanced=True),
        Parameter("PRIORS", "Expected areas", "priors", FILE, filter=CSV_FILTER, optional=True, advanced=True),
        Parameter("NOVELTY", "Novelty of each tile", "novelty", advanced=True),
        Parameter(
            "UNLIKE_EXAMPLES",
            "Rate of tiles unlike all examples",
            "unlike_examples",
            tip="Leave tiles that are unlike all examples without a label, such as those of a class without examples. "
            "The rate is the largest fraction of the tiles that are like the examples that this may be: 0.05 is one in "
            "twenty. Needs an adapter that classifies by views.",
            minimum=0.001,
            maximum=0.999,
            advanced=True,
        ),
        Parameter("HEAD", "Head", "head", advanced=True),
        Parameter(
            "TEMPLATES",
            "Prompt templates",
            "templates",
            tip='For the head zero-shot: one template a line with {} in place of the label, such as "an aerial photo '
            'of a {}.". Empty: those of the model.',
            multiline=True,
            advanced=True,
        ),
        *PIXELS,
        ASSUME_CRS,
        DST_CRS,
        *MODEL_RUN,
        Parameter("RASTER_RES", "Pixels of the label raster", "raster_res", advanced=True),
        EXTRA,
        Parameter("OUTPUT", "Classified tiles", "output", VECTOR_OUTPUT),
        Parameter(
            "RASTER",
            "Label raster",
            "raster",
            RASTER_OUTPUT,
            "GeoTIFF: band 1 is the number of the label, from 1, with a colour table; band 2 is the confidence.",
            optional=True,
            advanced=True,
        ),
    ),
    tags=("land cover", "zero-shot", "CLIP", "tiles", "labels", "captions", "label sets"),
    replaces=True,
    styled=True,
    one_of=("LABELS", "WORDLIST"),
)
CAPTION = Algorithm(
    "caption",
    "Caption tiles",
    CLASSIFICATION,
    "caption",
    "Describes each tile of a scene in a sentence, without labels. The output layer has one polygon per tile with a "
    "field caption, which View > Show Map Tips shows.",
    (
        INPUT_SCENE,
        TILE_SIZE,
        *AOI,
        RESUME,
        MORE_SCENES,
        OVERLAP,
        MIN_VALID,
        KEEP_EMPTY,
        *PIXELS,
        ASSUME_CRS,
        DST_CRS,
        *MODEL_RUN,
        EXTRA,
        Parameter("OUTPUT", "Captions", "output", VECTOR_OUTPUT),
    ),
    tags=("describe", "text", "BLIP-2", "sentence"),
    replaces=True,
    styled=True,
)
CHANGE = Algorithm(
    "change",
    "Detect change",
    CLASSIFICATION,
    "change",
    "Compares two layers of 'Classify scene', of two dates on one grid. The output layer has the label before and "
    "after, and the probability of a change, for each tile.\n\n"
    "Classify both dates with the same model, adapter and labels, and with 'Probability of each label' checked.\n\n"
    "For areas of change with 95 % intervals, draw a sample of the output layer, with stratum as the field of the "
    "strata.",
    (
        Parameter("BEFORE", "Classified layer before", "before", LAYER, NOT_A_COPY, layer_option="layer_before"),
        Parameter("AFTER", "Classified layer after", "after", LAYER, NOT_A_COPY, layer_option="layer_after"),
        Parameter("MAX_FALSE", "Largest error (%)", "max_false", percent=True, minimum=0.1, maximum=49.9),
        EXTRA,
        Parameter(
            "MATRIX",
            "Transitions in hectares",
            "matrix",
            FILE_OUTPUT,
            "CSV table with a row per label before, and a column per label after.",
            filter=CSV_FILTER,
            optional=True,
        ),
        Parameter("OUTPUT", "Change", "output", VECTOR_OUTPUT),
    ),
    tags=("change detection", "transition", "two dates", "land cover change", "difference"),
    replaces=True,
    styled=True,
)
MERGE = Algorithm(
    "merge",
    "Merge shards",
    CLASSIFICATION,
    "merge",
    "Writes the layer of a run that was done in shards, for example on a cluster with bimors classify --shard, as one "
    "run would have written it.\n\n"
    "Select the journals of all shards. If scenes, area of interest, model or adapter have other paths on this "
    "computer than where the shards were processed, select them here.",
    (
        Parameter("JOURNALS", "Journals of all shards", "journals", FILES, "The files that the shards wrote."),
        Parameter("SCENES", "Scenes on this computer", "scenes", SCENES, "Only if their paths differ.", advanced=True),
        Parameter(
            "AOI",
            "Area of interest on this computer",
            "aoi",
            SOURCE,
            "Only if its path differs.",
            geometry="polygon",
            optional=True,
            advanced=True,
        ),
        Parameter(
            "ADAPTER",
            "Adapter on this computer",
            "adapter",
            FOLDER,
            "Only if its path differs.",
            optional=True,
            advanced=True,
        ),
        replace(MODEL, tip="Only if its name or folder differs on this computer."),
        replace(KEEP_EMPTY, name="KEEP_JOURNALS", label="Keep the journals", option="keep_journals"),
        EXTRA,
        Parameter("OUTPUT", "Classified tiles", "output", VECTOR_OUTPUT),
    ),
    tags=("cluster", "shard", "journal"),
    replaces=True,
    styled=True,
)
ALGORITHMS = (CLASSIFY, CAPTION, CHANGE, MERGE)
