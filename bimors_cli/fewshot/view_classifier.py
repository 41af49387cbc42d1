"""The classifier of one view: several heads in closed form, each with its temperature, that agree on an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.folds import Folds
from bimors_cli.fewshot.gda import Gda
from bimors_cli.fewshot.kernel_ridge import Kernel, KernelRidge, fit_kernel_ridge
from bimors_cli.fewshot.probabilities import Array, Labels, fit_temperature, log_probabilities
from bimors_cli.fewshot.scaling import Scaling

# Fewer examples that can be left out do not fit a temperature.
ENOUGH: Final = 8
# Without them: kernel ridge alone, with this temperature. Measured on WHU-RS19 with one example a class, beside the
# names: CLIP 88.2 % (names alone 81.4), with temperatures 0.05 and 0.3 87.4 and 85.9 %.
DEFAULT_TEMPERATURE: Final = 0.1

# `features`: of a network, of length 1. `statistics`: numbers of any range, scaled first. `answers`: log probabilities
# of the labels, of which only the temperature is learned.
Kind = Literal["features", "statistics", "answers"]
_KERNELS: Final[dict[Kind, tuple[Kernel, ...]]] = {
    "features": ("gaussian",),
    "statistics": ("gaussian", "laplace"),
    "answers": (),
}


@dataclass(frozen=True)
class Member:
    """A fitted head and the divisor of its scores. None is for a view whose values are scores themselves."""

    head: Gda | KernelRidge | None
    temperature: float

    def log_probabilities(self, values: Array) -> Array:
        """Return log probabilities [n, K] of scaled values [n, d]."""
        return log_probabilities(values if self.head is None else self.head.scores(values), self.temperature)


@dataclass(frozen=True)
class ViewClassifier:
    """Classifies the values of a view: log probabilities of its members are summed, and divided by ``temperature``.

    Attributes
    ----------
    scaling : Scaling or None
        Applied to the values first.
    members : tuple of Member
        At least one.
    temperature : float
        Members that agree make the sum too certain: this corrects it.
    """

    scaling: Scaling | None
    members: tuple[Member, ...]
    temperature: float

    def scaled(self, values: npt.NDArray[np.floating]) -> Array:
        """Return values [n, d] as the members take them, float64."""
        return values.astype(np.float64) if self.scaling is None else self.scaling(values)

    def log_probabilities(self, values: npt.NDArray[np.floating]) -> Array:
        """Return log probabilities [n, K] of values [n, d]."""
        scaled = self.scaled(values)
        total = sum(member.log_probabilities(scaled) for member in self.members)
        return log_probabilities(np.asarray(total), self.temperature)


@dataclass(frozen=True)
class FittedView:
    """A fitted classifier, and its log probabilities [n, K] for each example without the example's fold."""

    classifier: ViewClassifier
    left_out: Array


def fit_view(
    kind: Kind,
    values: npt.NDArray[np.floating],
    labels: Labels,
    weights: Array,
    classes: int,
    folds: Folds,
    scaling: Scaling | None = None,
) -> FittedView:
    """Fit the classifier of a view.

    Parameters
    ----------
    kind : {"features", "statistics", "answers"}
        What the values are.
    values : float array [n, d]
        The view of each example.
    labels : int array [n]
        Their labels.
    weights : float64 array [n]
        Their weights, with mean 1.
    classes : int
        K, the number of classes.
    folds : Folds
        What is left out together. Fewer than `ENOUGH` examples that can be left out: default temperatures, and no
        discriminant analysis, whose scores have no natural range.
    scaling : Scaling, optional
        Scaling of statistics; by default that of the examples.
    """
    if kind == "statistics" and scaling is None:
        scaling = Scaling.of(values.astype(np.float64))
    plain = ViewClassifier(scaling if kind == "statistics" else None, (), 1.0)
    scaled = plain.scaled(values)
    if kind == "answers":
        # It learned from no example: all of them are left out.
        temperature = fit_temperature(scaled, labels, weights)
        member = Member(None, temperature)
        return FittedView(ViewClassifier(None, (member,), 1.0), member.log_probabilities(scaled))
    enough = int(folds.answered.sum()) >= ENOUGH
    fitted: list[tuple[Gda | KernelRidge, Array]] = []
    if enough:
        left_out = Gda.scores_left_out(scaled, labels, weights, classes, folds)
        fitted.append((Gda.fit(scaled, labels, weights, classes), left_out))
    fitted += [fit_kernel_ridge(kernel, scaled, labels, weights, classes, folds) for kernel in _KERNELS[kind]]
    members, answers = [], []
    for head, scores in fitted:
        temperature = _temperature(scores, labels, weights, folds) if enough else DEFAULT_TEMPERATURE
        members.append(Member(head, temperature))
        answers.append(log_probabilities(scores, temperature))
    total = np.asarray(sum(answers))
    overall = _temperature(total, labels, weights, folds) if enough else float(len(members))
    return FittedView(ViewClassifier(plain.scaling, tuple(members), overall), log_probabilities(total, overall))


def _temperature(scores: Array, labels: Labels, weights: Array, folds: Folds) -> float:
    rows = folds.answered
    return fit_temperature(scores[rows], labels[rows], weights[rows])
