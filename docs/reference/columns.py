"""The reference of columns: every layer that a command writes, from its declared schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bimors_cli.evaluation.areas import sample_file
from bimors_cli.labels import Labels
from bimors_cli.output.classified_schema import INTEGER, REAL, REASONS, TEXT, ClassifiedSchema, probability_names
from bimors_cli.output.image_features import TABLE as FEATURES
from bimors_cli.output.layer_schema import TILE_COLUMNS
from bimors_cli.output.predictions import TABLE as PREDICTIONS
from bimors_cli.pipeline import caption
from bimors_cli.results import found_layer, suggestions_file
from bimors_cli.results.change import layer as change_layer
from docs.reference.markdown import code, page, table

Columns = Mapping[str, np.dtype[Any]]

# How QGIS names the types of an attribute table.
TYPES: Final = {TEXT: "text", INTEGER: "integer", REAL: "decimal number"}
# A label of the example from which the names of the columns of probabilities are made.
_LABEL: Final = "LABEL"

# What each column means. A column without a meaning, or a meaning without a column, is an error.
MEANINGS: Final = {
    "tile_id": "`<scene>/<row>/<col>`, the same in every run with the same grid",
    "scene": "file name of the scene",
    "row": "row of the tile in the grid, from 0 at the first pixel of the scene",
    "col": "column of the tile in the grid, from 0 at the first pixel of the scene",
    "label": "the class; null if the tile has none",
    "confidence": "calibrated probability of `label`, 0 to 1",
    "reason": "why the tile has no label; null if it has one: see below",
    "label_2": "the runner-up; `label_3` and so on with `--top-k`",
    "confidence_2": "probability of the runner-up; `confidence_3` and so on with `--top-k`",
    "caption": "the sentence of the captioner; null without captions",
    "novelty": "with `--novelty`: 0 is like the examples or the training images, 1 unlike all of them",
    "label_set": "with `--coverage`: the labels that the tile may have, most probable first, separated by `|`; empty "
    "for a tile unlike all examples",
    "label_set_size": "with `--coverage`: the number of labels in `label_set`",
    f"p_{_LABEL}": "with `--probabilities`: the probability of each label, 0 to 1, a column per label",
    "rank": "from 1, the best tile first",
    "score": "similarity to the query, higher is more alike",
    "accept": "yours to set: 1 for a tile that is what you searched for, 0 for one that is not",
    "checked": "yours to set: 1 for a tile whose `label` is right, so that `finetune` learns from it",
    "unlike": "how unlike the known tiles, and those of lower rank, the tile is, 0 to 1",
    "gain": "by how much its label would reduce the mean variance of the map, 0 to 1",
    "reference": "yours to set: the class that covers most of the tile, or `cannot tell`",
    "note": "yours to write: a remark; no command reads it",
    sample_file.MAP_LABEL: "with `--show-label`: the label of the map",
    "stratum": "`change`, `no change` or `doubtful`",
    "change_probability": "probability that the tile changed, 0 to 1, from the answers of both layers",
    "transition": "the label before and the label after",
    "label_before": "label of the tile in the earlier layer",
    "confidence_before": "its confidence in the earlier layer",
    "label_after": "label of the tile in the later layer",
    "confidence_after": "its confidence in the later layer",
}
# The same columns mean something else in a layer of changes.
OF_CHANGES: Final = {
    "label": "`change` or `no change`; null where `reason` says why there is no answer",
    "confidence": "probability of `label`, 0 to 1",
    "caption": "the captions of the two dates, where the layers have them",
}

REASON_MEANINGS: Final = {
    "nodata": "too few valid pixels (`--min-valid`); written only with `--keep-empty`",
    "outside_aoi": "outside the area of interest; written only with `--keep-empty`",
    "low_confidence": "confidence below `--min-confidence`",
    "unlike_examples": "unlike all examples, with `--unlike-examples` or `--coverage`",
    "read_error": "the pixels could not be read; `--resume` reads them again",
    "model_error": "the model returned no valid number; `--resume` processes the tile again",
}


@dataclass(frozen=True)
class Layer:
    """A layer of a command, with its columns."""

    command: str
    columns: Columns
    about: str


def layers() -> tuple[Layer, ...]:
    """Return every layer that a command writes, with all columns that it can have."""
    labels = Labels.literal((_LABEL, "OTHER"))
    classified = ClassifiedSchema("tiles", "EPSG:4326", labels, 2, True, True, True).columns()
    del classified[probability_names(labels)[1]]
    return (
        Layer("classify", classified, "One row per tile."),
        Layer("tiles", TILE_COLUMNS, "The empty grid."),
        Layer("caption", caption.COLUMNS, "Captions without labels."),
        Layer("search", found_layer.COLUMNS, "The tiles that were found, to accept or reject."),
        Layer("suggest", suggestions_file.COLUMNS, "The tiles to label next."),
        Layer(
            "sample",
            {**sample_file.COLUMNS, sample_file.MAP_LABEL: TEXT},
            "A probability sample, to label. The strata and the labels of the map are in a table of their own, "
            f"`{sample_file.TABLE}`, so that who labels does not see them. A layer `neighbours` has the tiles around.",
        ),
        Layer("change", change_layer.COLUMNS, "Two layers compared."),
    )


def meaning(layer: Layer, column: str) -> str:
    """Return what a column of a layer means. Raises KeyError for a column that nobody has described."""
    if layer.command == "change" and column in OF_CHANGES:
        return OF_CHANGES[column]
    return MEANINGS[column]


def columns_page() -> str:
    """Return the page of all columns."""
    return page(
        "Columns of the layers",
        "The geometry is the outline of the tile, in the CRS of the scene or that of `--dst-crs`. "
        "[Compatibility](../compatibility.md) says what later versions keep.",
        *_sections(),
        "## Values of reason",
        table(("reason", "meaning"), ((code(reason), REASON_MEANINGS[reason]) for reason in REASONS)),
        "## Tables that are no layers",
        "A GeoPackage also has tables that QGIS does not list. Do not edit them.",
        table(
            ("table", "content"),
            (
                (code(PREDICTIONS), "the labels as the model answered, so that `finetune` knows which you corrected"),
                (code(FEATURES), "with `--keep-features`: image features of the tiles, for `search` and `suggest`"),
                (code(sample_file.TABLE), "of `sample`: stratum, area and label of each drawn tile"),
                (code("layer_styles"), "the styles that QGIS offers under Load Style > From Database"),
            ),
        ),
        "## Label raster",
        "`--raster` writes a Cloud Optimized GeoTIFF of two bands: `label` is the number of the label, from 1 in the "
        "order of the labels file, 0 for none; `confidence` has a scale of 0.0001. Overviews hold the value of most "
        "pixels. The `.aux.xml` next to it holds the colour table, the category names and the raster attribute table: "
        "`Value`, `Class_Name`, `Red`, `Green`, `Blue` and `Count`, the pixels of the class.",
    )


def _sections() -> Iterator[str]:
    for layer in layers():
        yield f"## bimors {layer.command}"
        yield f"{layer.about} Written by [`bimors {layer.command}`](commands/{layer.command}.md)."
        yield table(
            ("column", "type", "meaning"),
            ((code(name), TYPES[dtype], meaning(layer, name)) for name, dtype in layer.columns.items()),
        )
