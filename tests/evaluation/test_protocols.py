"""Which classes a head learns and is asked about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.evaluation.protocols import PROTOCOLS, Classes, base_count, questions

FIVE = ("airport", "beach", "centre", "desert", "forest")


def test_base_to_new_takes_the_first_half_the_larger_one_as_base() -> None:
    base, new = questions("base-to-new", {"set": FIVE})
    assert base.learned == base.asked == new.learned == Classes("set", (0, 1, 2))
    assert new.asked == Classes("set", (3, 4))
    assert (base.role, new.role) == ("base", "new")


def test_cross_dataset_goes_from_each_set_to_all_with_all_classes() -> None:
    found = questions("cross-dataset", {"a": FIVE, "b": ("field", "water")})
    assert [(q.table, q.column, q.role) for q in found] == [
        ("a", "a", "source"),
        ("a", "b", "target"),
        ("b", "b", "source"),
        ("b", "a", "target"),
    ]
    assert found[1].learned == Classes("a", (0, 1, 2, 3, 4)) and found[1].asked == Classes("b", (0, 1))


def test_domain_generalization_learns_what_all_sets_have_in_the_order_of_the_first() -> None:
    found = questions(
        "domain-generalization", {"a": ("beach", "dense_residential", "x"), "b": ("Dense Residential", "beach")}
    )
    assert found[0].learned == Classes("a", (0, 1))
    assert found[1].asked == Classes("b", (1, 0))


def test_plain_asks_each_set_about_itself() -> None:
    found = questions("plain", {"a": FIVE, "b": FIVE})
    assert [(q.column, q.learned == q.asked) for q in found] == [("a", True), ("b", True)]


@pytest.mark.parametrize(
    ("protocol", "data_sets", "told"),
    [
        ("base-to-new", {"a": ("x", "y", "z")}, "two base and two new"),
        ("cross-dataset", {"a": FIVE}, "another"),
        ("domain-generalization", {"a": FIVE, "b": ("field", "beach")}, "'beach'"),
        ("domain-generalization", {"a": FIVE, "b": ("field", "water")}, "none"),
    ],
)
def test_data_sets_that_do_not_serve_are_refused(
    protocol: str, data_sets: dict[str, tuple[str, ...]], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        questions(protocol, data_sets)


@given(st.integers(4, 60), st.sampled_from(sorted(PROTOCOLS)))
def test_no_new_class_is_ever_learned(count: int, protocol: str) -> None:
    names = tuple(f"class {i}" for i in range(count))
    for question in questions(protocol, {"a": names, "b": names}):
        assert len(set(question.learned.places)) == len(question.learned.places) > 1
        if question.role == "new":
            assert not set(question.learned.places) & set(question.asked.places)
            assert len(question.learned.places) == base_count(count)
            assert {*question.learned.places, *question.asked.places} == set(range(count))
