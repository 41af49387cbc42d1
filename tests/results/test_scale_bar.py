"""Scale bars: lengths that are easy to read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.results.scale_bar import scale_bar


@pytest.mark.parametrize(
    ("metres", "longest", "text"),
    [(10, 100, "1 km"), (10, 99, "500 m"), (1, 250, "200 m"), (0.01, 10, "10 cm"), (1e5, 1000, "100,000 km")],
)
def test_lengths(metres: float, longest: float, text: str) -> None:
    bar = scale_bar(metres, longest)
    assert bar.text == text and bar.pixels <= longest * (1 + 1e-9)


@given(st.floats(1e-3, 1e6), st.floats(50, 2000))
def test_a_bar_is_between_two_fifths_and_all_of_the_longest(metres: float, longest: float) -> None:
    bar = scale_bar(metres, longest)
    assert 0.4 * longest * (1 - 1e-6) <= bar.pixels <= longest * (1 + 1e-6)
    number, unit = bar.text.replace(",", "").split()
    told = float(number) * {"cm": 0.01, "m": 1, "km": 1000}[unit]
    assert math.isclose(told, bar.pixels * metres, rel_tol=1e-6)
