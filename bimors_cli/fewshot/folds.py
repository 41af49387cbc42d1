"""Leaving out whole groups of examples: what a polygon holds is more alike than two polygons are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

# Up to so many groups each is left out alone; more are left out several at a time.
MAX_FOLDS: Final = 20

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Folds:
    """Which examples are left out together.

    Attributes
    ----------
    masks : tuple of bool array [n]
        The examples of each fold; every example is in one.
    answered : bool array [n]
        Whether the class of an example still has examples when its fold is left out. Of the others no classifier could
        give the answer, and they say nothing about it.
    group : int array [n]
        The number of the group of each example, from 0.
    groups : int
        Number of groups.
    """

    masks: tuple[Mask, ...]
    answered: Mask
    group: npt.NDArray[np.intp]
    groups: int


def leave_groups_out(groups: Sequence[str], labels: npt.NDArray[np.intp], seed: int) -> Folds:
    """Divide examples into folds of whole groups.

    Parameters
    ----------
    groups : sequence of str
        The group of each example.
    labels : int array [n]
        Their labels.
    seed : int
        Draws which groups are left out together, where there are more than `MAX_FOLDS`.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = min(len(names), MAX_FOLDS)
    # Groups that share a main class are dealt to different folds, so that no fold takes all of a class.
    largest = np.array([np.bincount(labels[index == group]).argmax() for group in range(len(names))])
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(largest[order], kind="stable")]
    fold_of_group = np.empty(len(names), np.intp)
    fold_of_group[order] = np.arange(len(names)) % max(count, 1)
    fold = fold_of_group[index]
    masks = tuple(fold == number for number in range(count))
    answered = np.ones(len(labels), np.bool_)
    for mask in masks:
        answered[mask] = np.isin(labels[mask], labels[~mask])
    return Folds(masks, answered, index.astype(np.intp), len(names))
