"""Limits of proportions and of ratios of weighted proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from bimors_cli.evaluation.areas.intervals import lower_limit, lower_limits, ratio_interval


@given(number=st.integers(1, 400), data=st.data())
def test_a_limit_is_the_mid_p_limit_of_a_binomial(number: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(1, number))
    limit = lower_limit(right, number)
    assert (binom.sf(right, number, limit) + binom.sf(right - 1, number, limit)) / 2 == pytest.approx(0.025, abs=1e-6)
    assert 0 < limit < right / number


def test_none_and_all() -> None:
    assert lower_limit(0, 50) == 0
    # All of 50 tiles right: p^50 / 2 is 2.5 %.
    assert lower_limit(50, 50) == pytest.approx(0.05 ** (1 / 50))
    found = lower_limits(np.array([0.3, 0.3]), np.array([np.inf, 40]))
    assert found[0] == 0.3 > found[1]


proportion = st.floats(0, 1)
stratum = st.tuples(proportion, proportion, st.floats(0.01, 10), st.floats(2, 500))


@settings(max_examples=200)
@given(strata=st.lists(stratum, min_size=1, max_size=4))
def test_an_interval_holds_the_estimate_and_is_reversed_by_exchange(
    strata: list[tuple[float, float, float, float]],
) -> None:
    inside, outside, weights, numbers = (np.array(column) for column in zip(*strata, strict=True))
    outside = outside * (1 - inside)
    if weights @ (inside + outside) < 1e-3:
        return
    low, high = ratio_interval(inside, outside, weights, numbers)
    ratio = weights @ inside / (weights @ (inside + outside))
    assert -1e-9 <= low <= ratio + 1e-6 and ratio - 1e-6 <= high <= 1 + 1e-9 and low < high
    other_low, other_high = ratio_interval(outside, inside, weights, numbers)
    assert (other_low, other_high) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    # More tiles, less doubt; and the unit of the weights has no effect.
    narrow_low, narrow_high = ratio_interval(inside, outside, weights * 7, numbers * 4)
    assert narrow_high - narrow_low <= high - low + 1e-6


def test_one_stratum_has_the_interval_of_a_proportion() -> None:
    low, high = ratio_interval(np.array([0.8]), np.array([0.2]), np.array([3.0]), np.array([50.0]))
    assert (low, high) == pytest.approx((lower_limit(40, 50), 1 - lower_limit(10, 50)), abs=1e-9)


def test_all_right_has_a_width() -> None:
    one = np.array([1.0, 1.0]), np.array([0.0, 0.0])
    low, high = ratio_interval(*one, np.array([1.0, 2.0]), np.array([30.0, 60.0]))
    assert high == 1 and 0.9 < low < 0.96
    known = ratio_interval(*one, np.array([1.0, 2.0]), np.array([np.inf, np.inf]))
    assert known == (1, 1)
