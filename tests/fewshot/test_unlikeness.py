"""How unlike the examples a tile is."""

from __future__ import annotations

import numpy as np
import pytest

from bimors_cli.fewshot import kernel_ridge, unlikeness
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.unlikeness import Unlikeness
from tests.fewshot.made import clouds


def test_near_examples_are_alike_and_far_ones_are_not() -> None:
    made = clouds(20, width=4)
    found = Unlikeness.fit(made.values, made.labels, made.folds)
    own, far = found.of(made.values), found.of(made.values + 100)
    assert own.min() >= 0 and own.max() < 0.15
    assert far.min() > 0.999 and far.max() <= 1
    between = found.of(np.linspace(made.values[0], made.values[0] + 30, 40))
    assert np.all(np.diff(between[10:]) >= 0)
    assert found.p_values(far) == pytest.approx(1 / 31) and found.least_rate == pytest.approx(1 / 31)
    assert found.p_values(own).min() > 0.3
    assert (np.diff(found.scores) >= 0).all() and len(found.scores) == 60
    assert found.of(made.values[:0]).shape == (0,)


@pytest.mark.parametrize("groups, within", [(8, 0.1), (8, 1.0), (24, 0.3)])
def test_false_alarms_are_as_rare_as_promised(groups: int, within: float) -> None:
    """The tile is of a group of its own; a group has one to five examples, which are alike."""
    random = np.random.default_rng(1)
    draws = 250
    p_values = np.empty(draws)
    for draw in range(draws):
        group = np.repeat(np.arange(groups + 1), random.integers(1, 6, groups + 1))
        values = random.normal(0, 1, (groups + 1, 3))[group] + within * random.normal(0, 1, (len(group), 3))
        known = group < groups
        labels = np.zeros(known.sum(), np.intp)
        folds = leave_groups_out([str(each) for each in group[known]], labels, 0)
        found = Unlikeness.fit(values[known], labels, folds)
        p_values[draw] = found.p_values(found.of(values[~known][:1]))[0]
    for rate in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8):
        assert (p_values <= rate).mean() <= rate + 2 * np.sqrt(rate * (1 - rate) / draws)
    assert (p_values <= 0.5).mean() > 0.3  # nor is it deaf


def test_many_examples_have_some_as_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    made = clouds(40, width=4)
    whole = Unlikeness.fit(made.values, made.labels, made.folds)
    monkeypatch.setattr(unlikeness, "MAX_EXACT", 60)
    monkeypatch.setattr(kernel_ridge, "_ROWS_AT_ONCE", 3)
    some = Unlikeness.fit(made.values, made.labels, made.folds)
    assert len(some.centres) == 60 and len(some.scores) == 120
    assert np.corrcoef(some.of(made.values), whole.of(made.values))[0, 1] > 0.3
    assert some.of(made.values + 100).min() > 0.99


def test_examples_of_one_group() -> None:
    made = clouds(4, group=12)
    found = Unlikeness.fit(made.values, made.labels, made.folds)
    assert (found.scores == 1).all() and found.least_rate == 0.5
    assert (found.p_values(found.of(made.values)) == 1).all()


def test_equal_examples() -> None:
    made = clouds(4)
    found = Unlikeness.fit(made.values * 0, made.labels, made.folds)
    assert found.of(made.values[:1] * 0)[0] < 0.1
