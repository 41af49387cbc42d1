"""Suggested tiles bring more than tiles drawn by chance, with fewer draws than `suggest.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.suggest import rows, table

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def test_suggested_tiles_of_zion_bring_more_than_tiles_by_chance(shared: Path) -> None:
    (row,) = rows(shared, None, draws=5, sets=5, only="zion")
    print("\n".join(("", *table([row]))))
    assert row.by_chance.mean() > row.start.mean()
    assert row.gains.mean() > 0
