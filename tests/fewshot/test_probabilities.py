"""Temperatures and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.probabilities import (
    PSEUDO_EXAMPLES,
    class_weights,
    fit_temperature,
    log_probabilities,
    loss_per_example,
)
from bimors_cli.fewshot.view_classifier import DEFAULT_TEMPERATURE, Kind, fit_view
from tests.fewshot.made import Array, clouds


@given(st.integers(0, 10_000), st.floats(-4, 5), st.floats(0, 5), st.integers(5, 60))
@settings(max_examples=40)
def test_no_temperature_has_a_lower_loss(seed: int, scale: float, clear: float, count: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    scores = np.exp(scale) * (clear * np.eye(4)[labels] + random.normal(0, 1, (count, 4)))
    weights = random.uniform(0.2, 2, count)

    def loss(temperature: float) -> float:
        return float(np.average(loss_per_example(log_probabilities(scores, temperature), labels), weights=weights))

    found = fit_temperature(scores, labels, weights)
    assert np.isfinite(found) and found > 0
    assert loss(found) <= min(map(loss, np.exp(np.linspace(-8, 14, 150)))) + 1e-6


@pytest.mark.parametrize("count", [4, 40, 400])
def test_perfect_answers_are_not_certain(count: int) -> None:
    labels = np.arange(count) % 2
    scores = np.eye(2)[labels]
    temperature = fit_temperature(scores, labels, np.ones(count))
    confidence = np.exp(log_probabilities(scores, temperature)).max(axis=1)[0]
    assert 0.001 < temperature < 10
    # Half of an example is unknown, and the other class is half of its truth.
    assert confidence == pytest.approx(1 - PSEUDO_EXAMPLES / (count + PSEUDO_EXAMPLES) / 2, abs=1e-3)


def test_wrong_and_equal_answers_have_high_temperatures() -> None:
    labels = np.arange(30) % 3
    for scores in (np.eye(3)[(labels + 1) % 3], np.zeros((30, 3))):
        found = fit_temperature(scores, labels, np.ones(30))
        np.testing.assert_allclose(np.exp(log_probabilities(scores, found)), 1 / 3, atol=0.01)


def test_class_weights() -> None:
    labels = np.array([0, 0, 0, 2])
    found = class_weights(labels, np.array([1.0, 1, 2, 5]), 3)
    assert found.mean() == pytest.approx(1) and found[3] == pytest.approx(found[:3].sum())
    np.testing.assert_allclose(found[:3] / found[0], [1, 1, 2])


def ece(log_p: Array, labels: np.ndarray) -> float:
    confidence, right = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == labels
    bins = (confidence * 10).astype(int)
    return float(sum(abs((confidence - right)[bins == each].sum()) for each in range(11)) / len(labels))


KINDS: tuple[Kind, ...] = ("features", "statistics")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("apart", [0.7, 1.5])
def test_probabilities_are_calibrated(kind: Kind, apart: float) -> None:
    """On tiles that no example is like, and for left-out examples."""
    # Groups are drawn anew: a tile of the scene is of no polygon of the examples.
    made = clouds(600, classes=4, apart=apart, seed=2, group=4)
    known = np.arange(len(made.labels)) // 4 % 6 == 0
    labels = made.labels[known]
    folds = leave_groups_out([group for group, own in zip(made.groups, known, strict=True) if own], labels, 0)
    fitted = fit_view(kind, made.values[known], labels, np.ones(known.sum()), 4, folds)
    tiles = fitted.classifier.log_probabilities(made.values[~known])
    assert ece(tiles, made.labels[~known]) < 0.05
    assert ece(fitted.left_out, labels) < 0.08
    assert (tiles.argmax(axis=1) == made.labels[~known]).mean() > 0.5


def test_few_examples_have_default_temperatures() -> None:
    made = clouds(2, group=1)
    fitted = fit_view("statistics", *made.learned, made.folds)
    assert [member.temperature for member in fitted.classifier.members] == [DEFAULT_TEMPERATURE] * 2
    assert fitted.classifier.temperature == 2
    assert (fitted.classifier.log_probabilities(made.values).argmax(axis=1) == made.labels).all()


def test_answers_learn_their_temperature_only() -> None:
    made = clouds(10)
    answers = log_probabilities(3 * np.eye(3)[made.labels] + np.random.default_rng(0).normal(0, 2, (30, 3)), 0.1)
    fitted = fit_view("answers", answers.astype(np.float32), made.labels, made.weights, 3, made.folds)
    assert fitted.classifier.members[0].temperature > 2
    np.testing.assert_allclose(fitted.left_out, fitted.classifier.log_probabilities(answers), atol=1e-5)
    np.testing.assert_allclose(np.exp(fitted.left_out).sum(axis=1), 1)


def test_left_out_answers_are_those_without_the_fold() -> None:
    """With its own label changed, the answer for an example stays (but for the temperatures, which all decide)."""
    made = clouds(12, group=3)
    before = fit_view("features", *made.learned, made.folds)
    mask = made.folds.masks[0]
    changed = np.where(mask, (made.labels + 1) % 3, made.labels)
    after = fit_view("features", made.values, changed, made.weights, 3, made.folds)
    assert (before.left_out[mask].argmax(axis=1) == after.left_out[mask].argmax(axis=1)).all()
