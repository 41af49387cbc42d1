"""By simulation: 95 % intervals hold the truth in 95 % of the samples."""

from __future__ import annotations

import pytest

from tests.evaluation.areas.populations import HELD_OUT, Population

# The fewer tiles of the rarer kind a sample has, the more are held: no method of whole tiles holds 95 % everywhere, and
# an interval should rather be too wide.
UPPER = ((15.0, 0.97), (5.0, 0.985), (0.0, 1.0))


def check(population: Population, draws: int, noise: float) -> None:
    """Coverage of each estimate is 93 to 97 %, but for the noise of so many draws; above, where errors are rare."""
    found = population.coverage(draws, seed=1)
    too_low = {name: held for name, (held, _) in found.items() if held < 0.93 - noise}
    most = {name: next(upper for least, upper in UPPER if events >= least) for name, (_, events) in found.items()}
    too_high = {name: held for name, (held, _) in found.items() if held > most[name] + noise}
    assert not too_low and not too_high, found


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD_OUT)
def test_95_per_cent_intervals_hold_the_truth(name: str) -> None:
    check(HELD_OUT[name], 2000, noise=0.005)  # one standard error


@pytest.mark.parametrize("name", ["rare classes of 2 and 0.5 %", "tiles of unequal areas"])
def test_intervals_hold_the_truth_in_fewer_draws(name: str) -> None:
    check(HELD_OUT[name], 200, noise=0.03)  # two standard errors
