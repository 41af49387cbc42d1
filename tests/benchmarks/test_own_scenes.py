"""The goals of `finetune --head auto` on scenes with labels, with fewer draws than `own_scenes.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.own_scenes import Row, misses, scene_rows, table, whu_misses, whu_rows

pytestmark = [pytest.mark.shared, pytest.mark.slow]

DRAWS = 2


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[Row]:
    found = list(scene_rows(shared, None, DRAWS))
    print("\n".join(("", *table(found, "forest"))))
    return found


def test_the_mean_over_all_scenes_is_above_that_of_the_forest(rows: list[Row]) -> None:
    assert np.mean([row.difference for row in rows]) > 0


def test_every_row_reaches_the_goals(rows: list[Row]) -> None:
    assert not list(misses(rows))


def test_the_features_of_real_models_reach_the_goals(shared: Path) -> None:
    found = list(whu_rows(shared, DRAWS))
    print("\n".join(("", *table(found, "zero-shot"))))
    assert not list(whu_misses(found))
