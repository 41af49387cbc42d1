"""Sets of labels that hold the true one in a promised fraction of the tiles, from answers for left-out examples.

A set is a conformal prediction. For every left-out example it is known how far the true label was below the best one.
A set has all labels whose distance from the best one is at most a bound that only a few of the examples exceed.

What is promised: of the tiles of a class (or of classes that are judged together), at least the fraction ``coverage``
has a set with the true label, on average over draws of the examples, whatever the distribution. The promise is for a
tile whose place is exchangeable with the places of the examples of its class; tiles of one place may be alike. For
classes that are judged together it is a mean in which each class counts by the number of its places among the examples:
on a map with other proportions the fraction may be lower.

- Places, not examples, are exchangeable, so each place has the same weight: Lee, Barber and Willett, "Distribution-free
  inference with hierarchical data", 2023, arXiv 2306.06342; Dunn, Wasserman and Ramdas, "Distribution-free prediction
  sets for two-layer hierarchical models", JASA 2022, arXiv 1809.07441.
- Each class has its own bound where it has enough places, so that the promise does not depend on how common it is:
  Vovk, "Conditional validity of inductive conformal predictors", 2013, arXiv 1209.2673.
- The distance of a label is p(best) - p(label), so that the best label is always in a set: Johansson et al.,
  "Model-agnostic nonconformity functions for conformal classification", IJCNN 2017. It was chosen on rondonia and
  redfox with the views of bands, six draws. With 1 - p(label) 90 to 93 % were held of 95 % on rondonia, where the
  confidence differs between places; with p(best) - p(label) 99 to 100 %. With the summed probability of all better
  labels the sets of redfox (16 px, 16 examples, 95 %) have 2.0 labels on average, with p(best) - p(label) 1.4.
- The examples were left out with their places, and the tiles are answered by the classifier that learned from all of
  them. This is the jackknife, not split conformal prediction: the promise is exact only if leaving out one place hardly
  changes the answers (Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
  Statistics 2021, arXiv 1905.02928). ``tests/benchmarks/label_sets.py`` measures it on real scenes.
- An empty set is a tile that is unlike all examples (`bimors_cli.fewshot.unlikeness`). The rate of such false alarms is
  subtracted from the errors that the labels may make, so that both together keep the promise (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.probabilities import Array, Labels

# Fraction of the permitted errors that empty sets may make; with few places it is more, but not more than the second
# number: else the labels would have too few errors left, and the sets would be large.
_EMPTY: Final = 0.1
_MOST_EMPTY: Final = 0.25
_ROUNDING: Final = 1e-9
# Bound of a label without examples: not even the best label is so near.
_NEVER: Final = -1.0


@dataclass(frozen=True)
class LeftOut:
    """Answers for examples by classifiers that did not learn from their places.

    Attributes
    ----------
    log_p : float array [n, K]
        Log probabilities of the labels of the training.
    labels : int array [n]
        The true labels.
    places : int array [n]
        The place of each example: a polygon, or a block of neighbouring tiles.
    together : bool
        Whether examples that were drawn together were left out separately, as the classes were drawn in one place each:
        the answers are better than they will be elsewhere.
    """

    log_p: npt.NDArray[np.floating]
    labels: Labels
    places: Labels
    together: bool = False

    @property
    def num_places(self) -> int:
        """Number of places."""
        return len(np.unique(self.places))

    def places_by_label(self) -> list[int]:
        """Return the number of places of each label of the training."""
        return [len(np.unique(self.places[self.labels == label])) for label in range(self.log_p.shape[1])]


@dataclass(frozen=True)
class LabelSets:
    """The rule that makes sets of K labels.

    Attributes
    ----------
    coverage : float
        The promised fraction of sets with the true label.
    farthest : tuple of float
        K numbers: by how much a label may be less probable than the best one; negative for a label that is in no set.
    alone, together : tuple of int
        Labels for which the promise holds one by one, and labels for which it holds together.
    unproven : tuple of int
        Labels for which nothing is promised: all their examples are of one place, so that none could be left out.
    examples, places : int
        What it rests on.
    empty_rate : float
        Largest fraction of the tiles like the examples whose set may be empty; 0 if no set can be empty.
    """

    coverage: float
    farthest: tuple[float, ...]
    alone: tuple[int, ...]
    together: tuple[int, ...]
    unproven: tuple[int, ...]
    examples: int
    places: int
    empty_rate: float

    def of(self, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Return which labels are in the sets of tiles with probabilities [n, K]: bool [n, K]; none for NaN."""
        return distances(probabilities) <= np.array(self.farthest)


def distances(probabilities: npt.NDArray[np.floating]) -> Array:
    """Return by how much each label is less probable than the best one: float64 [n, K]."""
    values = probabilities.astype(np.float64)
    return np.asarray(values.max(axis=1, keepdims=True) - values, np.float64)


def places_needed(error: float) -> int:
    """Return the least number of places from which a fraction of errors, above 0, can be promised."""
    return max(math.ceil(1 / error - _ROUNDING) - 1, 1)


def largest_coverage(places: int) -> float:
    """Return the largest coverage that can be promised from so many places."""
    return 1 - 1 / (places + 1)


def empty_rate(error: float, least_rate: float) -> float:
    """Return how many of the permitted errors are left to empty sets; 0 where the places are too few for that.

    Parameters
    ----------
    error : float
        The fraction of tiles whose set may lack the true label.
    least_rate : float
        The lowest rate of false alarms that the examples can keep, see `Unlikeness.least_rate`.
    """
    rate = max(least_rate, _EMPTY * error)
    return rate if rate <= _MOST_EMPTY * error + _ROUNDING else 0.0


def fit_label_sets(
    probabilities: npt.NDArray[np.floating],
    labels: Labels,
    places: Labels,
    known: npt.NDArray[np.bool_],
    coverage: float,
    empty: float = 0.0,
) -> LabelSets | None:
    """Find how far below the best label the labels of a set may be.

    Parameters
    ----------
    probabilities : float array [n, K]
        Of left-out examples; computed as those of the tiles.
    labels : int array [n]
        Their true labels.
    places : int array [n]
        Their places.
    known : bool array [K]
        Which labels the classifier has learned. Those without a left-out example get the widest bound of the others.
    coverage : float
        The promised fraction of sets with the true label, above 0 and below 1.
    empty : float
        The part of the other share, ``1 - coverage``, that is left to empty sets.

    Returns
    -------
    LabelSets or None
        None if all examples together are from fewer than ``places_needed(1 - coverage - empty)`` places.
    """
    error = 1 - coverage - empty
    judged = _judged_together(labels, places, places_needed(error))
    if judged is None:
        return None
    own = distances(probabilities)[np.arange(len(labels)), labels]
    farthest = np.full(len(known), _NEVER)
    for group in judged:
        rows = np.isin(labels, group)
        farthest[list(group)] = _bound(own[rows], places[rows], error)
    unproven = known & (farthest == _NEVER)
    farthest[unproven] = farthest.max()
    return LabelSets(
        coverage,
        tuple(farthest.tolist()),
        alone=tuple(group[0] for group in judged if len(group) == 1),
        together=tuple(label for group in judged if len(group) > 1 for label in group),
        unproven=tuple(np.flatnonzero(unproven).tolist()),
        examples=len(labels),
        places=len(np.unique(places)),
        empty_rate=empty,
    )


def _judged_together(labels: Labels, places: Labels, needed: int) -> list[tuple[int, ...]] | None:
    """Return the labels that have a bound of their own, and the others as one group; None if there are too few places.

    Labels with too few places are judged together. Where they are still too few, that with the fewest places of the
    others is added.
    """

    def count(group: Sequence[int]) -> int:
        return len(np.unique(places[np.isin(labels, group)]))

    sizes = {label: count([label]) for label in np.unique(labels).tolist()}
    enough = sorted((label for label in sizes if sizes[label] >= needed), key=lambda label: (sizes[label], label))
    few = [label for label in sizes if sizes[label] < needed]
    while few and enough and count(few) < needed:
        few.append(enough.pop(0))
    if (few and count(few) < needed) or not sizes:
        return None
    return [*((label,) for label in sorted(enough)), *([tuple(sorted(few))] if few else [])]


def _bound(own: Array, places: Labels, error: float) -> float:
    """Return the largest distance that is not among the largest of the examples.

    A distance is refused if its conformal p-value, (1 + sum over places of the fraction of examples with at least that
    distance) / (1 + number of places), is at most ``error``.
    """
    index, counts = np.unique(places, return_inverse=True, return_counts=True)[1:]
    order = np.argsort(own, kind="stable")
    ordered, shares = own[order], (1 / counts[index])[order]
    # With equal distances, it is that of all of them: the first of them has it.
    at_least = np.cumsum(shares[::-1])[::-1][np.searchsorted(ordered, ordered, side="left")]
    kept = ordered[1 + at_least > error * (len(counts) + 1) + _ROUNDING]
    return float(kept.max())
