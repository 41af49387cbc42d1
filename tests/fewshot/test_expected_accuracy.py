"""The interval of the expected accuracy holds the accuracy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bimors_cli.fewshot.expected_accuracy import ExpectedAccuracy, expected_accuracy
from bimors_cli.fewshot.folds import Folds, leave_groups_out
from bimors_cli.fewshot.probabilities import class_weights


def estimate(
    correct: npt.NDArray[np.bool_], group: npt.NDArray[np.intp], labels: npt.NDArray[np.intp]
) -> ExpectedAccuracy | None:
    answers = np.where(correct, labels, (labels + 1) % 3)
    folds = Folds((), np.ones(len(labels), bool), int(group.max()) + 1)
    weights = class_weights(labels, np.ones(len(labels)), 3)
    return expected_accuracy(np.eye(3)[answers], labels, weights, folds, [str(each) for each in group])


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("groups", [10, 25, 60])
@pytest.mark.parametrize("alike", [0.1, 0.5])
def test_intervals_hold_the_accuracy(groups: int, accuracy: float, alike: float) -> None:
    """1,000 draws of groups of one to five examples; ``alike`` is the correlation of answers in a group."""
    random = np.random.default_rng(groups)
    draws, held = 1000, 0
    strength = (1 - alike) / alike
    for _ in range(draws):
        group = np.repeat(np.arange(groups), random.integers(1, 6, groups))
        chance = random.beta(accuracy * strength, (1 - accuracy) * strength, groups)
        labels = random.permutation(np.arange(groups) % 3)[group]
        found = estimate(random.random(len(group)) < chance[group], group, labels)
        assert found is not None and 0 <= found.low <= found.value <= found.high <= 1
        held += found.low <= accuracy <= found.high
    assert 0.915 <= held / draws <= 0.995


def test_more_groups_say_more_than_more_examples() -> None:
    def width(groups: int, each: int) -> float:
        group = np.repeat(np.arange(groups), each)
        found = estimate(group % 5 > 0, group, group % 3)
        assert found is not None and found.groups == groups and found.examples == groups * each
        return found.high - found.low

    assert width(60, 1) < 0.8 * width(15, 4)
    assert width(15, 4) == pytest.approx(width(15, 40), rel=0.05)


@pytest.mark.parametrize("right", [True, False])
def test_all_answers_alike_are_not_certain(right: bool) -> None:
    group = np.repeat(np.arange(12), 5)
    found = estimate(np.full(60, right), group, group % 3)
    assert found is not None and found.value == right
    assert 0.15 < found.high - found.low < 0.4


def test_every_class_counts_the_same() -> None:
    labels = np.array([0] * 30 + [1] * 5 + [2] * 5)
    found = estimate(labels == 0, np.arange(40), labels)
    assert found is not None and found.value == pytest.approx(1 / 3)


def test_no_estimate_without_two_groups() -> None:
    labels = np.array([0, 0, 1, 1])
    folds = leave_groups_out(["a", "a", "b", "b"], labels, 0)
    assert expected_accuracy(np.zeros((4, 2)), labels, np.ones(4), folds, ["a", "a", "b", "b"]) is None
