"""Draws: how often each tile, how many of each stratum, how far apart."""

from __future__ import annotations

import numpy as np
import pytest

from bimors_cli.evaluation.areas.draw import draw_grid, draw_strata


def test_tiles_of_a_stratum_are_drawn_equally_often() -> None:
    strata, random, times = np.repeat([0, 1], [20, 10]), np.random.default_rng(0), 4000
    seen = np.zeros(30)
    for _ in range(times):
        rows = draw_strata(strata, (5, 8), random)
        assert np.bincount(strata[rows]).tolist() == [5, 8] and len(set(rows.tolist())) == 13
        seen[rows] += 1
    # Five standard errors of a frequency.
    np.testing.assert_allclose(seen / times, np.repeat([0.25, 0.8], [20, 10]), atol=5 * 0.5 / times**0.5)


def test_tiles_keep_their_distance() -> None:
    places = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    rows = draw_strata(np.zeros(400, np.intp), (400,), np.random.default_rng(1), places, 3.0)
    apart = np.linalg.norm(places[rows][:, None] - places[rows], axis=2)[np.triu_indices(len(rows), 1)]
    assert 20 < len(rows) < 400 and apart.min() >= 3


def test_a_grid_is_regular_and_its_start_is_random() -> None:
    rows, cols = (axis.ravel() for axis in np.indices((12, 12)))
    starts = set()
    for seed in range(200):
        drawn = draw_grid(rows, cols, 16, np.random.default_rng(seed))
        assert len(drawn) == 16
        assert (np.diff(np.unique(rows[drawn])) == 3).all() and (np.diff(np.unique(cols[drawn])) == 3).all()
        starts.add((int(rows[drawn].min()), int(cols[drawn].min())))
    assert len(starts) == 9


@pytest.mark.parametrize("count", [25, 60, 100, 200, 399])
def test_every_tile_of_a_grid_is_drawn_equally_often(count: int) -> None:
    """Also where the step is not a whole number; of a population with a hole, as an AOI leaves it."""
    rows, cols = (axis.ravel() for axis in np.indices((20, 23)))
    inside = np.hypot(rows - 10, cols - 10) > 4
    rows, cols = rows[inside], cols[inside]
    random, times, seen, sizes = np.random.default_rng(0), 8000, np.zeros(len(rows)), []
    for _ in range(times):
        drawn = draw_grid(rows, cols, count, random)
        seen[drawn] += 1
        sizes.append(len(drawn))
    wanted = count / len(rows)
    # Five standard errors of a frequency.
    assert np.abs(seen / times - wanted).max() < 5 * (wanted * (1 - wanted) / times) ** 0.5
    assert np.mean(sizes) == pytest.approx(count, rel=0.03)


def test_a_grid_of_all_tiles() -> None:
    rows, cols = (axis.ravel() for axis in np.indices((7, 9)))
    assert sorted(draw_grid(rows, cols, 63, np.random.default_rng(3)).tolist()) == list(range(63))
