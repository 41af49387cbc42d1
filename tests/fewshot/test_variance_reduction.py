"""The choice of tiles by the variance that their labels would remove."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.fewshot.kernel_ridge import RIDGE, median_distance, similarities
from bimors_cli.fewshot.variance_reduction import MAX_KNOWN, WIDTH, reduce_variance

Array = npt.NDArray[np.float64]


def points(seed: int, count: int, width: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=(count, width))


def mean_variance(reference: Array, known: Array) -> float:
    """By the definition: the mean over the reference of k(x, x) - k(x, E) (k(E, E) + ridge)^-1 k(E, x)."""
    if not len(known):
        return 1.0
    width = WIDTH * median_distance("gaussian", reference)
    near = similarities("gaussian", reference, known, width)
    gram = similarities("gaussian", known, known, width) + RIDGE * np.eye(len(known))
    return float(np.mean(1 - np.einsum("nm,nm->n", near @ np.linalg.inv(gram), near)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_each_choice_is_the_best_by_the_definition(seed: int, known: int, count: int) -> None:
    reference, candidates, examples = points(seed, 30), points(seed + 1, 20), points(seed + 2, known)
    found = reduce_variance(reference, candidates, examples, count)
    assert len(found.rows) == len(set(found.rows.tolist())) == min(count, 20)
    before = mean_variance(reference, examples)
    for row, gain in zip(found.rows.tolist(), found.reductions.tolist(), strict=True):
        after = [mean_variance(reference, np.vstack([examples, one[None]])) for one in candidates]
        assert before - after[row] == pytest.approx(gain, abs=1e-9)
        chosen = set(found.rows[: list(found.rows).index(row)].tolist())
        assert after[row] <= min(after[other] for other in range(20) if other not in chosen) + 1e-9
        examples, before = np.vstack([examples, candidates[row][None]]), after[row]
    assert ((found.variances >= 0) & (found.variances <= 1)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 2), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_no_two_are_closer_than_the_least_distance(seed: int, distance: float, count: int) -> None:
    candidates, places = points(seed, 30), points(seed + 1, 30, 2)
    rows = reduce_variance(candidates, candidates, candidates[:0], count, places=places, min_distance=distance).rows
    apart = np.linalg.norm(places[rows][:, None] - places[rows][None], axis=2)[np.triu_indices(len(rows), 1)]
    assert (apart >= distance).all() and len(rows) >= 1
    if len(rows) < min(count, 30):  # no other candidate is far enough from all that were chosen
        others = np.setdiff1d(np.arange(30), rows)
        assert (np.linalg.norm(places[others][:, None] - places[rows][None], axis=2).min(axis=1) < distance).all()


def test_the_first_is_in_the_largest_group_that_no_example_is_in() -> None:
    groups = np.concatenate([points(1, 60) * 0.1, points(2, 40) * 0.1 + 5, points(3, 10) * 0.1 - 5])
    assert reduce_variance(groups, groups, groups[:0], 1).rows[0] < 60
    assert 60 <= reduce_variance(groups, groups, groups[:3], 1).rows[0] < 100
    # One of each group before a second of any.
    assert sorted(np.digitize(reduce_variance(groups, groups, groups[:0], 3).rows, (60, 100)).tolist()) == [0, 1, 2]


def test_equal_tiles_and_many_examples() -> None:
    same = np.ones((5, 2))
    assert reduce_variance(same, same, same, 9).rows.tolist() == [0, 1, 2, 3, 4]
    many = points(4, 2 * MAX_KNOWN + 1)
    assert np.isfinite(reduce_variance(many[:50], many[:50], many, 2).reductions).all()
    assert len(reduce_variance(same, same[:0], same, 2).rows) == 0
