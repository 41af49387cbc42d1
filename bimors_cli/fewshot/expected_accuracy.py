"""The accuracy to expect on a scene, from answers for examples that were left out with their groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import t

from bimors_cli.fewshot.folds import Folds
from bimors_cli.fewshot.probabilities import Array, Labels

LEVEL: Final = 0.95
# The variance between few groups is itself uncertain, and 0 where all answers are correct. It is averaged with that of
# groups whose examples are all alike, which counts as so many groups. In 1,000 draws of 10 to 60 groups of 1 to 5
# examples (accuracy 0.6 to 0.95, correlation 0 to 0.7) intervals hold the accuracy in 92 to 99 %, without it in 88
# to 98 %.
_ALIKE: Final = 3


@dataclass(frozen=True)
class ExpectedAccuracy:
    """Fraction of correct answers, with a 95 % interval; every class counts the same.

    ``examples`` and ``groups`` are the numbers that it rests on: polygons, or blocks of neighbouring tiles.
    """

    value: float
    low: float
    high: float
    examples: int
    groups: int


def expected_accuracy(
    log_p: Array, labels: Labels, weights: Array, folds: Folds, groups: Sequence[str]
) -> ExpectedAccuracy | None:
    """Estimate the accuracy from log probabilities [n, K] of left-out examples.

    The examples of a group are alike: the variance is that between groups (the linearised ratio estimator of a cluster
    sample), see `_ALIKE`. It is turned into an effective number of examples, and that into Wilson's interval (Wilson
    1927) with Student's t for the number of groups.

    Returns
    -------
    ExpectedAccuracy or None
        None where fewer than two groups have a class that others have too.
    """
    rows = np.flatnonzero(folds.answered)
    index = np.unique(np.asarray(groups, dtype=str)[rows], return_inverse=True)[1] if len(rows) else np.zeros(0, int)
    count = int(index.max()) + 1 if len(rows) else 0
    if count < 2:
        return None
    correct = (log_p[rows].argmax(axis=1) == labels[rows]).astype(np.float64)
    share = weights[rows] / weights[rows].sum()
    # Without rounding where all are correct.
    mean = 1.0 if correct.all() else float((share * correct).sum())
    sums = np.bincount(index, share * (correct - mean))
    alone = mean * (1 - mean)  # the variance of one answer
    largest, least = (1 / float((part**2).sum()) for part in (share, np.bincount(index, share)))
    between = float((sums**2).sum()) * count / (count - 1)
    variance = ((count - 1) * between + _ALIKE * alone / least) / (count - 1 + _ALIKE)
    effective = min(alone / variance, largest) if alone > 0 else least
    z2 = float(t.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    middle = (mean + z2 / (2 * effective)) / (1 + z2 / effective)
    half = np.sqrt(z2 * (alone / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    return ExpectedAccuracy(
        mean, float(np.clip(middle - half, 0.0, mean)), float(np.clip(middle + half, mean, 1.0)), len(rows), count
    )
