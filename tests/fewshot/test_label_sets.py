"""Sets of labels: the rule, and the share of them that holds the true label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.label_sets import (
    LabelSets,
    distances,
    empty_rate,
    fit_label_sets,
    largest_coverage,
    places_needed,
)
from bimors_cli.fewshot.view_classifier import fit_view

K = 3
EVERY = np.ones(K, np.bool_)


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@st.composite
def left_out(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Probabilities, labels and places of 30 to 60 examples."""
    count = draw(st.integers(30, 60))
    # Few different scores, so that distances are often equal.
    scores = draw(arrays(np.int8, (count, K), elements=st.integers(0, 4)))
    labels = draw(arrays(np.intp, count, elements=st.integers(0, K - 1)))
    places = draw(arrays(np.intp, count, elements=st.integers(0, 25)))
    return softmax(scores), labels, places


def places_of(labels: npt.NDArray[Any], places: npt.NDArray[Any], some: tuple[int, ...]) -> int:
    return len(set(places[np.isin(labels, some)].tolist()))


@given(left_out(), st.sampled_from([0.5, 0.7, 0.8, 0.9, 0.95]))
def test_a_label_is_in_a_set_if_its_p_value_is_above_the_error(made: Any, coverage: float) -> None:
    probabilities, labels, places = made
    sets = fit_label_sets(probabilities, labels, places, EVERY, coverage)
    needed = places_needed(1 - coverage)
    if sets is None:
        assert places_of(labels, places, (0, 1, 2)) < needed
        return
    own = distances(probabilities)[np.arange(len(labels)), labels]
    tiles = softmax(np.random.default_rng(0).integers(0, 5, (20, K)))
    found = sets.of(tiles)
    judged = [(label,) for label in sets.alone] + ([sets.together] if sets.together else [])
    for some in judged:
        assert places_of(labels, places, some) >= needed
        for tile, distance in enumerate(distances(tiles)):
            for label in some:
                at_least = [
                    np.mean(own[(places == place) & np.isin(labels, some)] >= distance[label])
                    for place in np.unique(places[np.isin(labels, some)])
                ]
                p_value = (1 + sum(at_least)) / (1 + len(at_least))
                assert found[tile, label] == (p_value > 1 - coverage + 1e-9)
    assert {*sets.alone, *sets.together, *sets.unproven} == {0, 1, 2}
    assert found[np.arange(20), tiles.argmax(axis=1)].all()  # the best label is always possible


@given(left_out(), st.integers(2, 4))
def test_more_tiles_of_a_place_count_no_more(made: Any, times: int) -> None:
    probabilities, labels, places = made
    once = fit_label_sets(probabilities, labels, places, EVERY, 0.8)
    rows = np.repeat(np.arange(len(labels)), np.where(places % 2, times, 1))
    again = fit_label_sets(probabilities[rows], labels[rows], places[rows], EVERY, 0.8)
    assert (once is None) == (again is None)
    if once is not None and again is not None:
        assert once.farthest == again.farthest and once.places == again.places


@given(left_out())
def test_more_coverage_gives_larger_sets(made: Any) -> None:
    tiles = softmax(np.random.default_rng(1).normal(0, 1, (50, K)))
    sizes = []
    for coverage in (0.5, 0.6, 0.7, 0.8):
        # In one place each: no class changes between the groups that are judged together.
        probabilities, labels, _ = made
        sets = fit_label_sets(probabilities, labels * 0, np.arange(len(labels)), EVERY, coverage)
        assert sets is not None
        sizes.append(sets.of(tiles).sum())
    assert sizes == sorted(sizes)


def test_classes_with_few_places_are_judged_together() -> None:
    labels = np.repeat([0, 1, 2], [20, 5, 6])
    sets = fit_label_sets(softmax(np.eye(3)[labels]), labels, np.arange(31), EVERY, 0.9)
    assert sets is not None and (sets.alone, sets.together) == ((0,), (1, 2))
    # Nine places are needed: with eight of both, the third class joins them.
    labels = np.repeat([0, 1, 2], [20, 4, 4])
    sets = fit_label_sets(softmax(np.eye(3)[labels]), labels, np.arange(28), EVERY, 0.9)
    assert sets is not None and (sets.alone, sets.together) == ((), (0, 1, 2))
    assert (sets.examples, sets.places, sets.empty_rate) == (28, 28, 0.0)
    assert fit_label_sets(softmax(np.eye(3)[labels]), labels, np.arange(28) % 8, EVERY, 0.9) is None
    assert fit_label_sets(np.zeros((0, 3)), labels[:0], labels[:0], EVERY, 0.5) is None


def test_labels_without_left_out_examples() -> None:
    labels = np.repeat([0, 1], 10)
    probabilities = softmax(np.random.default_rng(0).normal(0, 1, (20, 4)))
    known = np.array([True, True, True, False])
    sets = fit_label_sets(probabilities, labels, np.arange(20), known, 0.8)
    assert sets is not None and (sets.alone, sets.unproven) == ((0, 1), (2,))
    assert sets.farthest[2] == max(sets.farthest[:2]) and sets.farthest[3] < 0
    assert not sets.of(probabilities)[:, 3].any()  # nothing was learned of the last label
    assert not sets.of(np.full((2, 4), np.nan)).any()


@pytest.mark.parametrize(
    ("error", "places"), [(0.5, 1), (0.2, 4), (0.1, 9), (1 - 0.9, 9), (0.05, 19), (1 - 0.95, 19), (0.01, 99)]
)
def test_places_that_a_coverage_needs(error: float, places: int) -> None:
    assert places_needed(error) == places
    assert 1 - largest_coverage(places) <= error + 1e-9 < 1 - largest_coverage(places - 1) + 1e-9


@given(st.floats(0.01, 0.5), st.integers(1, 1000))
def test_empty_sets_take_a_part_of_the_errors_only(error: float, places: int) -> None:
    rate = empty_rate(error, 1 / (1 + places))
    assert 0 <= rate <= error / 4 + 1e-9
    assert rate == 0 or rate >= 1 / (1 + places)


def covered(sets: LabelSets | None, probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    assert sets is not None
    return float(sets.of(probabilities)[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("tiles_per_place", [1, 12])
@pytest.mark.parametrize("within", [0.1, 2.0])
def test_the_promise_is_kept_whatever_places_have_in_common(
    coverage: float, tiles_per_place: int, within: float
) -> None:
    """A classifier that learned nothing of the examples; places of 1 to 12 tiles that are alike; unequal classes."""
    random = np.random.default_rng(3)
    held: list[list[float]] = [[] for _ in range(K)]
    for _ in range(300):
        label_of_place = np.concatenate((np.repeat(np.arange(K), 22), np.arange(K)))
        sizes = random.integers(1, tiles_per_place + 1, len(label_of_place))
        place = np.repeat(np.arange(len(label_of_place)), sizes)
        labels = label_of_place[place]
        common = random.normal(0, 1.5, (len(label_of_place), K))
        scores = 1.5 * np.eye(K)[labels] * (1 + labels[:, None]) + common[place]
        probabilities = softmax(scores + within * random.normal(0, 1, scores.shape))
        known = place < K * 22
        sets = fit_label_sets(probabilities[known], labels[known], place[known], EVERY, coverage)
        for label in range(K):
            new = ~known & (labels == label)
            held[label].append(covered(sets, probabilities[new], labels[new]))
    for each in held:
        assert np.mean(each) >= coverage - 2 * np.sqrt(coverage * (1 - coverage) / 300)
    # Nor are the sets of a class that is often mistaken larger than needed.
    assert np.mean(held[0]) <= coverage + 1 / 23 + 0.045


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_the_promise_is_kept_by_a_classifier_that_learned_from_all_examples(coverage: float) -> None:
    random = np.random.default_rng(4)
    held, sizes = [], []
    for _ in range(60):
        label_of_place = np.concatenate((np.repeat(np.arange(K), 10), random.integers(0, K, 40)))
        place = np.repeat(np.arange(len(label_of_place)), random.integers(1, 4, len(label_of_place)))
        labels = label_of_place[place]
        common = random.normal(0, 0.7, (len(label_of_place), 4))
        values = 1.2 * np.eye(K, 4)[labels] + common[place] + random.normal(0, 0.5, (len(labels), 4))
        known = place < K * 10
        own = labels[known]
        folds = leave_groups_out([str(each) for each in place[known]], own, 0)
        view = fit_view("statistics", values[known], own, np.ones(len(own)), K, folds)
        sets = fit_label_sets(np.exp(view.left_out), own, place[known], EVERY, coverage)
        tiles = np.exp(view.classifier.log_probabilities(values[~known]))
        held.append(covered(sets, tiles, labels[~known]))
        assert sets is not None
        sizes.append(sets.of(tiles).sum(axis=1).mean())
    assert np.mean(held) >= coverage - 2 * np.std(held) / np.sqrt(len(held))
    assert 1 <= np.mean(sizes) < 2.7
