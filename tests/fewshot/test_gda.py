"""Discriminant analysis: the formula, leaving out, and examples that leave nothing to estimate a covariance from."""

from __future__ import annotations

import numpy as np
import pytest

from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.gda import Gda
from bimors_cli.fewshot.view_classifier import fit_view
from tests.fewshot.made import Array, Examples, clouds


def by_formula(made: Examples, asked: Array) -> Array:
    values, labels, weights, classes = made.learned
    count, width = values.shape
    means = np.stack([np.average(values[labels == k], axis=0, weights=weights[labels == k]) for k in range(classes)])
    centred = values - means[labels]
    scatter = (centred * weights[:, None]).T @ centred
    inverse = width * np.linalg.inv(scatter + np.trace(scatter) / (count - 1) * np.eye(width))
    return asked @ inverse @ means.T - 0.5 * np.einsum("kd,de,ke->k", means, inverse, means)


@pytest.mark.parametrize("width", [2, 11, 12, 13, 300])
def test_scores_are_those_of_the_formula(width: int) -> None:
    """Twelve examples: with more numbers than examples the Woodbury identity is used."""
    made = clouds(4, width=width)
    asked = np.random.default_rng(1).normal(0, 3, (7, width))
    expected = by_formula(made, asked)
    found = Gda.fit(*made.learned).scores(asked)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("width", [4, 50])
def test_scores_left_out_are_those_of_refits(width: int) -> None:
    made = clouds(6, width=width, group=3)
    left_out = Gda.scores_left_out(*made.learned, made.folds)
    for mask in made.folds.masks:
        refit = Gda.fit(made.values[~mask], made.labels[~mask], made.weights[~mask], made.classes)
        np.testing.assert_array_equal(left_out[mask], refit.scores(made.values[mask]))


def test_one_example_a_class_is_the_nearest_one() -> None:
    made = clouds(1, classes=5, width=8, group=1)
    asked = np.random.default_rng(2).normal(0, 3, (50, 8))
    nearest = ((asked[:, None] - made.values) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(Gda.fit(*made.learned).scores(asked).argmax(axis=1), nearest)


@pytest.mark.parametrize("width", [3, 40])
def test_equal_examples_have_scores_of_a_usual_size(width: int) -> None:
    """Their mean differs from them by rounding: that is no covariance."""
    made = clouds(1, classes=3, width=width, group=1)
    times = np.repeat(np.arange(3), 7)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, 21)
    scores = Gda.fit(made.values[times] + 0.1, times, weights, 3).scores(made.values + 0.1)
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.abs(scores).max() < 1e6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_class_without_examples_is_never_chosen(scale: float) -> None:
    """However unlike all examples a tile is, and however far apart the classes are."""
    made = clouds(5, classes=3, width=30, apart=50.0)
    fitted = Gda.fit(made.values, made.labels + (made.labels > 0), made.weights, 4)
    random = np.random.default_rng(4)
    asked = scale * np.concatenate((np.zeros((1, 30)), random.normal(0, 100, (300, 30))))
    scores = fitted.scores(asked)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) != 1).all()
    without = Gda.fit(made.values, made.labels, made.weights, 3).scores(asked)
    np.testing.assert_allclose(scores[:, [0, 2, 3]], without, rtol=1e-9)


def test_a_class_missing_in_a_fold_says_nothing_about_the_temperature() -> None:
    """A class of one group, which is left out with groups of other classes: these are as certain as without it."""
    made = clouds(20, classes=3, width=4, apart=2.0, group=1)
    values, labels = np.concatenate((made.values, np.zeros((2, 4)))), np.concatenate((made.labels, [3, 3]))
    folds = leave_groups_out([*made.groups, "lone", "lone"], labels, seed=0)
    assert len(folds.masks) == 20 and not folds.answered[-2:].any() and folds.answered[:-2].all()
    left_out = Gda.scores_left_out(values, labels, np.ones(62), 4, folds)
    assert (left_out[-2:].argmax(axis=1) != 3).all()
    assert (left_out[:-2].argmax(axis=1) == made.labels).mean() > 0.7
    fitted = fit_view("features", values, labels, np.ones(62), 4, folds)
    plain = fit_view("features", made.values, made.labels, np.ones(60), 3, made.folds)
    ratio = fitted.classifier.members[0].temperature / plain.classifier.members[0].temperature
    assert 0.5 < ratio < 2
