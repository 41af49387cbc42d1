"""Made examples: classes as clouds of points, in groups whose members are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.folds import Folds, leave_groups_out
from bimors_cli.fewshot.probabilities import class_weights

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    values: Array
    labels: npt.NDArray[np.intp]
    weights: Array
    classes: int
    groups: list[str]

    @property
    def folds(self) -> Folds:
        return leave_groups_out(self.groups, self.labels, seed=0)

    @property
    def learned(self) -> tuple[Array, npt.NDArray[np.intp], Array, int]:
        """What every classifier takes."""
        return self.values, self.labels, self.weights, self.classes


def clouds(
    per_class: int, classes: int = 3, width: int = 5, *, group: int = 2, apart: float = 2.0, seed: int = 0
) -> Examples:
    """Make ``per_class`` examples of each class, in groups of ``group``, and unequal weights."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    means = random.normal(0, apart, (classes, width))
    number = np.arange(len(labels)) // group
    common = random.normal(0, 0.5, (number.max() + 1, width))
    values = means[labels] + common[number] + random.normal(0, 1, (len(labels), width))
    weights = class_weights(labels, random.uniform(0.5, 2, len(labels)), classes)
    return Examples(values, labels, weights, classes, [f"g{each}" for each in number])
