"""Leaving groups out."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.fewshot.folds import MAX_FOLDS, leave_groups_out

EXAMPLES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=120)


@given(EXAMPLES, st.integers(0, 5))
def test_every_example_is_in_one_fold_and_no_group_is_divided(examples: list[tuple[int, int]], seed: int) -> None:
    groups, labels = [f"g{group}" for group, _ in examples], np.array([label for _, label in examples])
    folds = leave_groups_out(groups, labels, seed)
    masks = np.array(folds.masks)
    assert (masks.sum(axis=0) == 1).all()
    assert len(masks) == min(MAX_FOLDS, len(set(groups))) and masks.any(axis=1).all()
    assert folds.groups == len(set(groups))
    fold = masks.argmax(axis=0)
    assert len(set(zip(groups, fold.tolist(), strict=True))) == len(set(groups))
    for row, label in enumerate(labels):
        others = [other for other, away in zip(labels, masks[fold[row]], strict=True) if not away]
        assert folds.answered[row] == (label in others)


@given(EXAMPLES, st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_examples(examples: list[tuple[int, int]], random: object) -> None:
    """They depend on the names of the groups, on the labels and on the seed."""
    order = list(range(len(examples)))
    random.shuffle(order)  # type: ignore[attr-defined]
    groups, labels = [f"g{group}" for group, _ in examples], np.array([label for _, label in examples])
    folds = leave_groups_out(groups, labels, 0)
    moved = leave_groups_out([groups[row] for row in order], labels[order], 0)
    np.testing.assert_array_equal(np.array(folds.masks)[:, order], np.array(moved.masks))
    np.testing.assert_array_equal(folds.answered[order], moved.answered)


def test_groups_of_a_class_are_left_out_in_different_folds() -> None:
    """A class of two groups is answered, however many groups other classes have."""
    labels = np.repeat(np.arange(30), 2)
    folds = leave_groups_out([str(row) for row in range(60)], labels, 3)
    assert len(folds.masks) == MAX_FOLDS and folds.answered.all()


def test_a_class_of_one_group_is_not_answered() -> None:
    folds = leave_groups_out(["a", "a", "b", "c"], np.array([0, 0, 1, 1]), 0)
    assert folds.answered.tolist() == [False, False, True, True]


def test_no_examples() -> None:
    folds = leave_groups_out([], np.zeros(0, np.intp), 0)
    assert folds.masks == () and folds.groups == 0 and len(folds.answered) == 0


def test_many_groups_take_no_time() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 50_000)
    clock = time.perf_counter()
    folds = leave_groups_out([str(row) for row in range(50_000)], labels, 0)
    assert folds.groups == 50_000 and folds.answered.all()
    assert time.perf_counter() - clock < 2
