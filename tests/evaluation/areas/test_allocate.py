"""Sizes of samples: sums, least numbers, and never more than there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.evaluation.areas.allocate import equally, in_proportion, tiles_for

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
    assert (tiles_for(0.02, 0.8), tiles_for(0.01, 0.8), tiles_for(0.5, 0.99)) == (400, 1600, 1)
    assert equally([3, 100, 0], 50) == (3, 50, 0)
    assert in_proportion([900, 90, 10], 100, 5) == (90, 9, 5)
