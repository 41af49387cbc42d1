"""Kernel ridge regression: closed forms against refits, and many examples."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import pytest

from bimors_cli.fewshot import kernel_ridge
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.kernel_ridge import (
    RIDGE,
    Kernel,
    choose_centres,
    fit_kernel_ridge,
    median_distance,
    similarities,
)
from bimors_cli.fewshot.view_classifier import fit_view
from tests.fewshot.made import Array, Examples, clouds

KERNELS: tuple[Kernel, ...] = ("gaussian", "laplace")


def refit(kernel: Kernel, made: Examples, kept: Array, asked: Array, bandwidth: float) -> Array:
    """Scores by the definition: (k(S, S) + ridge / weight)^-1 (Y - 1/K)."""
    values = made.values[kept]
    target = np.eye(made.classes)[made.labels[kept]] - 1 / made.classes
    gram = similarities(kernel, values, values, bandwidth) + np.diag(RIDGE / made.weights[kept])
    return similarities(kernel, asked, values, bandwidth) @ np.linalg.solve(gram, target)


@pytest.mark.parametrize("kernel", KERNELS)
def test_left_out_scores_are_those_of_refits(kernel: Kernel) -> None:
    made = clouds(12, group=3)
    ridge, scores = fit_kernel_ridge(kernel, *made.learned, made.folds)
    for mask in made.folds.masks:
        expected = refit(kernel, made, ~mask, made.values[mask], ridge.bandwidth)
        np.testing.assert_allclose(scores[mask], expected, atol=1e-10)
    everything = np.ones(len(made.labels), bool)
    asked = np.random.default_rng(5).normal(0, 3, (9, 5))
    np.testing.assert_allclose(ridge.scores(asked), refit(kernel, made, everything, asked, ridge.bandwidth), atol=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nystroem_with_all_examples_as_centres_is_exact(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clouds(20, group=4)
    exact, exact_scores = fit_kernel_ridge(kernel, *made.learned, made.folds)
    monkeypatch.setattr(kernel_ridge, "MAX_EXACT", 59)
    monkeypatch.setattr(kernel_ridge, "CENTRES", 60)
    monkeypatch.setattr(kernel_ridge, "_ROWS_AT_ONCE", 7)
    ridge, scores = fit_kernel_ridge(kernel, *made.learned, made.folds)
    assert len(ridge.centres) == 60
    # The bandwidth is that of a part of the examples: the same here up to that part.
    assert ridge.bandwidth == pytest.approx(exact.bandwidth, rel=0.2)
    monkeypatch.setattr(kernel_ridge, "median_distance", lambda *_: exact.bandwidth)
    ridge, scores = fit_kernel_ridge(kernel, *made.learned, made.folds)
    # A centre that is left out is still a centre here, so left-out answers differ a little.
    assert (scores.argmax(axis=1) == exact_scores.argmax(axis=1)).mean() > 0.95
    np.testing.assert_allclose(scores, exact_scores, atol=0.02)
    asked = np.random.default_rng(5).normal(0, 3, (9, 5))
    np.testing.assert_allclose(ridge.scores(asked), exact.scores(asked), atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nystroem_with_some_centres_answers_alike(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clouds(100, group=4)
    _, exact = fit_kernel_ridge(kernel, *made.learned, made.folds)
    monkeypatch.setattr(kernel_ridge, "MAX_EXACT", 100)
    monkeypatch.setattr(kernel_ridge, "CENTRES", 60)
    ridge, scores = fit_kernel_ridge(kernel, *made.learned, made.folds)
    assert len(ridge.centres) == 60
    assert (scores.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("exact", [True, False])
def test_equal_examples(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(kernel_ridge, "MAX_EXACT", 10)
    values, labels = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0), np.repeat([0, 1], 20)
    folds = leave_groups_out([str(i) for i in range(40)], labels, seed=0)
    ridge, scores = fit_kernel_ridge("gaussian", values, labels, np.ones(40), 2, folds)
    assert (scores.argmax(axis=1) == labels).all()
    assert np.isfinite(ridge.coefficients).all()
    alike = fit_kernel_ridge("laplace", values * 0, labels, np.ones(40), 2, folds)[0]
    assert np.isfinite(alike.scores(values)).all() and alike.bandwidth == 1.0


def test_no_tiles() -> None:
    made = clouds(4)
    ridge, _ = fit_kernel_ridge("gaussian", *made.learned, made.folds)
    assert ridge.scores(made.values[:0]).shape == (0, 3)


def test_centres_are_drawn_equally_from_classes() -> None:
    labels = np.repeat([0, 1, 2, 3], [500, 5, 100, 40])
    chosen = choose_centres(labels, 120, seed=0)
    assert len(chosen) == len(np.unique(chosen)) == 120
    counts = np.bincount(labels[chosen])
    assert counts[1] == 5 and counts[[0, 2, 3]].min() >= 38
    np.testing.assert_array_equal(chosen, choose_centres(labels, 120, seed=0))
    assert len(choose_centres(np.arange(300), 120, seed=0)) == 300  # no class without one


def test_the_median_is_that_of_different_examples() -> None:
    assert median_distance("laplace", np.array([[0.0], [0.0], [3.0]])) == 3.0
    assert median_distance("gaussian", np.zeros((1, 4))) == 1.0


def test_five_hundred_classes_of_one_example() -> None:
    made = clouds(1, classes=500, width=40, group=1)
    fitted = fit_view("statistics", made.values, made.labels, made.weights, 500, made.folds)
    assert not made.folds.answered.any()
    assert np.isfinite(fitted.left_out).all()
    found = fitted.classifier.log_probabilities(made.values)
    assert (found.argmax(axis=1) == made.labels).all()
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)


@pytest.mark.slow
def test_a_hundred_thousand_examples() -> None:
    made = clouds(10_000, classes=10, width=40, group=10)
    scale = 1024 if sys.platform == "linux" else 1
    before, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale, time.perf_counter()
    fitted = fit_view("statistics", made.values, made.labels, made.weights, 10, made.folds)
    seconds = time.perf_counter() - clock
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale - before
    right = float((fitted.left_out.argmax(axis=1) == made.labels).mean())
    print(f"{seconds:.0f} s, {grown / 1e6:.0f} MB, {right:.3f} correct")
    assert right > 0.9
    assert grown < 1.5e9
    assert seconds < 180  # about a minute on a free machine
