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
    groups : int
        Number of groups.
    group_of : int array [n], optional
        The group of each example, from 0; None where each example is one.
    """

    masks: tuple[Mask, ...]
    answered: Mask
    groups: int
    group_of: npt.NDArray[np.intp] | None = None


def leave_groups_out(groups: Sequence[str], labels: npt.NDArray[np.intp], seed: int, most: int = MAX_FOLDS) -> Folds:
    """Divide examples into folds of whole groups.

    Parameters
    ----------
    groups : sequence of str
        The group of each example.
    labels : int array [n]
        Their labels.
    seed : int
        Draws which groups are left out together, where there are more than ``most``.
    most : int
        Most folds.

    Returns
    -------
    Folds
        They depend on the names of the groups, not on the order of the examples.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = min(len(names), most)
    # Groups that share a main class are dealt to different folds, so that no fold takes all of a class.
    pairs, counts = np.unique(np.column_stack((index, labels)), axis=0, return_counts=True)
    by_count = np.lexsort((-pairs[:, 1], counts, pairs[:, 0]))  # the last of a group is its most common label
    largest = np.empty(len(names), np.intp)
    largest[pairs[by_count, 0]] = pairs[by_count, 1]
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(largest[order], kind="stable")]
    fold_of_group = np.empty(len(names), np.intp)
    fold_of_group[order] = np.arange(len(names)) % max(count, 1)
    fold = fold_of_group[index]
    masks = tuple(fold == number for number in range(count))
    answered = np.ones(len(labels), np.bool_)
    for mask in masks:
        answered[mask] = np.isin(labels[mask], labels[~mask])
    return Folds(masks, answered, len(names), index)
