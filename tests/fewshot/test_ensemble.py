"""Weights of views, and which views are chosen."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bimors_cli.fewshot.ensemble import PRIOR, Ensemble, Selection, fit_weights, select_views
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.probabilities import log_probabilities, loss_per_example
from bimors_cli.fewshot.view_classifier import FittedView, Member, ViewClassifier
from tests.fewshot.made import Array

CLASSES = 3
CLASSIFIER = ViewClassifier(None, (Member(None, 1.0),), 1.0)


def answers(labels: np.ndarray, clear: float, seed: int) -> Array:
    """Answers as good as ``clear`` says: 0 is noise."""
    noise = np.random.default_rng(seed).normal(0, 1, (len(labels), CLASSES))
    return log_probabilities(clear * np.eye(CLASSES)[labels] + noise, 1 / max(clear, 0.3))


def select(
    clear: dict[str, float], start: tuple[str, ...], count: int = 60, price: float = 0.02, seed: int = 0
) -> Selection:
    labels = np.arange(count) % CLASSES
    groups = [f"g{row // CLASSES // 2}" for row in range(count)]
    views = {
        name: FittedView(CLASSIFIER, answers(labels, c, seed * 100 + i)) for i, (name, c) in enumerate(clear.items())
    }
    inputs = {name: frozenset({"image"} if name.startswith("image") else {name}) for name in clear}
    prices = {"image": price, **dict.fromkeys(clear, price), "bands": 0.0, "bands-around": 0.0}
    return select_views(
        views, inputs, prices, start, labels, np.ones(count), leave_groups_out(groups, labels, 0), groups
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_weights_are_better(seed: int) -> None:
    labels = np.arange(40) % CLASSES
    views = [answers(labels, clear, seed * 10 + i) for i, clear in enumerate((2.0, 0.5))]
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, 40)

    def objective(logs: tuple[float, ...]) -> float:
        total = sum(np.exp(log) * view for log, view in zip(logs, views, strict=True))
        loss = loss_per_example(log_probabilities(np.asarray(total), 1.0), labels)
        return float((loss * weights).sum() + PRIOR * sum((log + np.log(2)) ** 2 for log in logs))

    found = fit_weights(views, labels, weights)
    best = min(map(objective, product(np.linspace(-4, 1.5, 111), repeat=2)))
    assert objective(tuple(np.log(found))) <= best + 1e-4


def test_a_view_alone_keeps_about_its_temperature() -> None:
    labels = np.arange(300) % CLASSES
    random = np.random.default_rng(0)
    true = log_probabilities(random.normal(0, 2, (300, CLASSES)), 1.0)
    labels = np.array([random.choice(CLASSES, p=row) for row in np.exp(true)])
    assert fit_weights([true], labels, np.ones(300))[0] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("seed", range(8))
def test_noise_does_not_replace_the_start(seed: int) -> None:
    found = select(
        {"bands": 1.5, "bands-around": 1.5, "image": 0.0, "captions": 0.0}, ("bands", "bands-around"), seed=seed
    )
    assert found.chosen.views == ("bands", "bands-around")
    assert found.left_out.shape == (60, CLASSES)


@pytest.mark.parametrize("seed", range(4))
def test_a_much_better_view_is_taken(seed: int) -> None:
    found = select({"bands": 0.5, "bands-around": 0.5, "image": 6.0}, ("bands", "bands-around"), seed=seed)
    assert "image" in found.chosen.views
    assert found.chosen.accuracy > 0.9 and found.chosen.loss < 0.3
    assert (found.left_out.argmax(axis=1) == np.arange(60) % CLASSES).mean() == pytest.approx(found.chosen.accuracy)


def test_a_view_has_to_be_worth_its_price() -> None:
    clear, start = {"bands": 0.5, "image": 6.0}, ("bands",)
    assert "image" in select(clear, start, price=0.1).chosen.views
    assert select(clear, start, price=10.0).chosen.views == start


def test_an_input_of_two_views_is_paid_once() -> None:
    clear = {"image": 0.5, "image names": 6.0}
    assert select(clear, ("image",), price=10.0).chosen.views != ("image",)


def test_cheaper_views_are_taken_where_they_are_as_good() -> None:
    clear = {"bands": 6.0, "image": 0.0}
    assert select(clear, ("bands", "image"), price=0.2).chosen.views == ("bands",)


def test_candidates_are_sorted_by_loss_and_each_once() -> None:
    found = select({"bands": 1.0, "image": 1.0, "around": 2.0}, ("bands",))
    losses = [each.loss for each in found.candidates]
    assert losses == sorted(losses)
    sets = [frozenset(each.views) for each in found.candidates]
    assert len(sets) == len(set(sets)) == 6
    assert found.chosen in found.candidates


def test_few_examples_have_equal_weights() -> None:
    found = select({"bands": 1.0, "image": 9.0}, ("bands",), count=7)
    assert found.chosen.views == ("bands",) and found.chosen.weights == (1.0,)
    assert np.isnan(found.chosen.loss) and np.isnan(found.chosen.accuracy)
    assert found.candidates == (found.chosen,) and found.left_out.shape == (7, CLASSES)


def test_many_examples_are_sampled() -> None:
    found = select({"bands": 1.0, "bands-around": 1.0}, ("bands",), count=6000)
    assert found.left_out.shape == (6000, CLASSES) and found.chosen.accuracy > 0.5


def test_an_ensemble_weighs_its_views() -> None:
    labels = np.arange(9) % CLASSES
    one, two = answers(labels, 2.0, 1), answers(labels, 2.0, 2)
    both = Ensemble({"b": CLASSIFIER, "a": CLASSIFIER}, {"a": 0.25, "b": 2.0})
    expected = log_probabilities(0.25 * one + 2 * two, 1.0)
    np.testing.assert_allclose(both.log_probabilities({"a": one, "b": two}), expected, atol=1e-12)
