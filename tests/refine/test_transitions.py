"""Transitions between two dates: simulations with a known truth, and properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.refine.transitions import Transitions, fit_transitions, fitting_rows

Table = npt.NDArray[np.float64]
Classes = npt.NDArray[np.intp]


def simulate(
    count: int,
    classes: int,
    change: float,
    correlation: float,
    *,
    spread: float = 0.7,
    priors: tuple[float, ...] = (),
    seed: int = 0,
) -> tuple[Classes, Classes, Table, Table]:
    """Classes of tiles at two dates, and calibrated answers; the errors of both have a correlation."""
    random = np.random.default_rng(seed)
    means = 2 * np.eye(classes)
    before = random.choice(classes, count, p=random.dirichlet(np.full(classes, 4.0)))
    after = np.where(random.random(count) < change, (before + 1) % classes, before)
    common = random.normal(size=(count, classes))
    tables = []
    for truth in (before, after):
        own = random.normal(size=(count, classes))
        noise = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        seen = means[truth] + spread * noise
        logs = -((seen[:, None] - means) ** 2).sum(axis=2) / (2 * spread**2)
        if priors:
            logs += np.log(priors)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        tables.append(weights / weights.sum(axis=1, keepdims=True))
    return before, after, tables[0], tables[1]


def compare(before: Table, after: Table) -> tuple[Transitions, Table]:
    model = fit_transitions(before, after)
    return model, model.pairs(before, after).change()


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.85])
def test_frequencies_and_the_correlation_are_recovered(correlation: float) -> None:
    before, after, first, second = simulate(8000, 4, 0.15, correlation)
    model, change = compare(first, second)
    true = np.zeros((4, 4))
    np.add.at(true, (before, after), 1 / len(before))
    assert model.frequency == pytest.approx(true, abs=0.012) and model.frequency.sum() == pytest.approx(1)
    assert model.shared == pytest.approx(correlation, abs=0.07)
    assert change.mean() == pytest.approx(0.15, abs=0.015)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_probabilities_of_change_are_calibrated(correlation: float) -> None:
    before, after, first, second = simulate(20_000, 3, 0.2, correlation, spread=1.1)
    _, change = compare(first, second)
    changed = before != after
    edges = np.linspace(0, 1, 11)
    bins = np.clip(np.digitize(change, edges) - 1, 0, 9)
    sizes = np.bincount(bins, minlength=10)
    assert (sizes > 100).sum() >= 8  # probabilities of all sizes occur
    gaps = [abs(change[bins == one].mean() - changed[bins == one].mean()) for one in np.flatnonzero(sizes > 100)]
    assert float(np.average(gaps, weights=sizes[sizes > 100])) < 0.03
    called, kept = change >= 0.95, change <= 0.05
    assert (~changed[called]).mean() <= 0.05 and changed[kept].mean() <= 0.05


@pytest.mark.parametrize("count", [40, 400, 4000])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_without_change_at_most_the_promised_share_is_called_changed(count: int, correlation: float) -> None:
    called, flipped = [], []
    for seed in range(5):
        _, _, first, second = simulate(count, 4, 0.0, correlation, spread=1.2, seed=seed)
        _, change = compare(first, second)
        called.append((change >= 0.95).mean())
        flipped.append((first.argmax(axis=1) != second.argmax(axis=1)).mean())
    assert np.mean(called) <= 0.01 and np.mean(flipped) > 0.08


def test_differences_of_hard_labels_are_worse() -> None:
    before, after, first, second = simulate(5000, 4, 0.05, 0.5, spread=1.0)
    _, change = compare(first, second)
    changed = before != after
    hard = first.argmax(axis=1) != second.argmax(axis=1)
    independent = 1 - (first * second).sum(axis=1)

    def brier(values: npt.NDArray[Any]) -> float:
        return float(((values.astype(float) - changed) ** 2).mean())

    assert brier(change) < 0.5 * min(brier(hard), brier(independent))


def test_the_transition_of_a_tile() -> None:
    before, after, first, second = simulate(4000, 4, 0.2, 0.3, spread=0.5)
    pairs = compare(first, second)[0].pairs(first, second)
    sure = (pairs.change() >= 0.95) & (before != after)
    ours, theirs = pairs.likeliest_change()
    assert sure.sum() > 400 and (ours != theirs).all()
    assert ((ours == before) & (theirs == after))[sure].mean() > 0.99
    kept = (pairs.change() <= 0.05) & (before == after)
    assert (pairs.likeliest_class() == before)[kept].mean() > 0.95
    sizes = np.random.default_rng(0).uniform(0.5, 2, len(before))
    totals = pairs.totals(sizes)
    assert totals.sum() == pytest.approx(sizes.sum())
    assert totals.sum() - np.trace(totals) == pytest.approx((pairs.change() * sizes).sum())


def test_the_class_frequencies_that_answers_assume_are_divided_out() -> None:
    priors = (0.7, 0.2, 0.1)
    _, _, first, second = simulate(6000, 3, 0.1, 0.0, seed=3)
    _, _, adjusted, then = simulate(6000, 3, 0.1, 0.0, seed=3, priors=priors)
    plain = fit_transitions(first, second).frequency
    corrected = fit_transitions(adjusted, then, np.array(priors), np.array(priors)).frequency
    assert corrected == pytest.approx(plain, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10_000))
def test_properties(count: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.dirichlet(np.full(classes, 0.3), (2, count))
    model, change = compare(first, second)
    assert ((change >= 0) & (change <= 1)).all() and (model.frequency > 0).all() and 0 <= model.shared < 1
    exchanged, back = compare(second, first)
    assert exchanged.frequency == pytest.approx(model.frequency.T, abs=1e-6) and back == pytest.approx(change, abs=1e-5)
    order = random.permutation(count)
    assert compare(first[order], second[order])[1] == pytest.approx(change[order], abs=1e-5)
    names = random.permutation(classes)
    renamed, same = compare(first[:, names], second[:, names])
    assert renamed.frequency == pytest.approx(model.frequency[np.ix_(names, names)], abs=1e-6)
    assert same == pytest.approx(change, abs=1e-5)


def test_certain_answers_and_transitions_that_were_not_seen() -> None:
    """A label that somebody corrected decides, also where no other tile changed so."""
    _, _, first, second = simulate(500, 3, 0.0, 0.5)
    model = fit_transitions(first, second).independent()
    pairs = model.pairs(np.eye(3), np.eye(3)[[0, 2, 2]])
    assert pairs.change() == pytest.approx([0, 1, 0], abs=0.01)
    assert pairs.likeliest_change()[0][1] == 1 and pairs.likeliest_change()[1][1] == 2


def test_equal_answers_for_all_tiles() -> None:
    flat = np.full((30, 3), 1 / 3)
    model, change = compare(flat, flat)
    assert model.shared == 0 and np.isfinite(change).all() and (change == change[0]).all()


@pytest.mark.parametrize(
    ("first", "second", "frequency"),
    [
        (np.empty((0, 2)), np.empty((0, 2)), None),
        (np.full((3, 2), 0.5), np.full((2, 2), 0.5), None),
        (np.full((3, 2), 0.5), np.full((3, 2), np.nan), None),
        (np.full((3, 2), 0.5), np.full((3, 2), 0.7), None),
        (np.full((3, 2), 0.5), np.full((3, 2), 0.5), np.array([1.0, 0.0])),
    ],
)
def test_bad_arrays(first: Table, second: Table, frequency: Table | None) -> None:
    with pytest.raises(ValueError):
        fit_transitions(first, second, frequency)


def test_of_many_tiles_evenly_spread_ones_are_fitted() -> None:
    assert fitting_rows(100_000, 10) == slice(None, None, 1)
    assert len(range(*fitting_rows(1_000_000, 10).indices(1_000_000))) == 100_000
