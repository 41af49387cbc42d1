"""How often answers are right, class by class, and whether their confidence can be believed."""

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
# A softmax sums to 1 up to rounding; what is further off is no probability.
_ROUNDING: Final = 1e-4


@dataclass(frozen=True)
class Share:
    """``right`` of ``of``: a share that knows how many examples it stands on."""

    right: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.of:
            raise ValueError(f"{self.right} of {self.of} is no share")

    @property
    def value(self) -> float:
        """The share, 0..1; nan of nothing."""
        return self.right / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson 1927), 0..1; of nothing, everything is possible."""
        if not self.of:
            return 0.0, 1.0
        found = binomtest(self.right, self.of).proportion_ci(confidence_level=0.95, method="wilson")
        return float(found.low), float(found.high)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; null where there is no number."""
        return {"right": self.right, "of": self.of, "value": _plain(self.value), "interval": list(self.interval)}


@dataclass(frozen=True)
class Scores:
    """What N answers to K labels are worth.

    Parameters
    ----------
    labels : tuple of str
        The K names, in order.
    accuracy : Share
        Right answers of all.
    by_class : tuple of Share
        Of the examples of each class, those that got its name (recall).
    precision : tuple of float
        Of the answers that name a class, the share that is right, 0..1; nan for a class that is nobody's answer.
    f1 : tuple of float
        Harmonic mean of a class's precision and recall, 0..1; nan for a class without examples.
    macro_f1, balanced_accuracy : float
        Mean of ``f1`` and of recall over the classes that have examples, 0..1, each class with the same weight.
    kappa : float
        Agreement beyond chance (Cohen 1960), -1..1; nan where chance alone is always right, as with one class.
    calibration_error : float
        See `calibration_error`; nan where the answers came without confidence.
    confusion : tuple of tuple of int
        [K, K], a row a true class, a column an answer.
    """

    labels: tuple[str, ...]
    accuracy: Share
    by_class: tuple[Share, ...]
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
            "by_class": [share.as_json() for share in self.by_class],
            "precision": [_plain(value) for value in self.precision],
            "f1": [_plain(value) for value in self.f1],
            "macro_f1": _plain(self.macro_f1),
            "balanced_accuracy": _plain(self.balanced_accuracy),
            "kappa": _plain(self.kappa),
            "calibration_error": _plain(self.calibration_error),
            "confusion": [list(row) for row in self.confusion],
        }


def score(probabilities: torch.Tensor, target: torch.Tensor, labels: Sequence[str]) -> Scores:
    """Compare answers with the truth.

    A class without examples takes no part in the macro figures; an answer that names it wrongly still counts against
    the class that it was an example of. Of two equal probabilities the first label is the answer.

    Parameters
    ----------
    probabilities : torch.Tensor
        float [N, K], 0..1. N may be 0: then there are no numbers (nan), and no error.
    target : torch.Tensor
        int64 [N], the place of each true class in ``labels``.
    labels : sequence of str
        K names.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a target is not one of K, or a number is not a probability.
    """
    _check(probabilities, target)
    if probabilities.shape[1] != len(labels):
        raise ValueError(f"{probabilities.shape[1]} columns of probabilities for {len(labels)} labels")
    answer = probabilities.argmax(dim=1) if len(target) else target
    return _compare(answer, target, labels, calibration_error(probabilities, target))


def score_answers(
    answer: torch.Tensor, target: torch.Tensor, labels: Sequence[str], confidence: torch.Tensor | None = None
) -> Scores:
    """Compare answers of which the label alone is known, or its confidence as well, with the truth.

    Figures as those of `score`.

    Parameters
    ----------
    answer, target : torch.Tensor
        int64 [N], the places of each answer and of each true class in ``labels``. N may be 0.
    labels : sequence of str
        K names.
    confidence : torch.Tensor, optional
        float [N], 0..1, of the answers; nan for an answer without one: it takes no part in the calibration error.

    Raises
    ------
    ValueError
        The shapes do not fit each other, an answer or a target is not one of K, or a confidence is not a probability.
    """
    if answer.ndim != 1 or answer.shape != target.shape:
        raise ValueError(f"answers {tuple(answer.shape)} do not fit a target {tuple(target.shape)}")
    for name, places in (("an answer", answer), ("a target", target)):
        if not ((places >= 0) & (places < len(labels))).all():
            raise ValueError(f"{name} is none of the labels")
    error = math.nan
    if confidence is not None:
        known = ~confidence.isnan()
        error = answer_calibration_error(confidence[known], (answer == target)[known])
    return _compare(answer, target, labels, error)


def _compare(answer: torch.Tensor, target: torch.Tensor, labels: Sequence[str], calibration: float) -> Scores:
    count = len(labels)
    confusion = torch.zeros(count, count, dtype=torch.int64)
    precision, f1, kappa = torch.full((count,), math.nan), torch.full((count,), math.nan), math.nan
    if len(target):
        classes = max(count, 2)  # torchmetrics knows no fewer than two classes
        confusion = classification.multiclass_confusion_matrix(answer, target, classes)[:count, :count].cpu()
        precision = classification.multiclass_precision(answer, target, classes, average=None)[:count].double().cpu()
        f1 = classification.multiclass_f1_score(answer, target, classes, average=None)[:count].double().cpu()
        kappa = float(classification.multiclass_cohen_kappa(answer, target, classes))
    examples, right = confusion.sum(dim=1), confusion.diagonal()
    precision[confusion.sum(dim=0) == 0] = math.nan
    f1[examples == 0] = math.nan
    by_class = tuple(Share(int(r), int(n)) for r, n in zip(right, examples, strict=True))
    return Scores(
        labels=tuple(labels),
        accuracy=Share(int(right.sum()), len(target)),
        by_class=by_class,
        precision=tuple(precision.tolist()),
        f1=tuple(f1.tolist()),
        macro_f1=float(f1.nanmean()),
        balanced_accuracy=float(torch.tensor([share.value for share in by_class], dtype=torch.float64).nanmean()),
        kappa=kappa,
        calibration_error=calibration,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def calibration_error(probabilities: torch.Tensor, target: torch.Tensor) -> float:
    """Expected calibration error, 0..1: 15 bins of equal width, the answer's confidence (Guo et al. 2017).

    Parameters
    ----------
    probabilities, target
        See `score`; nan of nothing.
    """
    _check(probabilities, target)
    if not len(target):
        return math.nan
    kept = probabilities.clamp(0, 1)  # torchmetrics would take rounding above 1 for logits
    if kept.shape[1] == 1:
        kept = functional.pad(kept, (0, 1))  # it knows no fewer than two classes; this one is nobody's answer
    return float(classification.multiclass_calibration_error(kept, target, kept.shape[1], n_bins=BINS, norm="l1"))


def answer_calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """Expected calibration error of answers whose other probabilities are not known; the same figure.

    Parameters
    ----------
    confidence : torch.Tensor
        float [N], 0..1.
    right : torch.Tensor
        bool [N].

    Raises
    ------
    ValueError
        A number is not a probability.
    """
    _check_probabilities(confidence)
    if not len(confidence):
        return math.nan
    kept = confidence.clamp(0, 1)
    return float(classification.binary_calibration_error(kept, right.long(), n_bins=BINS, norm="l1"))


def most_confused(scores: Scores, count: int) -> list[tuple[str, str, int]]:
    """List the commonest mistakes: true label, answer, how often. Equal ones stay in the order of the labels."""
    pairs = [
        (truth, answer, number)
        for truth, row in zip(scores.labels, scores.confusion, strict=True)
        for answer, number in zip(scores.labels, row, strict=True)
        if truth != answer and number
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:count]


def _check(probabilities: torch.Tensor, target: torch.Tensor) -> None:
    if probabilities.ndim != 2 or target.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities {tuple(probabilities.shape)} do not fit a target {tuple(target.shape)}")
    _check_probabilities(probabilities)
    if not ((target >= 0) & (target < probabilities.shape[1])).all():
        raise ValueError("a target is none of the labels")


def _check_probabilities(values: torch.Tensor) -> None:
    if not ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():  # nan is neither
        raise ValueError("not probabilities: a number is outside 0..1")


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
