"""The classes that a head is trained and tested on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.evaluation.protocols import PROTOCOLS, Classes, base_count, tasks_of

FIVE = ("airport", "beach", "centre", "desert", "forest")


def test_base_to_new_takes_the_first_half_the_larger_one_as_base() -> None:
    base, new = tasks_of("base-to-new", {"set": FIVE})
    assert base.train_classes == base.test_classes == new.train_classes == Classes("set", (0, 1, 2))
    assert new.test_classes == Classes("set", (3, 4))
    assert (base.role, new.role) == ("base", "new")


def test_cross_dataset_goes_from_each_set_to_all_with_all_classes() -> None:
    found = tasks_of("cross-dataset", {"a": FIVE, "b": ("field", "water")})
    assert [(q.table, q.column, q.role) for q in found] == [
        ("a", "a", "source"),
        ("a", "b", "target"),
        ("b", "b", "source"),
        ("b", "a", "target"),
    ]
    assert found[1].train_classes == Classes("a", (0, 1, 2, 3, 4)) and found[1].test_classes == Classes("b", (0, 1))


def test_domain_generalization_learns_what_all_sets_have_in_the_order_of_the_first() -> None:
    found = tasks_of(
        "domain-generalization", {"a": ("beach", "dense_residential", "x"), "b": ("Dense Residential", "beach")}
    )
    assert found[0].train_classes == Classes("a", (0, 1))
    assert found[1].test_classes == Classes("b", (1, 0))


def test_plain_asks_each_set_about_itself() -> None:
    found = tasks_of("plain", {"a": FIVE, "b": FIVE})
    assert [(q.column, q.train_classes == q.test_classes) for q in found] == [("a", True), ("b", True)]


@pytest.mark.parametrize(
    ("protocol", "data_sets", "told"),
    [
        ("base-to-new", {"a": ("x", "y", "z")}, "at least 4 classes"),
        ("cross-dataset", {"a": FIVE}, "at least 2 data sets"),
        ("domain-generalization", {"a": FIVE, "b": ("field", "beach")}, "'beach'"),
        ("domain-generalization", {"a": FIVE, "b": ("field", "water")}, "none"),
    ],
)
def test_data_sets_that_do_not_serve_are_refused(
    protocol: str, data_sets: dict[str, tuple[str, ...]], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        tasks_of(protocol, data_sets)


@given(st.integers(4, 60), st.sampled_from(sorted(PROTOCOLS)))
def test_no_new_class_is_ever_learned(count: int, protocol: str) -> None:
    names = tuple(f"class {i}" for i in range(count))
    for task in tasks_of(protocol, {"a": names, "b": names}):
        assert len(set(task.train_classes.indices)) == len(task.train_classes.indices) > 1
        if task.role == "new":
            assert not set(task.train_classes.indices) & set(task.test_classes.indices)
            assert len(task.train_classes.indices) == base_count(count)
            assert {*task.train_classes.indices, *task.test_classes.indices} == set(range(count))
