"""Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest

from bimors_cli.model.priors import apply_priors


def test_without_priors_nothing_changes() -> None:
    p = np.array([[0.2, 0.8]], np.float32)
    assert apply_priors(p, ()) is p


def test_rows_are_weighted_and_normalised() -> None:
    p = np.array([[0.5, 0.5], [0.2, 0.8], [1, 0], [np.nan, np.nan]], np.float32)
    found = apply_priors(p, (0.8, 0.2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.8, 0.2], [0.5, 0.5], [1, 0], [np.nan, np.nan]], atol=1e-7)
    np.testing.assert_allclose(apply_priors(p, (0.5, 0.5)), p, atol=1e-7)


@pytest.mark.parametrize("tiny", [1e-30, 1e-300])
def test_very_small_numbers(tiny: float) -> None:
    p = np.array([[1e-38, 1]], np.float32)
    found = apply_priors(p, (1 - tiny, tiny))
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
