"""Outcomes as tables."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import Task, tasks_of
from bimors_cli.evaluation.tables import Cell, Table, markdown, tables
from bimors_cli.evaluation.trials import Outcome, Trial, trials_of, unrefined

CLASSES = {"a": ("1", "2", "3", "4"), "b": ("5", "6", "7", "8")}


def laid_out(protocol: str, right: Any, **chosen: Any) -> tuple[Table, ...]:
    """Tables of a protocol in which trial t scores what `right(t, classes)` says."""
    options = EvaluateOptions(sources=("x",), protocols=(protocol,), **chosen)
    tasks = tasks_of(protocol, CLASSES)
    outcomes = {trial: outcome(trial, right) for trial in trials_of(tasks, options)}
    return tables(tasks, options, outcomes)


def outcome(trial: Trial, right: Any) -> Outcome:
    scores = []
    for classes in trial.test_classes:
        value = right(trial, classes)
        scores.append(None if value is None else {"accuracy": {"value": value}, "calibration_error": value / 10})
    return Outcome(7, 1.0, 1, 0.5, 2.0, tuple(scores))


def test_base_new_and_their_harmonic_mean_seed_by_seed() -> None:
    def right(trial: Trial, classes: Any) -> float | None:
        if trial.variant.name == "linear" and classes.indices == (2, 3):
            return None
        return (0.9 if classes.indices == (0, 1) else 0.5) + (0.01 * trial.seed if trial.train_classes else 0)

    a, b, average = laid_out("base-to-new", right, heads=("zero-shot", "coop", "linear"), seeds=(3, 1, 2))
    assert (a.title, b.title, average.title) == ("a", "b", "mean of data sets")
    assert a.columns == ("base", "new", "harmonic mean")
    zero, coop, linear = a.rows
    assert zero.cells["base"] == Cell((0.9,)) and zero.cells["base"].deviation is None
    assert coop.cells["base"].values == pytest.approx((0.93, 0.91, 0.92))  # in the order of the seeds as given
    assert coop.cells["base"].deviation == pytest.approx(0.01)
    by_seed = [statistics.harmonic_mean((0.9 + s / 100, 0.5 + s / 100)) for s in (3, 1, 2)]
    assert coop.cells["harmonic mean"].values == pytest.approx(by_seed)
    assert linear.cells["new"].mean is None and linear.cells["harmonic mean"].values == ()
    assert average.rows[1].cells["harmonic mean"].values == pytest.approx(by_seed)
    lines = list(markdown(a))
    assert lines[0] == "| head | base, % | new, % | harmonic mean, % | ECE | learns | seconds |"
    assert lines[2].startswith("| zero-shot | 90.00 | 50.00 | 64.29 | 7.00 | 7 |")
    assert lines[3].startswith("| coop | **92.00 ± 1.00** | **52.00 ± 1.00** |")
    assert "| - | - | 9.20 ± 0.10 |" in lines[4]  # of what it can answer
    assert coop.errors["base"].values == pytest.approx((0.093, 0.091, 0.092))
    assert coop.errors["mean"].values == pytest.approx((0.073, 0.071, 0.072))
    assert average.rows[1].errors["mean"].values == pytest.approx((0.073, 0.071, 0.072))


def test_shots_have_tables_of_their_own_and_zero_shot_is_in_each() -> None:
    found = laid_out(
        "plain", lambda trial, classes: trial.shots / 100, heads=("zero-shot", "coop"), seeds=(1, 2), shots=(1, 16)
    )
    assert [table.shots for table in found] == [1, 16]
    assert [table.rows[1].cells["a"].values for table in found] == [(0.01, 0.01), (0.16, 0.16)]
    assert all(table.rows[0].cells["a"].values == (0.0,) for table in found)
    assert found[0].columns == ("a", "b", "mean") and found[0].name == "plain, all classes, 1 shot"


def test_cross_dataset_has_a_table_a_source() -> None:
    first, second = laid_out("cross-dataset", lambda trial, classes: 0.5, heads=("coop",), seeds=(1,))
    assert first.columns == ("a", "b") and second.columns == ("b", "a")
    assert first.name == "cross-dataset, from a, 16 shots"


def test_trials_that_differ_in_how_answers_are_refined_learn_alike() -> None:
    heads = ("zero-shot", "zero-shot:one-template", "zero-shot:transductive", "coop", "coop:transductive", "coop:lr=1")
    options = EvaluateOptions(sources=("x",), protocols=("plain",), heads=heads, seeds=(1,))
    found = trials_of(tasks_of("plain", {"a": CLASSES["a"]}), options)
    alike: dict[Trial, list[str]] = {}
    for trial in found:
        alike.setdefault(unrefined(trial), []).append(trial.variant.name)
    assert list(alike.values()) == [
        ["zero-shot", "zero-shot:transductive"],
        ["zero-shot:one-template"],
        ["coop", "coop:transductive"],
        ["coop:lr=1"],
    ]


def test_what_is_learned_once_serves_all_protocols() -> None:
    options = EvaluateOptions(
        sources=("x",), protocols=("plain", "cross-dataset"), heads=("coop", "zero-shot"), seeds=(1, 2)
    )
    tasks: tuple[Task, ...] = (*tasks_of("plain", CLASSES), *tasks_of("cross-dataset", CLASSES))
    found = trials_of(tasks, options)
    assert len(found) == 1 + 2 * 2
    assert found[0].train_classes is None and len(found[0].test_classes) == 2
    assert [(t.train_classes.data_set, t.seed) for t in found[1:] if t.train_classes] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("b", 2),
    ]
    assert all(len(set(t.test_classes)) == len(t.test_classes) == 2 for t in found)
