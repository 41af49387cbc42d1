"""The figures of a map: what its labels are worth, with the tiles that have none and without them, and by area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.evaluation.accuracy.layer import NO_ANSWER
from bimors_cli.metrics.scores import Scores, Share, score_answers
from bimors_cli.output.style import NO_LABEL_NAME

_HECTARE: Final = 10_000.0  # square metres


@dataclass(frozen=True)
class MapScores:
    """Figures of M samples and K labels.

    Attributes
    ----------
    everything : Scores
        Of all samples. "no label" is an answer beside the K labels, and always wrong; as a class without examples it
        takes no part in the macro figures.
    labelled : Scores
        Of the samples whose tile has a label. The calibration error is here: no label, no confidence.
    hectares : tuple of tuple of float, or None
        [K, K + 1], the area of the tiles, a row a true class, a column an answer, the last one "no label"; None for
        points, which have no area.
    confidence, right : torch.Tensor
        float64 and bool, of the labelled samples whose confidence is known.
    """

    everything: Scores
    labelled: Scores
    hectares: tuple[tuple[float, ...], ...] | None
    confidence: torch.Tensor
    right: torch.Tensor

    @property
    def labels(self) -> tuple[str, ...]:
        """The K labels."""
        return self.labelled.labels

    @property
    def coverage(self) -> Share:
        """The samples whose tile has a label."""
        return Share(self.labelled.accuracy.of, self.everything.accuracy.of)

    @property
    def area_weighted_accuracy(self) -> float | None:
        """The share of the area that has the right label, 0..1."""
        return self._right_area(len(self.labels) + 1)

    @property
    def area_weighted_accuracy_labelled(self) -> float | None:
        """The same of the area that has a label."""
        return self._right_area(len(self.labels))

    def _right_area(self, answers: int) -> float | None:
        if self.hectares is None:
            return None
        table = np.array(self.hectares)[:, :answers]
        return _number(float(table.trace() / table.sum())) if table.sum() else None

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; null where there is no number."""
        count = len(self.labels)
        rows = self.everything.confusion[:count]
        return {
            "accuracy": self.everything.accuracy.value,
            "accuracy_interval": list(self.everything.accuracy.interval),
            "accuracy_labelled": _number(self.labelled.accuracy.value),
            "accuracy_labelled_interval": list(self.labelled.accuracy.interval),
            "coverage": self.coverage.value,
            "kappa": _number(self.everything.kappa),
            "kappa_labelled": _number(self.labelled.kappa),
            "balanced_accuracy": _number(self.everything.balanced_accuracy),
            "balanced_accuracy_labelled": _number(self.labelled.balanced_accuracy),
            "macro_f1": _number(self.everything.macro_f1),
            "macro_f1_labelled": _number(self.labelled.macro_f1),
            "ece": _number(self.labelled.calibration_error),
            "area_weighted_accuracy": self.area_weighted_accuracy,
            "area_weighted_accuracy_labelled": self.area_weighted_accuracy_labelled,
            "per_class": {label: self._class(place) for place, label in enumerate(self.labels)},
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

    def _class(self, place: int) -> dict[str, float | None]:
        found = self.everything
        recall = _number(found.by_class[place].value)
        return {
            "tiles": found.by_class[place].of,
            "precision": _number(found.precision[place]),
            "recall": recall,
            "f1": _number(found.f1[place]),
            "accuracy": recall,  # of one class the two are one figure
            "accuracy_labelled": _number(self.labelled.by_class[place].value),
        }


def score_map(
    answers: npt.NDArray[np.intp],
    target: npt.NDArray[np.intp],
    confidence: npt.NDArray[np.float64],
    areas: npt.NDArray[np.float64] | None,
    labels: Sequence[str],
) -> MapScores:
    """Compare a map with the truth.

    Parameters
    ----------
    answers, target : int array [M]
        Places in ``labels``, `NO_ANSWER` among the answers for a tile without a label.
    confidence : float array [M]
        0..1, of the answers; nan where it is not known.
    areas : float array [M] or None
        Of the tiles, in square metres.
    labels : sequence of str
        K names.
    """
    count = len(labels)
    has_label = answers != NO_ANSWER
    given = np.where(has_label, answers, count)
    certain = np.where(has_label, confidence, np.nan)
    known = np.isfinite(certain)
    return MapScores(
        score_answers(torch.from_numpy(given), torch.from_numpy(target), [*labels, NO_LABEL_NAME]),
        score_answers(
            torch.from_numpy(answers[has_label]),
            torch.from_numpy(target[has_label]),
            labels,
            torch.from_numpy(certain[has_label]),
        ),
        None if areas is None else _hectares(target, given, areas, count),
        torch.from_numpy(certain[known]),
        torch.from_numpy((given == target)[known]),
    )


def _hectares(
    target: npt.NDArray[np.intp], given: npt.NDArray[np.intp], areas: npt.NDArray[np.float64], count: int
) -> tuple[tuple[float, ...], ...]:
    table = np.bincount(target * (count + 1) + given, areas / _HECTARE, count * (count + 1))
    return tuple(tuple(row) for row in table.reshape(count, count + 1).tolist())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
