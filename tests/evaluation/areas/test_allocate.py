"""Sizes of samples: sums, least numbers, and never more than there is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.evaluation.areas.allocate import equally, expected_se, in_proportion, tiles_for
from bimors_cli.evaluation.areas.estimators import StratifiedSample, estimate_ratio

SIZES = st.lists(st.integers(0, 10**9), min_size=1, max_size=12)


@given(SIZES, st.integers(1, 10**9))
def test_proportions_sum_to_the_total(sizes: list[int], total: int) -> None:
    counts = in_proportion(sizes, total, 0)
    assert sum(counts) == min(total, sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    whole = max(sum(sizes), 1)
    for count, size in zip(counts, sizes, strict=True):
        assert abs(count * whole - min(total, sum(sizes)) * size) < whole


@given(SIZES, st.integers(1, 10**4), st.integers(0, 200))
def test_the_least_number_shrinks_no_other_stratum(sizes: list[int], total: int, least: int) -> None:
    counts, before = in_proportion(sizes, total, least), in_proportion(sizes, total, 0)
    for count, size, earlier in zip(counts, sizes, before, strict=True):
        assert count == (0 if not sum(sizes) else min(size, max(earlier, least)))


def test_sizes_by_hand() -> None:
    one = [10**6], [0.8]
    assert (tiles_for(0.02, *one), tiles_for(0.01, *one), tiles_for(0.5, [9], [0.99])) == (400, 1600, 1)
    assert tiles_for(0.02, [600, 300, 100], [0.8] * 3) == 400
    assert equally([3, 100, 0], 50) == (3, 50, 0)
    assert in_proportion([900, 90, 10], 100, 5) == (90, 9, 5)


# Olofsson et al. 2014, section 5: deforestation, forest gain, stable forest, stable non-forest.
PIXELS, EXPECTED = [200_000, 150_000, 3_200_000, 6_450_000], [0.7, 0.6, 0.9, 0.95]


def test_the_size_of_olofssons_example() -> None:
    assert tiles_for(0.01, PIXELS, EXPECTED) == 641


def test_the_expected_error_of_allocations() -> None:
    # Their Table 6 compares allocations of 641 by this formula without the factor 1 - n/N, which is 1 here.
    for drawn in ([160] * 4, [13, 10, 205, 413], [75, 75, 165, 325]):
        by_hand = math.sqrt(
            sum((n / 1e7) ** 2 * u * (1 - u) / k for n, u, k in zip(PIXELS, EXPECTED, drawn, strict=True))
        )
        assert expected_se(PIXELS, drawn, EXPECTED) == pytest.approx(by_hand, rel=1e-3)
    assert expected_se([50, 0, 20], [50, 0, 20], [0.8] * 3) == 0


def test_the_expected_error_is_that_of_the_estimator() -> None:
    """Of 2,000 samples, the standard deviation of the estimated accuracy, and the mean of its standard error."""
    sizes, drawn, expected = [600, 60], [80, 30], [0.9, 0.6]
    right = np.concatenate([np.arange(size) < u * size for size, u in zip(sizes, expected, strict=True)])
    strata, random = np.repeat([0, 1], drawn), np.random.default_rng(0)
    found = []
    for _ in range(2000):
        rows = np.concatenate([random.permutation(600)[:80], 600 + random.permutation(60)[:30]])
        sample = StratifiedSample(np.ones(110), strata, np.array(sizes, float), np.array(sizes, float))
        found.append(estimate_ratio(sample, right[rows], np.ones(110, np.bool_)))
    promised = expected_se(sizes, drawn, expected)
    assert np.std([one.value for one in found]) == pytest.approx(promised, rel=0.05)
    assert np.mean([one.se for one in found]) == pytest.approx(promised, rel=0.02)
