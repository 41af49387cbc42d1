"""Algorithms that search, show and repair layers."""

from __future__ import annotations

from dataclasses import replace

from ..spec import FIELD, FILE_OUTPUT, LAYER, LAYERS, RASTER, SOURCE, TILES, VECTOR_OUTPUT, Algorithm, Parameter
from .shared import CLASSIFIED, EXTRA, MODEL, REVIEW, overwrite

SEARCH = Algorithm(
    "search",
    "Search tiles",
    REVIEW,
    "search",
    "Finds the tiles that match a text or other tiles best, in a layer of 'Classify scene' with 'Keep image features' "
    "checked. Nothing is classified again.\n\n"
    "To search by example, select some tiles of the layer, choose the layer under 'Tiles like these', and check "
    "'Selected features only'.\n\n"
    "The output layer is coloured by score. Toggle editing, set accept of tiles to yes or no, and save the edits; then "
    "search again with the layer under 'Judged layers of earlier searches', or train with 'Finetune from corrected "
    "tiles'.",
    (
        replace(CLASSIFIED, tip="A layer of 'Classify scene' with 'Keep image features' checked, not a copy of it."),
        Parameter("QUERY", "Text", "query", optional=True),
        Parameter("LIKE", "Tiles like these", "like", TILES, "Selected tiles of the layer.", optional=True),
        Parameter(
            "UNLIKE",
            "Tiles unlike these",
            "unlike",
            TILES,
            "Selected tiles of another kind, which look similar.",
            optional=True,
            advanced=True,
        ),
        Parameter(
            "JUDGED",
            "Judged layers of earlier searches",
            "judged",
            LAYERS,
            "Layers of earlier searches in which you accepted and rejected tiles.",
            optional=True,
        ),
        Parameter("TOP", "Number of tiles", "top"),
        Parameter(
            "ACCEPTED_AS",
            "Class of accepted tiles",
            "accepted_as",
            tip="Empty: that of the earlier search, otherwise the text.",
            advanced=True,
        ),
        replace(MODEL, tip="For a text: the model that computed the features, if its name or folder differs now."),
        overwrite("Replace an existing layer"),
        EXTRA,
        Parameter("OUTPUT", "Found tiles", "output", VECTOR_OUTPUT),
    ),
    tags=("retrieval", "text query", "similar", "example", "find", "text to image"),
    styled=True,
    edited=True,
)
REPORT = Algorithm(
    "report",
    "Report",
    REVIEW,
    "report",
    "Writes an HTML page that shows a layer in a browser: map, tiles, classes, confidence and provenance. It needs no "
    "network.\n\n"
    "For a sample it is a page to label the tiles in a browser; select the answers that it saves in 'Assess accuracy "
    "and areas'.",
    (
        replace(CLASSIFIED, label="Classified layer or sample", option="layer_file"),
        Parameter("SCENE", "Scene", "scene", RASTER, "Only if it was moved, or the layer has several.", optional=True),
        EXTRA,
        Parameter("PAGE", "Page", "output", FILE_OUTPUT, filter="HTML files (*.html)"),
    ),
    tags=("html", "web page", "print", "share"),
    replaces=True,
)
RESTORE = Algorithm(
    "restore",
    "Restore exported copy",
    REVIEW,
    "restore",
    "Gives a copy that was exported with Export > Save Features As the record of its run again, which an export loses, "
    "with the edits of the copy: label, checked, weight, accept, reference and note. All algorithms read the "
    "output.\n\n"
    "Tiles are found by tile_id, by scene, row and col, or by their places, in any CRS. Features that were merged or "
    "moved are left out and counted.",
    (
        Parameter("COPY", "Exported copy", "copy", SOURCE, "The copy, with your edits."),
        Parameter(
            "ORIGINAL",
            "Original layer",
            "original",
            LAYER,
            "The layer that the copy was exported from, as bimors wrote it. It is not changed.",
            layer_option="layer",
        ),
        Parameter("FIELD", "Field of the labels", "field", FIELD, parent="COPY", optional=True, advanced=True),
        overwrite("Replace an existing layer"),
        EXTRA,
        Parameter("OUTPUT", "Restored layer", "output", VECTOR_OUTPUT),
    ),
    tags=("export", "provenance", "repair", "copy", "edits"),
    styled=True,
    edited=True,
)
ALGORITHMS = (SEARCH, REPORT, RESTORE)
