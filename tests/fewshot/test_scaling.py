"""Scaling of statistics: what is constant, missing or huge decides nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bimors_cli.fewshot.scaling import Scaling


def test_normal_values_become_logarithms_of_deviations() -> None:
    values = np.random.default_rng(0).normal([5, -300], [2, 1000], (4000, 2))
    scaling = Scaling.of(values)
    np.testing.assert_allclose(scaling.centre, [5, -300], atol=40)
    np.testing.assert_allclose(scaling.scale, [2, 1000], rtol=0.05)
    found = scaling(scaling.centre + scaling.scale * np.array([[0, 0], [1, -1], [9, -99]]))
    np.testing.assert_allclose(found, [[0, 0], [np.log(2), -np.log(2)], [np.log(10), -np.log(100)]], atol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 7.0, 1e9, -1e-9])
def test_a_constant_says_nothing(constant: float) -> None:
    values = np.column_stack((np.full(50, constant), np.arange(50.0)))
    found = Scaling.of(values)(values)
    assert (found[:, 0] == 0).all() and (np.diff(found[:, 1]) > 0).all()


def test_missing_numbers_are_the_median() -> None:
    values = np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan], [3.0, np.nan, np.inf], [4.0, np.nan, 5.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaling = Scaling.of(values)
        found = scaling(values)
    assert scaling.centre.tolist() == [2.5, 0, 4] and scaling.scale[1] == 1
    assert np.isfinite(found).all() and (found[:, 1] == 0).all() and found[1:3, 2].tolist() == [0, 0]
    assert (scaling(np.full((2, 3), np.nan)) == 0).all()


def test_one_example() -> None:
    assert (Scaling.of(np.array([[3.0, np.nan]]))(np.array([[3.0, 1.0]]))[:, 0] == 0).all()


@pytest.mark.parametrize("size", [1e30, 1e300, np.finfo(np.float32).max])
def test_huge_numbers_stay_finite(size: float) -> None:
    values = np.random.default_rng(0).uniform(-size, size, (60, 2))
    scaling = Scaling.of(values)
    found = scaling(values)
    assert np.isfinite(found).all() and np.abs(found).max() < 10 and found.std() > 0.1
    assert np.isfinite(Scaling.of(values / size)(values)).all()


def test_float32_is_scaled_in_double_precision() -> None:
    values = np.float32([[1e8], [1e8 + 8], [1e8 + 16]])
    assert Scaling.of(values.astype(np.float64))(values).dtype == np.float64
