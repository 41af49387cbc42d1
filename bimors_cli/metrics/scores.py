"""Accuracy, scores by class and calibration error of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from scipy.stats import binomtest
from torch.nn import functional
from torchmetrics.functional import classification

BINS: Final = 15
# A softmax sums to 1 up to rounding; beyond this, a number is not a probability.
_ROUNDING: Final = 1e-4


@dataclass(frozen=True)
class Proportion:
    """``correct`` of ``total`` examples."""

    correct: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.total:
            raise ValueError(f"{self.correct} of {self.total} is not a proportion")

    @property
    def value(self) -> float:
        """0..1; nan for a total of 0."""
        return self.correct / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval (Wilson 1927), 0..1; (0, 1) for a total of 0."""
        if not self.total:
            return 0.0, 1.0
        found = binomtest(self.correct, self.total).proportion_ci(confidence_level=0.95, method="wilson")
        return float(found.low), float(found.high)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; null where there is no number."""
        return {"right": self.correct, "of": self.total, "value": _plain(self.value), "interval": list(self.interval)}


@dataclass(frozen=True)
class Scores:
    """Scores of N predictions of K labels.

    Parameters
    ----------
    labels : tuple of str
        The K names, in order.
    accuracy : Proportion
        Correct predictions of all.
    by_class : tuple of Proportion
        Recall: correct predictions of the examples of each class.
    precision : tuple of float
        Fraction of the predictions of a class that is correct, 0..1; nan for a class that is never predicted.
    f1 : tuple of float
        Harmonic mean of a class's precision and recall, 0..1; nan for a class without examples.
    macro_f1, balanced_accuracy : float
        Mean of ``f1`` and of recall over the classes that have examples, 0..1, each class with the same weight.
    kappa : float
        Agreement beyond chance (Cohen 1960), -1..1; nan where chance agreement is 1, as with one class.
    calibration_error : float
        As `calibration_error`; nan where the predictions have no confidence.
    confusion : tuple of tuple of int
        [K, K], rows are true classes, columns are predictions.
    """

    labels: tuple[str, ...]
    accuracy: Proportion
    by_class: tuple[Proportion, ...]
    precision: tuple[float, ...]
    f1: tuple[float, ...]
    macro_f1: float
    balanced_accuracy: float
    kappa: float
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; null where there is no number."""
        return {
            "labels": list(self.labels),
            "accuracy": self.accuracy.as_json(),
            "by_class": [recall.as_json() for recall in self.by_class],
            "precision": [_plain(value) for value in self.precision],
            "f1": [_plain(value) for value in self.f1],
            "macro_f1": _plain(self.macro_f1),
            "balanced_accuracy": _plain(self.balanced_accuracy),
            "kappa": _plain(self.kappa),
            "calibration_error": _plain(self.calibration_error),
            "confusion": [list(row) for row in self.confusion],
        }


def score(probabilities: torch.Tensor, target: torch.Tensor, labels: Sequence[str]) -> Scores:
    """Score probabilities against true classes.

    A class without examples is left out of the macro scores; a prediction of it still counts as an error of the true
    class. Of two equal probabilities the first label is predicted.

    Parameters
    ----------
    probabilities : torch.Tensor
        float [N, K], 0..1. With N = 0 all scores are nan.
    target : torch.Tensor
        int64 [N], index of each true class in ``labels``.
    labels : sequence of str
        K names.

    Raises
    ------
    ValueError
        The shapes differ, a target is not in 0..K-1, or a number is not a probability.
    """
    _check(probabilities, target)
    if probabilities.shape[1] != len(labels):
        raise ValueError(f"{probabilities.shape[1]} columns of probabilities for {len(labels)} labels")
    predicted = probabilities.argmax(dim=1) if len(target) else target
    return _compare(predicted, target, labels, calibration_error(probabilities, target))


def score_predictions(
    predicted: torch.Tensor, target: torch.Tensor, labels: Sequence[str], confidence: torch.Tensor | None = None
) -> Scores:
    """Score predicted labels, with or without confidence, against true classes; the scores are those of `score`.

    Parameters
    ----------
    predicted, target : torch.Tensor
        int64 [N], index of each prediction and of each true class in ``labels``. N may be 0.
    labels : sequence of str
        K names.
    confidence : torch.Tensor, optional
        float [N], 0..1, of the predictions; nan where unknown: left out of the calibration error.

    Raises
    ------
    ValueError
        The shapes differ, a prediction or a target is not in 0..K-1, or a confidence is not a probability.
    """
    if predicted.ndim != 1 or predicted.shape != target.shape:
        raise ValueError(f"predictions {tuple(predicted.shape)} do not match targets {tuple(target.shape)}")
    for name, indices in (("prediction", predicted), ("target", target)):
        if not ((indices >= 0) & (indices < len(labels))).all():
            raise ValueError(f"a {name} is not the index of a label")
    error = math.nan
    if confidence is not None:
        known = ~confidence.isnan()
        error = confidence_calibration_error(confidence[known], (predicted == target)[known])
    return _compare(predicted, target, labels, error)


def _compare(predicted: torch.Tensor, target: torch.Tensor, labels: Sequence[str], calibration: float) -> Scores:
    count = len(labels)
    confusion = torch.zeros(count, count, dtype=torch.int64)
    precision, f1, kappa = torch.full((count,), math.nan), torch.full((count,), math.nan), math.nan
    if len(target):
        classes = max(count, 2)  # torchmetrics needs at least two classes
        confusion = classification.multiclass_confusion_matrix(predicted, target, classes)[:count, :count].cpu()
        precision = classification.multiclass_precision(predicted, target, classes, average=None)[:count].double().cpu()
        f1 = classification.multiclass_f1_score(predicted, target, classes, average=None)[:count].double().cpu()
        kappa = float(classification.multiclass_cohen_kappa(predicted, target, classes))
    examples, correct = confusion.sum(dim=1), confusion.diagonal()
    precision[confusion.sum(dim=0) == 0] = math.nan
    f1[examples == 0] = math.nan
    by_class = tuple(Proportion(int(hits), int(count)) for hits, count in zip(correct, examples, strict=True))
    return Scores(
        labels=tuple(labels),
        accuracy=Proportion(int(correct.sum()), len(target)),
        by_class=by_class,
        precision=tuple(precision.tolist()),
        f1=tuple(f1.tolist()),
        macro_f1=float(f1.nanmean()),
        balanced_accuracy=float(torch.tensor([recall.value for recall in by_class], dtype=torch.float64).nanmean()),
        kappa=kappa,
        calibration_error=calibration,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def calibration_error(probabilities: torch.Tensor, target: torch.Tensor) -> float:
    """Compute the expected calibration error, 0..1: 15 bins of equal width over the confidence (Guo et al. 2017).

    Parameters
    ----------
    probabilities, target
        As `score`; nan for N = 0.
    """
    _check(probabilities, target)
    if not len(target):
        return math.nan
    clamped = probabilities.clamp(0, 1)  # torchmetrics would take rounding above 1 for logits
    if clamped.shape[1] == 1:
        clamped = functional.pad(clamped, (0, 1))  # at least two classes are needed; this one is never predicted
    return float(classification.multiclass_calibration_error(clamped, target, clamped.shape[1], n_bins=BINS, norm="l1"))


def confidence_calibration_error(confidence: torch.Tensor, correct: torch.Tensor) -> float:
    """Compute `calibration_error` from the confidence of the predictions alone.

    Parameters
    ----------
    confidence : torch.Tensor
        float [N], 0..1.
    correct : torch.Tensor
        bool [N].

    Raises
    ------
    ValueError
        A number is not a probability.
    """
    _check_probabilities(confidence)
    if not len(confidence):
        return math.nan
    clamped = confidence.clamp(0, 1)
    return float(classification.binary_calibration_error(clamped, correct.long(), n_bins=BINS, norm="l1"))


def most_confused(scores: Scores, count: int) -> list[tuple[str, str, int]]:
    """List the most frequent errors: true label, predicted label, count. Ties are in the order of the labels."""
    pairs = [
        (true, predicted, number)
        for true, row in zip(scores.labels, scores.confusion, strict=True)
        for predicted, number in zip(scores.labels, row, strict=True)
        if true != predicted and number
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:count]


def _check(probabilities: torch.Tensor, target: torch.Tensor) -> None:
    if probabilities.ndim != 2 or target.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities {tuple(probabilities.shape)} do not match targets {tuple(target.shape)}")
    _check_probabilities(probabilities)
    if not ((target >= 0) & (target < probabilities.shape[1])).all():
        raise ValueError("a target is not the index of a label")


def _check_probabilities(values: torch.Tensor) -> None:
    if not ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():  # nan is neither
        raise ValueError("not probabilities: a number is outside 0..1")


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
