"""Which views and which bands carry each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import rankdata

from bimors_cli.fewshot.folds import Folds
from bimors_cli.fewshot.gda import Gda
from bimors_cli.fewshot.probabilities import Array, Labels

# More bands are not looked at one by one.
MOST_BANDS: Final = 64


@dataclass(frozen=True)
class Carrier:
    """How well a view, or a band alone, separates a class from the others.

    ``area`` is the area under the ROC curve for left-out examples: the probability that an example of the class has a
    higher score than one of another class. 0.5 is chance.
    """

    name: str
    area: float


def view_carriers(left_out: Mapping[str, Array], labels: Labels, folds: Folds, classes: int) -> list[list[Carrier]]:
    """Return for each class the views, best first; ``left_out`` are log probabilities [n, K] by view."""
    return _best({name: _areas(scores, labels, folds, classes) for name, scores in left_out.items()}, classes)


def band_carriers(
    values: Array, band_of_number: tuple[str, ...], labels: Labels, weights: Array, classes: int, folds: Folds
) -> list[list[Carrier]]:
    """Return for each class the bands, best first, each by a discriminant analysis of its numbers alone.

    Parameters
    ----------
    values : float64 array [n, d]
        Scaled statistics of the examples.
    band_of_number : tuple of str
        The band, or pair of bands, of each of the d numbers.
    labels, weights, classes, folds
        Of the examples.
    """
    titles = tuple(dict.fromkeys(band_of_number))
    if len(titles) > MOST_BANDS:
        return [[] for _ in range(classes)]
    of_number = np.array(band_of_number)
    found = {}
    for title in titles:
        scores = Gda.scores_left_out(values[:, of_number == title], labels, weights, classes, folds)
        found[title] = _areas(scores, labels, folds, classes)
    return _best(found, classes)


def _areas(scores: Array, labels: Labels, folds: Folds, classes: int) -> list[float]:
    rows = folds.answered
    areas = []
    for label in range(classes):
        own = labels[rows] == label
        count, others = int(own.sum()), int((~own).sum())
        if not count or not others:
            areas.append(float("nan"))
            continue
        # The margin over the other classes: a score that is high for all of them tells nothing.
        margin = scores[rows, label] - np.delete(scores[rows], label, axis=1).max(axis=1)
        ranks = rankdata(margin)
        areas.append(float((ranks[own].sum() - count * (count + 1) / 2) / (count * others)))
    return areas


def _best(areas: Mapping[str, list[float]], classes: int) -> list[list[Carrier]]:
    return [
        sorted(
            (Carrier(name, found[label]) for name, found in areas.items() if np.isfinite(found[label])),
            key=lambda carrier: -carrier.area,
        )
        for label in range(classes)
    ]
