"""A classifier that learned from examples is corrected by how common its classes are, and by neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.refine.class_frequency import MOST, adjust_to_frequency, fit_class_frequency
from bimors_cli.refine.from_examples import from_examples
from tests.refine.scenes import Array, ece, made_map, right, softmax


def balanced_answers(frequency: Array, count: int, seed: int, clear: float = 1.5) -> tuple[Array, Array]:
    """Answers of a perfectly calibrated classifier that believes all classes equally frequent, and the truth.

    The evidence of a tile is normal around the corner of its class: the likelihood ratios are known.
    """
    random = np.random.default_rng(seed)
    truth = random.choice(len(frequency), count, p=frequency)
    evidence = random.normal(size=(count, len(frequency))) + clear * np.eye(len(frequency))[truth]
    return softmax(clear * evidence).astype(np.float32), truth


@pytest.mark.parametrize("frequency", [(0.25, 0.25, 0.25, 0.25), (0.5, 0.2, 0.15, 0.15), (0.45, 0.4, 0.15)])
def test_frequencies_are_those_of_the_map(frequency: tuple[float, ...]) -> None:
    expected = np.array(frequency)
    found = np.array([fit_class_frequency(balanced_answers(expected, 4000, seed)[0]) for seed in range(20)])
    # Unbiased: the mean over 20 maps is within three of its standard errors, or half a point.
    error = 3 * found.std(axis=0) / np.sqrt(20) + 0.005
    assert (np.abs(found.mean(axis=0) - expected) < error).all(), found.mean(axis=0)


def test_accuracy_gains_and_stays_calibrated() -> None:
    answers, truth = balanced_answers(np.array([0.7, 0.15, 0.1, 0.05]), 5000, 0)
    refined = from_examples(answers)
    assert right(refined, truth) > right(answers, truth) + 0.03
    assert ece(refined, truth) < 0.03
    given = from_examples(answers, frequencies=False)
    np.testing.assert_array_equal(given, answers)  # the user stated them


def test_a_rare_class_is_not_lost_where_confidence_is_too_low() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(5000) < 0.02).astype(np.intp)  # two tiles in a hundred, all answered right
    answers = np.where(np.eye(2)[truth] > 0, 0.85, 0.15).astype(np.float32)  # but with 85 % instead of 100 %
    refined = from_examples(answers)
    assert fit_class_frequency(answers)[1] == pytest.approx(1 / (1 + MOST))
    assert right(refined, truth) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 200))
def test_frequencies_sum_to_one_and_keep_the_least(seed: int, classes: int, count: int) -> None:
    random = np.random.default_rng(seed)
    answers = random.dirichlet(np.full(classes, 0.3), count).astype(np.float32)
    learned = random.dirichlet(np.full(classes, 5.0))
    found = fit_class_frequency(answers, learned)
    assert found.sum() == pytest.approx(1)
    assert (found / learned >= (found / learned).max() / MOST - 1e-9).all()
    refined = adjust_to_frequency(answers, found, learned)
    assert refined.dtype == np.float32 and np.isfinite(refined).all()
    np.testing.assert_allclose(refined.sum(axis=1), 1, atol=1e-5)
    order = random.permutation(count)
    np.testing.assert_allclose(fit_class_frequency(answers[order], learned), found, atol=1e-6)


def test_a_label_without_examples_stays_without_tiles() -> None:
    answers, _ = balanced_answers(np.array([0.7, 0.3]), 500, 0)
    with_third = np.column_stack((answers, np.zeros(500, np.float32)))
    learned = np.array([0.5, 0.5, 0.0])
    refined = from_examples(with_third, learned=learned)
    assert (refined[:, 2] == 0).all()
    np.testing.assert_allclose(refined[:, :2], from_examples(answers), atol=1e-6)


def test_two_classes_of_the_training_under_one_label() -> None:
    answers, _ = balanced_answers(np.array([0.5, 0.3, 0.2]), 3000, 1)
    merged = np.column_stack((answers[:, 0] + answers[:, 1], answers[:, 2]))
    found = fit_class_frequency(merged, np.array([2 / 3, 1 / 3]))
    # The sum of two classes that are not equally common is only nearly calibrated.
    np.testing.assert_allclose(found, [0.8, 0.2], atol=0.04)


def test_neighbours_help_where_the_map_has_structure_and_keep_the_mean_confidence() -> None:
    _, text, truth, near, _ = made_map(0, noise=4.0, clear=1.6)
    alone, smoothed = from_examples(text), from_examples(text, near)
    assert right(smoothed, truth) > right(alone, truth) + 0.1
    assert smoothed.max(axis=1).mean() == pytest.approx(alone.max(axis=1).mean(), abs=2e-3)


def test_neighbours_change_nothing_on_a_shuffled_map() -> None:
    _, text, _, near, _ = made_map(0, noise=4.0, clear=1.6)
    text = text[np.random.default_rng(0).permutation(len(text))]
    np.testing.assert_allclose(from_examples(text, near), from_examples(text), atol=2e-3)


def test_no_tiles() -> None:
    assert from_examples(np.zeros((0, 3), np.float32), np.zeros((0, 8), np.int64)).shape == (0, 3)


@pytest.mark.parametrize(
    ("answers", "learned"),
    [(np.full((2, 2), 0.4), None), (np.full((2, 2), np.nan), None), (np.full((2, 2), 0.5), np.full(3, 1 / 3))],
)
def test_arrays_that_do_not_fit_are_refused(answers: Array, learned: Array | None) -> None:
    with pytest.raises(ValueError, match=r"sum to 1|not finite|must be"):
        fit_class_frequency(answers, learned)
