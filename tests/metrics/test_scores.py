"""Shares, scores and their edges, against figures made by hand and by other means."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.metrics.scores import (
    Proportion,
    calibration_error,
    confidence_calibration_error,
    most_confused,
    score,
    score_predictions,
)

LABELS = ("forest", "river", "port")


def sure(answers: list[int], classes: int) -> torch.Tensor:
    """Answers with the whole of the probability."""
    return torch.eye(classes)[answers]


def test_wilson_of_a_known_proportion() -> None:
    proportion = Proportion(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert proportion.interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert proportion.value == pytest.approx(81 / 263)


@settings(deadline=None)
@given(of=st.integers(0, 5000), part=st.floats(0, 1))
def test_an_interval_holds_its_value_and_narrows_with_more_of_the_same(of: int, part: float) -> None:
    proportion = Proportion(round(of * part), of)
    low, high = proportion.interval
    assert 0 <= low <= high <= 1
    if of:
        assert low - 1e-12 <= proportion.value <= high + 1e-12
        wider = Proportion(proportion.correct * 4, of * 4).interval
        assert wider[1] - wider[0] < high - low
    else:
        assert math.isnan(proportion.value) and (low, high) == (0.0, 1.0)


@pytest.mark.parametrize("right, of", [(2, 1), (-1, 1)])
def test_not_a_proportion(right: int, of: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        Proportion(right, of)


def test_scores_worked_out_by_hand() -> None:
    target = torch.tensor([0, 0, 0, 0, 1, 1])
    scores = score(sure([0, 0, 0, 1, 1, 0], 3), target, LABELS)
    assert scores.confusion == ((3, 1, 0), (1, 1, 0), (0, 0, 0))
    assert scores.accuracy == Proportion(4, 6)
    assert scores.by_class == (Proportion(3, 4), Proportion(1, 2), Proportion(0, 0))
    assert scores.precision[:2] == pytest.approx((0.75, 0.5)) and math.isnan(scores.precision[2])
    assert scores.f1[:2] == pytest.approx((0.75, 0.5)) and math.isnan(scores.f1[2])
    assert scores.macro_f1 == pytest.approx(0.625)  # the class without examples takes no part
    assert scores.balanced_accuracy == pytest.approx((0.75 + 0.5) / 2)
    assert scores.kappa == pytest.approx((4 / 6 - 20 / 36) / (1 - 20 / 36), abs=1e-6)
    assert scores.calibration_error == pytest.approx(1 - 4 / 6, abs=1e-6)


def test_an_answer_that_nobody_gave_an_example_of_counts_against_the_true_class() -> None:
    scores = score(sure([0, 2], 3), torch.tensor([0, 0]), LABELS)
    assert scores.balanced_accuracy == 0.5
    assert scores.macro_f1 == pytest.approx(2 / 3)


@settings(deadline=None)
@given(st.data())
def test_scores_agree_with_counting(data: st.DataObject) -> None:
    classes = data.draw(st.integers(1, 6))
    rows = data.draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    probabilities = torch.softmax(3 * torch.randn(rows, classes, generator=generator), dim=1)
    target = torch.randint(classes, (rows,), generator=generator)
    scores = score(probabilities, target, [f"label {i}" for i in range(classes)])
    confidence, answer = probabilities.max(dim=1)
    right = (answer == target).double()
    assert scores.accuracy == Proportion(int(right.sum()), rows)
    assert sum(map(sum, scores.confusion)) == rows
    some = [recall.value for recall in scores.by_class if recall.total]
    assert scores.balanced_accuracy == pytest.approx(sum(some) / len(some))
    error = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            error += float(inside.double().mean() * (right[inside].mean() - confidence[inside].mean()).abs())
    assert scores.calibration_error == pytest.approx(error, abs=1e-5)
    assert all(0 <= value <= 1 for value in (scores.macro_f1, scores.balanced_accuracy))


def test_one_class_and_no_rows() -> None:
    one = score(torch.ones(4, 1), torch.zeros(4, dtype=torch.int64), ["sea"])
    assert (one.accuracy, one.macro_f1, one.calibration_error) == (Proportion(4, 4), 1.0, 0.0)
    assert math.isnan(one.kappa)
    none = score(torch.empty(0, 3), torch.empty(0, dtype=torch.int64), LABELS)
    assert none.accuracy == Proportion(0, 0)
    assert all(map(math.isnan, (*none.f1, none.macro_f1, none.balanced_accuracy, none.kappa, none.calibration_error)))


def test_json_has_no_nan() -> None:
    scores = score(sure([0, 1], 3), torch.tensor([0, 0]), LABELS)
    content = json.loads(json.dumps(scores.as_json(), allow_nan=False))
    assert content["labels"] == list(LABELS)
    assert content["accuracy"] == {"right": 1, "of": 2, "value": 0.5, "interval": list(Proportion(1, 2).interval)}
    assert content["f1"][1:] == [None, None] and content["by_class"][2]["value"] is None
    assert content["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_most_confused_comes_in_order_without_the_right_answers() -> None:
    scores = score(sure([1, 1, 2, 0, 0], 3), torch.tensor([0, 0, 0, 1, 0]), LABELS)
    assert most_confused(scores, 2) == [("forest", "river", 2), ("forest", "port", 1)]
    assert len(most_confused(scores, 9)) == 3


def test_rounding_is_forgiven_and_logits_are_not() -> None:
    target = torch.tensor([0])
    assert calibration_error(torch.tensor([[1 + 1e-6, 0.0]]), target) == pytest.approx(0.0, abs=1e-5)
    for wrong in ([[3.0, -1.0]], [[math.nan, 0.5]]):
        with pytest.raises(ValueError, match="not probabilities"):
            score(torch.tensor(wrong), target, ["a", "b"])


@settings(deadline=None)
@given(classes=st.integers(1, 6), rows=st.integers(0, 40), seed=st.integers(0, 10**6))
def test_answers_alone_score_as_their_probabilities_do(classes: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.softmax(3 * torch.randn(rows, classes, generator=generator), dim=1)
    target = torch.randint(classes, (rows,), generator=generator)
    labels = [f"label {i}" for i in range(classes)]
    confidence, answer = probabilities.max(dim=1)
    expected, found = score(probabilities, target, labels), score_predictions(answer, target, labels, confidence)
    one, other = expected.as_json(), found.as_json()
    assert one.pop("calibration_error") == pytest.approx(other.pop("calibration_error"), abs=1e-6)
    assert one == other
    assert math.isnan(score_predictions(answer, target, labels).calibration_error)


def test_answers_without_confidence_take_no_part_in_the_calibration_error() -> None:
    answer, target = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    confidence = torch.tensor([0.9, math.nan, 0.6], dtype=torch.float64)
    scores = score_predictions(answer, target, LABELS, confidence)
    assert scores.calibration_error == pytest.approx(0.25, abs=1e-6) and scores.accuracy == Proportion(2, 3)
    with pytest.raises(ValueError, match="not probabilities"):
        confidence_calibration_error(torch.tensor([1.5]), torch.tensor([True]))


@pytest.mark.parametrize("answer, target", [([0, 3], [0, 0]), ([0, -1], [0, 0]), ([0, 0], [0, 3]), ([0], [0, 0])])
def test_answers_that_do_not_fit_are_refused(answer: list[int], target: list[int]) -> None:
    with pytest.raises(ValueError):
        score_predictions(torch.tensor(answer), torch.tensor(target), LABELS)


@pytest.mark.parametrize(
    "target, labels", [([0, 1], ["a"]), ([0], ["a", "b"]), ([0, 2], ["a", "b"]), ([0, -1], ["a", "b"])]
)
def test_what_does_not_fit_is_refused(target: list[int], labels: list[str]) -> None:
    with pytest.raises(ValueError):
        score(torch.full((2, 2), 0.5), torch.tensor(target), labels)
