"""Estimators of area and accuracy against published examples, and by simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bimors_cli.evaluation.areas.estimators import StratifiedSample, estimate_areas, estimate_ratio

# Half the width of their 95 % intervals in standard errors.
Z = 1.96
# Olofsson et al. 2014, Table 8: rows are map classes (deforestation, forest gain, stable forest, stable non-forest).
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
OLOFSSON_PIXELS = (200_000, 150_000, 3_200_000, 6_450_000)
# Stehman 2014, Table 2: ten pixels from each of four strata, which are not the classes of the map.
STEHMAN_SIZES = (40_000, 30_000, 20_000, 10_000)
STEHMAN_MAP = "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
STEHMAN_REFERENCE = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"


def counts_as_samples(counts: npt.NDArray[np.int_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    pairs = [(row, col) for (row, col), n in np.ndenumerate(counts) for _ in range(n)]
    both = np.array(pairs, np.intp)
    return both[:, 0], both[:, 1]


def sample_of(strata: npt.NDArray[np.intp], sizes: tuple[int, ...], area: float = 1.0) -> StratifiedSample:
    tiles = np.array(sizes, np.float64)
    return StratifiedSample(np.full(len(strata), area), strata, tiles, tiles * area)


def test_olofsson_2014() -> None:
    mapped, reference = counts_as_samples(OLOFSSON)
    found = estimate_areas(mapped, reference, sample_of(mapped, OLOFSSON_PIXELS), 4, ~np.eye(4, dtype=bool))
    total = sum(OLOFSSON_PIXELS)
    deforestation = found.proportions[0].scaled(total)
    assert deforestation.value == pytest.approx(235_086, abs=1)
    assert Z * deforestation.se == pytest.approx(68_418, rel=1e-3)
    assert found.overall.value == pytest.approx(0.947, abs=5e-4)
    assert Z * found.overall.se == pytest.approx(0.018, abs=5e-4)
    assert [each.value for each in found.users] == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=5e-3)
    assert [Z * each.se for each in found.users] == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=5e-3)
    assert [each.value for each in found.producers] == pytest.approx([0.75, 0.85, 0.93, 0.96], abs=5e-3)


def indices(letters: str) -> npt.NDArray[np.intp]:
    return np.array(["ABCD".index(letter) for letter in letters], np.intp)


def test_stehman_2014() -> None:
    strata = np.repeat(np.arange(4), 10)
    mapped, reference = indices(STEHMAN_MAP), indices(STEHMAN_REFERENCE)
    found = estimate_areas(mapped, reference, sample_of(strata, STEHMAN_SIZES, 0.09), 4)
    for estimate, value, error in (
        (found.overall, 0.63, 0.085),
        (found.proportions[0], 0.35, 0.082),
        (found.proportions[2], 0.20, 0.064),
        (found.users[1], 0.574, 0.125),
    ):
        assert (estimate.value, estimate.se) == pytest.approx((value, error), abs=6e-4)
    assert found.producers[1].value == pytest.approx(0.794, abs=6e-4)


def test_intervals_of_olofsson_2014() -> None:
    """They hold the published ones' centres, stay within 0 and 1, and are asymmetric where errors are few."""
    mapped, reference = counts_as_samples(OLOFSSON)
    sample = sample_of(mapped, OLOFSSON_PIXELS)
    found = estimate_areas(mapped, reference, sample, 4, ~np.eye(4, dtype=bool))
    one = found.proportions[0].scaled(sum(OLOFSSON_PIXELS))
    # Two of 325 tiles of a stratum of 6,450,000 pixels are deforestation: more may be missing than is mapped in excess.
    assert one.high - one.value > 2 * (one.value - one.low)
    everything = (found.overall, *found.users, *found.producers, *found.proportions)
    assert all(0 <= each.low < each.value < each.high <= 1 for each in everything)
    # A user's accuracy is one proportion if strata are classes: 66 of 75 has the mid-P interval 0.792 to 0.940.
    assert (found.users[0].low, found.users[0].high) == pytest.approx((0.792, 0.940), abs=1e-3)
    without = estimate_areas(mapped, reference, sample, 4)
    assert without.users[0].high - without.users[0].low > found.users[0].high - found.users[0].low
    assert found.confusion.sum() == pytest.approx(1) and (found.confusion[4] == 0).all()
    assert found.confusion.sum(axis=0) == pytest.approx([each.value for each in found.proportions])


def test_all_right_has_no_standard_error_but_an_interval() -> None:
    strata = np.repeat([0, 1], [50, 20])
    found = estimate_areas(strata, strata, sample_of(strata, (5000, 400)), 2)
    assert (found.overall.value, found.overall.se, found.overall.high) == (1, 0, 1)
    assert 0.9 < found.overall.low < 0.96
    whole = estimate_areas(strata, strata, sample_of(strata, (50, 20)), 2)
    assert (whole.overall.low, whole.overall.high) == (1, 1)


def test_areas_sum_to_that_of_the_map_and_larger_tiles_count_more() -> None:
    strata, areas = np.array([0, 0, 0, 1, 1, 1]), np.array([1.0, 1.0, 4.0, 2.0, 2.0, 1.0])
    sample = StratifiedSample(areas, strata, np.array([30.0, 20.0]), np.array([70.0, 35.0]))
    found = estimate_areas(strata, np.array([0, 0, 1, 1, 1, 0]), sample, 2)
    assert sum(one.value for one in found.proportions) == pytest.approx(1)
    assert found.overall.value == pytest.approx((70 * 2 / 6 + 35 * 4 / 5) / 105)
    # By hand: residuals a (y - mean), times A_h / (sum of a), 3 tiles each.
    first = (np.array([1, 1, -2]) * np.array([2 / 3, 2 / 3, 2 / 3])) * 70 / 6 * 3
    second = np.array([0.4, 0.4, -0.8]) * 35 / 5 * 3
    variance = sum(
        (1 - 3 / size) * float(one.var(ddof=1)) / 3 for one, size in ((first, 30), (second, 20))
    )  # fmt: skip
    assert found.overall.se == pytest.approx(variance**0.5 / 105)


def test_what_is_unknown_is_nan() -> None:
    strata = np.array([0, 0, 1])
    sample = sample_of(strata, (10, 10))
    found = estimate_ratio(sample, np.array([True, False, True]), np.ones(3, bool))
    assert found.value == 0.75 and np.isnan([found.se, found.low, found.high]).all()
    # A stratum that is known to have no such tile needs no second one.
    known = estimate_ratio(
        sample, np.array([True, False, True]), np.array([True, True, False]), np.array([False, True])
    )
    assert known.value == 0.5 and known.low < 0.5 < known.high and known.se > 0
    nothing = estimate_ratio(sample_of(np.array([0, 0, 1, 1]), (9, 9)), np.ones(4, bool), np.zeros(4, bool))
    assert np.isnan([nothing.value, nothing.se, nothing.low, nothing.high]).all()


@pytest.mark.parametrize(("strata", "sizes"), [([0, 0], (5, 5)), ([0, 0, 1], (1, 5)), ([0, 2], (5, 5))])
def test_impossible_samples(strata: list[int], sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stratum"):
        sample_of(np.array(strata), sizes)
