"""Accuracy assessment of a map: from a layer and a reference file to scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.evaluation.accuracy.layer import NO_CLASS, MapLayer, class_indices, distinct, read_map_layer
from bimors_cli.evaluation.accuracy.reference import (
    Reference,
    ReferenceSamples,
    read_reference,
    samples_from_points,
    samples_from_polygons,
)
from bimors_cli.evaluation.areas.sample_file import is_sample
from bimors_cli.labels import new_names
from bimors_cli.options.accuracy import AssessOptions
from bimors_cli.results.copy_hint import refuse_copy
from bimors_cli.run_warnings import keeps_warnings, warnings_so_far
from bimors_cli.scene.feature_counts import give_tiles
from bimors_cli.scene.points_csv import is_point_table
from bimors_cli.scene.vector import find_layer
from bimors_cli.steps import step

if TYPE_CHECKING:
    from bimors_cli.evaluation.accuracy.scores import MapScores

# The file of the scores in a folder of results.
SCORES = "map_check.json"

_SHOWN = 5
# A key of map_check.json.
_UNKNOWN_REASON = "not told"


@dataclass(frozen=True)
class Assessment:
    """The result of an accuracy assessment.

    Attributes
    ----------
    options : AssessOptions
        The options of the assessment.
    layer, reference_layer : str
        Names of the layers.
    kind : {"polygons", "points"}
        Geometry of the reference. A sample is a tile that polygons cover enough, or a point in a tile.
    scores : MapScores
        Scores of the samples.
    unknown_classes : tuple of str
        Classes of the reference that are not labels of the layer.
    counts : mapping of str to int or None
        ``tiles`` of the layer; ``with_truth`` and ``without_truth``, tiles with and without a reference class;
        ``samples``; ``unlabelled`` samples; ``corrected``, tiles edited since the run, None if the file has no record
        of the predictions; ``points_outside``, None for polygons; ``features_elsewhere``, ``features_without_class``
        and ``features_repaired`` of the reference.
    reasons : mapping of str to int
        Number of samples without a label, by reason; empty for an unknown reason.
    warnings : tuple of str
        What the assessment warned of.
    """

    options: AssessOptions
    layer: str
    reference_layer: str
    kind: str
    scores: MapScores
    unknown_classes: tuple[str, ...]
    counts: Mapping[str, int | None]
    reasons: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file; nan becomes null."""
        reasons = {reason or _UNKNOWN_REASON: number for reason, number in self.reasons.items()}
        return {
            **self.scores.as_json(),
            "probability_sample": False,
            "counts": {**self.counts, "unlabelled_by_reason": reasons},
            "classes_without_label": list(self.unknown_classes),
            "layer": {"path": str(Path(self.options.layer_file).resolve()), "layer": self.layer},
            "reference": {
                "path": self.options.reference,
                "layer": self.reference_layer,
                "field": self.options.field,
                "kind": self.kind,
                "min_overlap": self.options.min_overlap if self.kind == "polygons" else None,
            },
            "warnings": list(self.warnings),
        }


@keeps_warnings
def assess(options: AssessOptions) -> Assessment:
    """Compare the labels of a layer with a reference.

    With polygons, the reference class of a tile is the class that covers the largest part of it, if all polygons
    together cover at least ``min_overlap`` of it. With points, each point in a tile is a sample. The labels are those
    of the layer, followed by the other classes of the reference in alphabetical order. Names are compared without
    regard to case, underscores and the width of spaces, and a synonym of the run stands for its label.

    Raises
    ------
    InputError
        As `read_map_layer` and `read_reference`; the reference is a sample that `bimors sample` drew; no class of it is
        a label; no tile has a reference class.
    """
    file, field = options.samples()
    with step(f"reading {Path(options.layer_file).name}"):
        layer = read_map_layer(options.layer_file, options.layer)
    _refuse_sample(file, options.reference_layer, field)
    with step("reading the reference"):
        reference = read_reference(file, field, layer.place, options.reference_layer, options.points_crs)
    classes = np.array([layer.label_of(str(name)) for name in reference.classes], object)
    reference = replace(reference, classes=classes)
    unknown = _unknown_classes(layer, reference, field)
    labels = (*layer.labels, *unknown)
    with step("finding the tiles of the reference"):
        samples = _samples(layer, reference, labels, options.min_overlap)
    mapped = layer.classes[samples.rows]
    with_reference = len(np.unique(samples.rows))

    with step("loading the libraries of the scores"):
        from bimors_cli.evaluation.accuracy.scores import score_map  # imports torch, so after all checks

    reasons = Counter(str(reason) for reason in layer.reasons[samples.rows][mapped == NO_CLASS])
    return Assessment(
        options,
        layer.name,
        reference.layer,
        reference.kind,
        score_map(
            mapped,
            samples.classes,
            layer.confidence[samples.rows],
            layer.areas(samples.rows) if reference.kind == "polygons" else None,
            labels,
        ),
        unknown,
        {
            "tiles": len(layer.classes),
            "with_truth": with_reference,
            "without_truth": len(layer.classes) - with_reference,
            "samples": len(samples.rows),
            "unlabelled": int((mapped == NO_CLASS).sum()),
            "corrected": layer.edited,
            "points_outside": samples.outside + reference.out_of_extent if reference.kind == "points" else None,
            "features_elsewhere": reference.out_of_extent,
            "features_without_class": reference.without_class,
            "features_repaired": reference.repaired,
        },
        dict(reasons.most_common()),
        warnings_so_far(),
    )


def _refuse_sample(spec: str, layer: str | None, field: str) -> None:
    """Refuse a probability sample: as a reference it would lose its design, and the areas with it."""
    if is_point_table(spec):
        return
    # A sample has several layers, of which none was given.
    path = spec if is_sample(Path(spec)) else find_layer(spec, layer)[0]
    if is_sample(Path(path)):
        raise InputError(
            f"--reference {path} is a sample that bimors sample drew", f"use --sample {path}, without --field"
        )
    if field.casefold() == "reference":
        refuse_copy(Path(path))  # of a sample


def _unknown_classes(layer: MapLayer, reference: Reference, field: str) -> tuple[str, ...]:
    """Return the classes of the reference that are not labels of the layer."""
    classes = distinct(sorted({str(name) for name in reference.classes}))
    unknown = new_names(classes, layer.labels)
    if len(unknown) == len(classes):
        raise InputError(
            f"{reference.path}: no value of {field} is a label of {layer.path}",
            f"the reference has {_first_names(classes)}; the layer has {_first_names(layer.labels) or 'no labels'}",
        )
    return unknown


def _samples(layer: MapLayer, reference: Reference, labels: tuple[str, ...], min_overlap: float) -> ReferenceSamples:
    classes = class_indices([str(name) for name in reference.classes], labels)
    if reference.kind == "points":
        samples = samples_from_points(layer.polygons, reference.geometries, classes)
        problem, hint = "no point is inside a tile", "check that the points are in the area of the layer"
    else:
        samples = samples_from_polygons(layer.polygons, reference.geometries, classes, len(labels), min_overlap)
        problem = f"polygons cover no tile by {min_overlap:g} or more"
        hint = "use a lower --min-overlap, or draw larger polygons"
    if not len(samples.rows):
        raise InputError(f"{reference.path}: {problem} of {layer.path}", hint)
    without = samples.outside
    if reference.kind == "polygons":
        tiles = layer.polygons[samples.rows]
        without = int((~give_tiles(reference.geometries, classes, tiles, samples.classes)).sum())
    reference.counts.with_tiles(without).warn(
        "use a lower --min-overlap, or draw larger polygons" if reference.kind == "polygons" else hint
    )
    return samples


def _first_names(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
