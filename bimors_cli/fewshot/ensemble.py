"""Several views together: their log probabilities are summed with weights, and the views are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.folds import Folds
from bimors_cli.fewshot.probabilities import Array, Labels, loss_per_example
from bimors_cli.fewshot.view_classifier import ENOUGH, FittedView, ViewClassifier

# Strength of the prior that all views of a set have the same weight. Few examples say little about weights: on zion
# (3 to 50 examples a class) weights without it lose 0.3 points, with it nothing; where names and images differ much
# (WHU-RS19, 16 examples), equal weights lose 1 point.
PRIOR: Final = 1.0
# The views to start with are replaced only where the loss falls by so many standard errors, and by the price of what a
# network would have to process for each tile. Measured on zion and Rondonia (12 to 200 examples): with no
# standard error 81.8 and 95 % correct, with one 83.7 and 95, with two 83.7 and 99 %.
STANDARD_ERRORS: Final = 2.0
# The loss of a set of views is a mean: so many examples are enough for it.
_SELECTED_ON: Final = 5000


@dataclass(frozen=True)
class Ensemble:
    """The classifiers of some views, by name, and their weights.

    The answer is softmax(sum of w_v log p_v).
    """

    views: Mapping[str, ViewClassifier]
    weights: Mapping[str, float]

    def log_probabilities(self, values: Mapping[str, npt.NDArray[np.floating]]) -> Array:
        """Return log probabilities [n, K] of the values [n, d] of each view."""
        names = sorted(self.views)  # the same sum in the same order, however they were stored
        return _weighted(
            [self.views[name].log_probabilities(values[name]) for name in names],
            [self.weights[name] for name in names],
        )


@dataclass(frozen=True)
class Candidate:
    """A set of views that was tried.

    Attributes
    ----------
    views : tuple of str
        Their names.
    weights : tuple of float
        The weight of each.
    loss, accuracy : float
        Log loss and fraction of correct answers for left-out examples, every class with the same weight; NaN where no
        example can be left out.
    """

    views: tuple[str, ...]
    weights: tuple[float, ...]
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Selection:
    """The chosen views, what was tried, and the log probabilities [n, K] of left-out examples."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    left_out: Array

    def loss_of(self, view: str) -> float:
        """Return the log loss of a view alone; NaN if it was not tried."""
        return next((each.loss for each in self.candidates if each.views == (view,)), float("nan"))


def select_views(
    fitted: Mapping[str, FittedView],
    inputs: Mapping[str, frozenset[str]],
    prices: Mapping[str, float],
    start: Sequence[str],
    labels: Labels,
    weights: Array,
    folds: Folds,
    groups: Sequence[str],
) -> Selection:
    """Choose views by the log loss of left-out examples.

    Each view alone is tried, the views to start with, these with each of the others, and all. The views to start with
    stay unless others are better beyond chance, see `STANDARD_ERRORS`.

    Parameters
    ----------
    fitted : mapping of str to FittedView
        The views, by name.
    inputs : mapping of str to frozenset of str
        By view what a network has to process for it; an input of several views is counted once.
    prices : mapping of str to float
        By how much the loss has to fall for an input.
    start : sequence of str
        The views to start with.
    labels, weights, folds, groups
        Of the examples: labels [n], weights [n], folds, and group of each.
    """
    rows = np.flatnonzero(folds.answered)
    if len(rows) < ENOUGH:
        # Only what learned from no example has answers; the others have default temperatures.
        parts = [fitted[name].left_out for name in start]
        equal = (1.0,) * len(start)
        candidate = Candidate(tuple(start), equal, float("nan"), float("nan"))
        return Selection(candidate, (candidate,), _weighted(parts, equal))
    if len(rows) > _SELECTED_ON:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:_SELECTED_ON])
    own, share = labels[rows], weights[rows]
    index = np.unique(np.asarray(groups, dtype=str)[rows], return_inverse=True)[1]
    answers = {name: view.left_out[rows] for name, view in fitted.items()}

    def losses(views: tuple[str, ...], view_weights: Sequence[float]) -> Array:
        return loss_per_example(_weighted([answers[name] for name in views], view_weights), own)

    tried: list[Candidate] = []
    best, gain_of_best = None, -np.inf
    before: Array | None = None
    for views in _sets(tuple(fitted), tuple(start)):
        view_weights = fit_weights([answers[name] for name in views], own, share)
        loss = losses(views, view_weights)
        correct = _weighted([answers[name] for name in views], view_weights).argmax(axis=1) == own
        found = Candidate(
            views, view_weights, float(np.average(loss, weights=share)), float(np.average(correct, weights=share))
        )
        tried.append(found)
        if before is None:
            before, best, gain_of_best = loss, found, 0.0
            continue
        more = _price(views, inputs, prices) - _price(start, inputs, prices)
        gain = before - loss
        mean = float(np.average(gain, weights=share))
        gain_of_set = mean - STANDARD_ERRORS * _standard_error(gain, share, index) - more
        if gain_of_set > gain_of_best:
            best, gain_of_best = found, gain_of_set
    assert best is not None  # the first set is always taken
    left_out = _weighted([fitted[name].left_out for name in best.views], best.weights)
    return Selection(best, tuple(sorted(tried, key=lambda each: each.loss)), left_out)


def fit_weights(answers: Sequence[Array], labels: Labels, weights: Array) -> tuple[float, ...]:
    """Fit the weights of views to log probabilities [n, K] of left-out examples, one array per view.

    The weights minimise the summed log loss plus `PRIOR` times the squared distance of their logarithms from equal
    weights that sum to 1.
    """
    from scipy.optimize import minimize

    stacked = np.stack(answers)
    equal = np.full(len(answers), -np.log(len(answers)))

    def objective(logs: Array) -> float:
        loss = loss_per_example(_weighted(list(stacked), np.exp(logs).tolist()), labels)
        return float((loss * weights).sum() + PRIOR * ((logs - equal) ** 2).sum())

    found = minimize(objective, equal, method="L-BFGS-B").x
    return tuple(float(value) for value in np.exp(found))


def _sets(names: tuple[str, ...], start: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the sets of views to try, each once; the views to start with come first."""
    sets = [start, *((name,) for name in names)]
    sets += [(*start, name) for name in names if name not in start]
    sets += [names]
    return list(dict.fromkeys(sets))


def _price(views: Sequence[str], inputs: Mapping[str, frozenset[str]], prices: Mapping[str, float]) -> float:
    return sum(prices[name] for name in frozenset[str]().union(*(inputs[view] for view in views)))


def _standard_error(values: Array, weights: Array, group: Labels) -> float:
    """Standard error of a weighted mean whose values [n] are independent between groups only."""
    share = weights / weights.sum()
    sums = np.bincount(group, share * (values - (share * values).sum()))
    count = len(sums)
    return float(np.sqrt((sums**2).sum() * count / max(count - 1, 1)))


def _weighted(answers: Sequence[Array], weights: Sequence[float]) -> Array:
    from scipy.special import log_softmax

    total = sum(weight * answer for weight, answer in zip(weights, answers, strict=True))
    found: Array = log_softmax(np.asarray(total), axis=1)
    return found
