"""Algorithms that estimate accuracy and areas."""

from __future__ import annotations

from dataclasses import replace

from ..spec import FIELD, FILE_OUTPUT, FILES, FOLDER_OUTPUT, LAYER, SOURCE, VECTOR_OUTPUT, Algorithm, Output, Parameter
from .shared import (
    ACCURACY,
    CLASSIFIED,
    CSV_FILTER,
    EXTRA,
    MIN_DISTANCE,
    MIN_OVERLAP,
    NOT_A_COPY,
    SEED,
    overwrite,
)

SAMPLE = Algorithm(
    "sample",
    "Sample tiles for reference labels",
    ACCURACY,
    "sample",
    "Draws tiles of a layer of 'Classify scene' by chance. Label them by eye, then 'Assess accuracy and areas' "
    "estimates the accuracy of the map and the area of each class with 95 % intervals.\n\n"
    "Toggle editing of the output layer, and fill in the field reference of each tile with the class that the scene "
    "shows there, or with 'cannot tell'. The label of the map is hidden, because it would bias you.\n\n"
    "Select the training features as features to avoid: tiles that trained the map make it look better than it is. "
    "Accuracy and areas are those of the other tiles.\n\n"
    "Set at most one of standard error, number of tiles and tiles per class. If none is set, the sample is as large as "
    "a standard error of 0.02 of the overall accuracy needs.",
    (
        CLASSIFIED,
        Parameter("DESIGN", "Design", "design"),
        Parameter(
            "TARGET_SE",
            "Standard error of the overall accuracy",
            "target_se",
            tip="Draw as many tiles as this standard error needs, for example 0.02.",
        ),
        Parameter(
            "TILES",
            "Number of tiles",
            "tiles",
            tip="Draw so many tiles, of each class in proportion to its area.",
        ),
        Parameter("PER_CLASS", "Tiles per class", "per_class", tip="Draw so many tiles of each class."),
        Parameter(
            "EXCLUDE",
            "Features to avoid",
            "exclude",
            SOURCE,
            "No tile that shares ground with one of these features is drawn: the training features.",
            optional=True,
        ),
        Parameter(
            "BY",
            "Field of the strata",
            "by",
            FIELD,
            "Field with texts or whole numbers. Empty: the label of the map.",
            parent="INPUT",
            optional=True,
            advanced=True,
        ),
        Parameter(
            "LEAST",
            "Least tiles per class",
            "least",
            tip="With a standard error or a number of tiles: rare classes get so many.",
            advanced=True,
        ),
        Parameter(
            "EXPECT",
            "Expected accuracy",
            "expect",
            tip="With a standard error: the user's accuracy to expect, from 0.01 to 0.99, for example 0.7 or "
            "forest=0.9; several are on lines of their own. Empty: 0.8.",
            multiline=True,
            advanced=True,
        ),
        Parameter(
            "SIZE",
            "Tiles of single classes",
            "size",
            tip="Number of tiles of a class, for example pond=80; several are on lines of their own.",
            multiline=True,
            advanced=True,
        ),
        MIN_DISTANCE,
        replace(SEED, tip="The same seed draws the same tiles."),
        Parameter(
            "SHOW_LABEL",
            "Show the label of the map",
            "show_label",
            tip="It biases whoever labels the tiles.",
            advanced=True,
        ),
        overwrite("Replace an existing sample"),
        EXTRA,
        Parameter("OUTPUT", "Sample", "output", VECTOR_OUTPUT),
        Parameter(
            "CSV",
            "Table of the centres",
            "csv",
            FILE_OUTPUT,
            "CSV table with the centres of the tiles in WGS 84.",
            filter=CSV_FILTER,
            optional=True,
            advanced=True,
        ),
        Parameter(
            "KML",
            "KML of the outlines",
            "kml",
            FILE_OUTPUT,
            "Outlines of the tiles, for Google Earth and the field.",
            filter="KML files (*.kml)",
            optional=True,
            advanced=True,
        ),
    ),
    tags=("accuracy assessment", "stratified random sampling", "area estimation", "validation", "Olofsson"),
    styled=True,
    edited=True,
)
ASSESS = Algorithm(
    "assess",
    "Assess accuracy and areas",
    ACCURACY,
    "evaluate",
    "Estimates the accuracy of a map and the area of each class from a layer of 'Sample tiles for reference labels' "
    "whose field reference you filled in (Stehman 2014).\n\n"
    "Save the edits of the layer first. Tiles without a reference are counted and left out.\n\n"
    "The output table has a row per class: the area on the map and the estimated area in hectares on the ground, "
    "user's and producer's accuracy, their standard errors (se) and 95 % intervals (low, high). The log shows them "
    "too. An empty field means that the sample does not give the number.\n\n"
    "With a newer map of the same tiles, accuracy and areas are those of that map.\n\n"
    "With a folder, a report and the tables are written too.",
    (
        Parameter("INPUT", "Sample", "sample", LAYER, NOT_A_COPY, geometry="polygon"),
        Parameter(
            "MAP",
            "Newer map of the same tiles",
            "sources",
            LAYER,
            "A layer of 'Classify scene' with the tiles of the map that the sample was drawn from.",
            geometry="polygon",
            layer_option="layer",
            optional=True,
        ),
        Parameter(
            "ANSWERS",
            "Answers of the sample page",
            "answers",
            FILES,
            "CSV files that the page of 'Report' saved, one of each interpreter.",
            optional=True,
            advanced=True,
        ),
        EXTRA,
        Parameter("AREAS", "Accuracy and areas", kind="table"),
        Parameter(
            "FOLDER",
            "Output folder",
            "output",
            FOLDER_OUTPUT,
            "The results are written to a folder in it that is named after the sample.",
            optional=True,
        ),
    ),
    tags=(
        "accuracy assessment",
        "area estimation",
        "confidence interval",
        "confusion matrix",
        "hectares",
        "sample",
        "Olofsson",
        "Stehman",
        "user's accuracy",
        "producer's accuracy",
    ),
    words=("--json",),
    outputs=(
        Output("REPORT", "Report", "html"),
        Output("ACCURACY", "Overall accuracy", "number"),
        Output("ACCURACY_SE", "Standard error of the overall accuracy", "number"),
    ),
    replaces=True,
)
EVALUATE = Algorithm(
    "evaluate",
    "Evaluate against polygons",
    ACCURACY,
    "evaluate",
    "Computes the accuracy of a layer of 'Classify scene' from reference polygons or points of known class. Use "
    "reference data that were not used for training.\n\n"
    "Polygons chosen by hand give the accuracy of these places. For the accuracy of the whole map and the areas of its "
    "classes, use 'Sample tiles for reference labels' and 'Assess accuracy and areas'.\n\n"
    "The metrics are shown in the log and written to a folder named after the layer, as a report (map_check.md), JSON "
    "and charts.",
    (
        replace(CLASSIFIED, option="sources"),
        Parameter(
            "REFERENCE",
            "Reference polygons or points",
            "reference",
            SOURCE,
            "Features with the true class.",
            layer_option="reference_layer",
        ),
        Parameter(
            "FIELD",
            "Class field",
            "field",
            FIELD,
            "Field of the reference layer with the class name.",
            parent="REFERENCE",
        ),
        replace(MIN_OVERLAP, tip="Fraction of a tile that reference polygons must cover to include the tile."),
        EXTRA,
        Parameter("FOLDER", "Output folder", "output", FOLDER_OUTPUT, "The results are written to a folder in it."),
    ),
    tags=("accuracy assessment", "validation", "confusion matrix", "kappa", "precision", "recall"),
    words=("--json",),
    outputs=(
        Output("OUTPUT", "Results", "folder"),
        Output("PAGE", "Report", "file"),
        Output("ACCURACY", "Accuracy", "number"),
        Output("COVERAGE", "Coverage", "number"),
        Output("KAPPA", "Kappa", "number"),
    ),
    replaces=True,
)
ALGORITHMS = (SAMPLE, ASSESS, EVALUATE)
