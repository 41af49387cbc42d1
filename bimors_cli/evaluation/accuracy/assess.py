"""A map checked against a reference: from two vector files to figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.evaluation.accuracy.layer import NO_ANSWER, MapLayer, distinct, find_places, read_map_layer
from bimors_cli.evaluation.accuracy.reference import (
    Reference,
    ReferenceSamples,
    read_reference,
    truth_of_points,
    truth_of_polygons,
)
from bimors_cli.evaluation.accuracy.scores import MapScores, score_map
from bimors_cli.labels import new_names
from bimors_cli.options.accuracy import AssessOptions

_SHOWN = 5


@dataclass(frozen=True)
class MapCheck:
    """What a map is worth, and on what that stands.

    Attributes
    ----------
    options : AssessOptions
        What was compared.
    layer, reference_layer : str
        The layers that were found.
    kind : {"polygons", "points"}
        What the reference is. A sample is a tile that polygons cover enough, or a point in a tile.
    scores : MapScores
        The figures of the samples.
    unknown : tuple of str
        Classes of the reference that are no labels of the layer.
    counts : mapping of str to int or None
        ``tiles`` of the layer; ``with_truth`` and ``without_truth`` of them; ``samples``; ``unlabelled`` of the
        samples; ``corrected`` tiles of the layer, None where the file does not say; ``points_outside``, None for
        polygons; of the reference's features ``features_elsewhere``, ``features_without_class``,
        ``features_repaired``.
    reasons : mapping of str to int
        Why samples have no label.
    """

    options: AssessOptions
    layer: str
    reference_layer: str
    kind: str
    scores: MapScores
    unknown: tuple[str, ...]
    counts: Mapping[str, int | None]
    reasons: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; null where there is no number."""
        return {
            **self.scores.as_json(),
            "counts": {**self.counts, "unlabelled_by_reason": dict(self.reasons)},
            "classes_without_label": list(self.unknown),
            "layer": {"path": str(Path(self.options.layer_file).resolve()), "layer": self.layer},
            "reference": {
                "path": self.options.reference,
                "layer": self.reference_layer,
                "field": self.options.field,
                "kind": self.kind,
                "min_overlap": self.options.min_overlap if self.kind == "polygons" else None,
            },
        }


def check_map(options: AssessOptions) -> MapCheck:
    """Compare the labels of a layer with a reference.

    Of polygons, a tile's truth is the class that covers the largest part of it, where the reference covers at least
    ``min_overlap`` of it. Of points, each point in a tile is a sample. Labels are those of the layer, then the classes
    of the reference that are none of them, alphabetically; case, underscores and the width of spaces do not count, and
    a synonym of the run's labels is that label.

    Raises
    ------
    InputError
        As `read_map_layer` and `read_reference`; an overlap outside 0..1; no class of the reference is a label; no tile
        has a truth.
    """
    file, field = options.samples()
    layer = read_map_layer(options.layer_file, options.layer)
    reference = read_reference(file, field, layer.place, options.reference_layer)
    called = np.array([layer.called(str(name)) for name in reference.classes], object)
    reference = replace(reference, classes=called)
    unknown = _unknown(layer, reference, field)
    labels = (*layer.labels, *unknown)
    truth = _truth(layer, reference, labels, options.min_overlap)
    answers = layer.answers[truth.rows]
    with_truth = len(np.unique(truth.rows))
    reasons = Counter(str(reason) or "not told" for reason in layer.reasons[truth.rows][answers == NO_ANSWER])
    return MapCheck(
        options,
        layer.name,
        reference.layer,
        reference.kind,
        score_map(
            answers,
            truth.classes,
            layer.confidence[truth.rows],
            layer.areas(truth.rows) if reference.kind == "polygons" else None,
            labels,
        ),
        unknown,
        {
            "tiles": len(layer.answers),
            "with_truth": with_truth,
            "without_truth": len(layer.answers) - with_truth,
            "samples": len(truth.rows),
            "unlabelled": int((answers == NO_ANSWER).sum()),
            "corrected": layer.corrected,
            "points_outside": truth.outside + reference.elsewhere if reference.kind == "points" else None,
            "features_elsewhere": reference.elsewhere,
            "features_without_class": reference.classless,
            "features_repaired": reference.repaired,
        },
        dict(reasons.most_common()),
    )


def _unknown(layer: MapLayer, reference: Reference, field: str) -> tuple[str, ...]:
    """Return the classes of the reference that are no labels of the layer."""
    classes = distinct(sorted({str(name) for name in reference.classes}))
    unknown = new_names(classes, layer.labels)
    if len(unknown) == len(classes):
        raise InputError(
            f"{reference.path}: no value of {field} is a label of {layer.path}",
            f"the reference has {_some(classes)}; the layer has {_some(layer.labels) or 'no label at all'}",
        )
    return unknown


def _truth(layer: MapLayer, reference: Reference, labels: tuple[str, ...], min_overlap: float) -> ReferenceSamples:
    classes = find_places([str(name) for name in reference.classes], labels)
    if reference.kind == "points":
        truth = truth_of_points(layer.polygons, reference.geometries, classes)
        problem, hint = "no point lies in a tile", "are they of another part of the scene?"
    else:
        truth = truth_of_polygons(layer.polygons, reference.geometries, classes, len(labels), min_overlap)
        problem = f"no tile is covered for {min_overlap:g} of it"
        hint = "use a lower --min-overlap, or draw larger polygons"
    if not len(truth.rows):
        raise InputError(f"{reference.path}: {problem} of {layer.path}", hint)
    return truth


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
