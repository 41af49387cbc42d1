"""The promise of ``--coverage`` on scenes with labels, with fewer draws than `label_sets.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.label_sets import COVERAGES, Row, mean_held, measure, table

pytestmark = [pytest.mark.shared, pytest.mark.slow]


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[Row]:
    found = list(measure(shared, draws=4, shots=(16, 50)))
    print("\n".join(("", *table(found))))
    return found


@pytest.mark.parametrize("coverage", COVERAGES)
def test_the_sets_hold_the_truth_as_often_as_promised(rows: list[Row], coverage: float) -> None:
    assert mean_held(rows, coverage) >= coverage
    for scene in ("zion", "rondonia", "redfox"):
        # Of a few draws: the promise is of the mean of all.
        assert mean_held([row for row in rows if row.scene == scene], coverage) >= coverage - 0.01


def test_the_sets_are_small(rows: list[Row]) -> None:
    assert np.mean([row.size for row in rows if row.draws and row.coverage == 0.9]) < 1.3
    assert not [row for row in rows if row.refused]
