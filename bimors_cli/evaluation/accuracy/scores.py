"""Scores of a map: of all samples, of those with a label, and by area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.evaluation.accuracy.layer import NO_CLASS
from bimors_cli.metrics.scores import Proportion, Scores, score_predictions
from bimors_cli.output.style import NO_LABEL_NAME

_HECTARE: Final = 10_000.0  # square metres


@dataclass(frozen=True)
class MapScores:
    """Scores of M samples and K labels.

    Attributes
    ----------
    all_samples : Scores
        Of all samples. A tile without a label counts as an error: "no label" is a map class after the K labels, which
        is left out of the macro scores.
    labelled : Scores
        Of the samples whose tile has a label, with the calibration error.
    hectares : tuple of tuple of float, or None
        [K, K + 1], area of the tiles; rows are reference classes, columns are map classes, the last one "no label".
        None for points.
    confidence, correct : torch.Tensor
        float64 and bool, of the labelled samples whose confidence is known.
    """

    all_samples: Scores
    labelled: Scores
    hectares: tuple[tuple[float, ...], ...] | None
    confidence: torch.Tensor
    correct: torch.Tensor

    @property
    def labels(self) -> tuple[str, ...]:
        """The K labels."""
        return self.labelled.labels

    @property
    def coverage(self) -> Proportion:
        """Samples whose tile has a label, of all samples."""
        return Proportion(self.labelled.accuracy.total, self.all_samples.accuracy.total)

    @property
    def area_weighted_accuracy(self) -> float | None:
        """Fraction of the area that has the correct label, 0..1; None for points."""
        return self._correct_area(len(self.labels) + 1)

    @property
    def area_weighted_accuracy_labelled(self) -> float | None:
        """The same of the area that has a label."""
        return self._correct_area(len(self.labels))

    def _correct_area(self, columns: int) -> float | None:
        if self.hectares is None:
            return None
        table = np.array(self.hectares)[:, :columns]
        return _number(float(table.trace() / table.sum())) if table.sum() else None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file; nan becomes null."""
        count = len(self.labels)
        rows = self.all_samples.confusion[:count]
        return {
            "accuracy": self.all_samples.accuracy.value,
            "accuracy_interval": list(self.all_samples.accuracy.interval),
            "accuracy_labelled": _number(self.labelled.accuracy.value),
            "accuracy_labelled_interval": list(self.labelled.accuracy.interval),
            "coverage": self.coverage.value,
            "kappa": _number(self.all_samples.kappa),
            "kappa_labelled": _number(self.labelled.kappa),
            "balanced_accuracy": _number(self.all_samples.balanced_accuracy),
            "balanced_accuracy_labelled": _number(self.labelled.balanced_accuracy),
            "macro_f1": _number(self.all_samples.macro_f1),
            "macro_f1_labelled": _number(self.labelled.macro_f1),
            "ece": _number(self.labelled.calibration_error),
            "area_weighted_accuracy": self.area_weighted_accuracy,
            "area_weighted_accuracy_labelled": self.area_weighted_accuracy_labelled,
            "per_class": {label: self._class(index) for index, label in enumerate(self.labels)},
            "confusion": {
                "labels": list(self.labels),
                "rows": [list(row[:count]) for row in rows],
                "unlabelled": [row[count] for row in rows],
            },
            "confusion_hectares": None
            if self.hectares is None
            else {
                "labels": list(self.labels),
                "rows": [list(row[:count]) for row in self.hectares],
                "unlabelled": [row[count] for row in self.hectares],
            },
        }

    def _class(self, index: int) -> dict[str, float | None]:
        scores = self.all_samples
        recall = _number(scores.by_class[index].value)
        return {
            "tiles": scores.by_class[index].total,
            "precision": _number(scores.precision[index]),
            "recall": recall,
            "f1": _number(scores.f1[index]),
            "accuracy": recall,  # equal for a single class
            "accuracy_labelled": _number(self.labelled.by_class[index].value),
        }


def score_map(
    mapped: npt.NDArray[np.intp],
    reference: npt.NDArray[np.intp],
    confidence: npt.NDArray[np.float64],
    areas: npt.NDArray[np.float64] | None,
    labels: Sequence[str],
) -> MapScores:
    """Score map classes against reference classes.

    Parameters
    ----------
    mapped, reference : int array [M]
        Indices into ``labels``; `NO_CLASS` in ``mapped`` for a tile without a label.
    confidence : float array [M]
        Confidence of the map, 0..1; nan where unknown.
    areas : float array [M] or None
        Areas of the tiles in square metres.
    labels : sequence of str
        K names.
    """
    count = len(labels)
    has_label = mapped != NO_CLASS
    columns = np.where(has_label, mapped, count)
    confidence = np.where(has_label, confidence, np.nan)
    known = np.isfinite(confidence)
    return MapScores(
        score_predictions(torch.from_numpy(columns), torch.from_numpy(reference), [*labels, NO_LABEL_NAME]),
        score_predictions(
            torch.from_numpy(mapped[has_label]),
            torch.from_numpy(reference[has_label]),
            labels,
            torch.from_numpy(confidence[has_label]),
        ),
        None if areas is None else _hectares(reference, columns, areas, count),
        torch.from_numpy(confidence[known]),
        torch.from_numpy((columns == reference)[known]),
    )


def _hectares(
    reference: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], areas: npt.NDArray[np.float64], count: int
) -> tuple[tuple[float, ...], ...]:
    table = np.bincount(reference * (count + 1) + columns, areas / _HECTARE, count * (count + 1))
    return tuple(tuple(row) for row in table.reshape(count, count + 1).tolist())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
