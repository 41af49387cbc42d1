"""A displaced image is noticed from the answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from bimors_cli.refine.displacement import displacement

SIDE, FINE = 40, 8


def scene(seed: int, right: int = 0, down: int = 0) -> npt.NDArray[np.float64]:
    """Probabilities [n, 2] of tiles: the share of each in a field of patches, read from a displaced window."""
    random = np.random.default_rng(7)
    size = SIDE * FINE + 4 * FINE
    field = gaussian_filter(random.normal(size=(size, size)), 1.2 * FINE) > 0
    part = field[2 * FINE - down :, 2 * FINE - right :][: SIDE * FINE, : SIDE * FINE].astype(float)
    share = part.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3)).ravel()
    noisy = np.clip(0.05 + 0.9 * share + 0.05 * np.random.default_rng(seed).normal(size=share.size), 0.01, 0.99)
    return np.stack([noisy, 1 - noisy], axis=1)


ROW, COL = np.divmod(np.arange(SIDE * SIDE), SIDE)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (4, 0), (0, -4), (-4, 4), (8, 0), (12, 0)])
def test_displacements_of_tiles_and_of_parts(right: int, down: int) -> None:
    found = displacement(scene(1), scene(2, right, down), ROW, COL)
    wanted = np.clip(np.array([right, down]) / FINE, -1, 1)
    assert found == pytest.approx(wanted, abs=0.2)
    if right == down == 0:
        assert found == (0.0, 0.0)
    order = np.random.default_rng(0).permutation(len(ROW))
    again = displacement(scene(1)[order], scene(2, right, down)[order], ROW[order], COL[order])
    assert again == pytest.approx(found)


def test_changes_and_noise_are_no_displacement() -> None:
    before, after = scene(1), scene(2)
    after[: SIDE * SIDE // 4] = after[: SIDE * SIDE // 4, ::-1]
    assert displacement(before, after, ROW, COL) == (0.0, 0.0)
    random = np.random.default_rng(3).dirichlet([1, 1, 1], (2, len(ROW)))
    assert displacement(random[0], random[1], ROW, COL) == (0.0, 0.0)


def test_few_tiles_tell_nothing() -> None:
    empty = np.empty((0, 2))
    assert displacement(empty, empty, np.empty(0, int), np.empty(0, int)) == (0.0, 0.0)
    assert displacement(scene(1)[:30], scene(2)[:30], ROW[:30], COL[:30]) == (0.0, 0.0)
