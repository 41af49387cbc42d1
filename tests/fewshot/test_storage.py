"""An ensemble as arrays and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.storage import ensemble_arrays, left_out_arrays, read_ensemble, read_left_out
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.fewshot.view_classifier import fit_view
from tests.fewshot.made import Array, clouds

KINDS = {"image": "features", "bands": "statistics", "names": "answers", "around": "features"}


def made_ensemble(per_class: int = 8, width: int = 3) -> tuple[Ensemble, dict[str, Unlikeness], dict[str, Array]]:
    views, values, unlike = {}, {}, {}
    for number, (name, kind) in enumerate(KINDS.items()):
        made = clouds(per_class, width=width if kind != "answers" else 3, group=1, seed=number)
        values[name] = made.values
        views[name] = fit_view(kind, *made.learned, made.folds).classifier  # type: ignore[arg-type]
        if kind != "answers":
            unlike[name] = Unlikeness.fit(views[name].scaled(made.values), made.labels, made.folds)
    return Ensemble(views, dict(zip(KINDS, (0.3, 0.7, 0.11, 1.3), strict=True))), unlike, values


@pytest.mark.parametrize("per_class, width", [(8, 3), (8, 40), (1, 5)])
def test_answers_are_the_same_bit_by_bit(per_class: int, width: int, tmp_path: Path) -> None:
    ensemble, unlike, values = made_ensemble(per_class, width)
    save_file(ensemble_arrays(ensemble, unlike), tmp_path / "weights.safetensors")
    read, read_unlike = read_ensemble(load_file(tmp_path / "weights.safetensors"))
    assert set(read.views) == set(KINDS) and set(read_unlike) == {"image", "bands", "around"}
    np.testing.assert_array_equal(read.log_probabilities(values), ensemble.log_probabilities(values))
    for name, each in unlike.items():
        scaled = ensemble.views[name].scaled(values[name])
        np.testing.assert_array_equal(read_unlike[name].of(scaled), each.of(scaled))
        np.testing.assert_array_equal(read_unlike[name].p_values(each.scores), each.p_values(each.scores))
        assert read_unlike[name].least_rate == each.least_rate


ENSEMBLE, UNLIKE, VALUES = made_ensemble(3)
ARRAYS = ensemble_arrays(ENSEMBLE, UNLIKE)


@given(st.sampled_from(sorted(ARRAYS)), st.sampled_from(["gone", "cut", "flat", "more", "nan", "zero"]))
def test_damaged_arrays_are_refused(name: str, damage: str) -> None:
    arrays = dict(ARRAYS)
    value = arrays[name]
    if damage == "gone":
        del arrays[name]
    else:
        arrays[name] = {
            "cut": value[..., :-1] if value.ndim else np.zeros(2),
            "flat": value.ravel() if value.ndim != 1 else value[0],
            "more": value[None],
            "nan": value * np.nan,
            "zero": value * 0,
        }[damage]
    try:
        ensemble, unlike = read_ensemble(arrays)
    except (KeyError, ValueError):
        return
    # What can still be read can be used.
    if set(ensemble.views) == set(KINDS):
        assert ensemble.log_probabilities(VALUES).shape == (9, 3)
    for view, each in unlike.items():
        assert each.of(ensemble.views[view].scaled(VALUES[view])).shape == (9,)


def test_nothing_is_no_ensemble() -> None:
    with pytest.raises(KeyError, match="no views"):
        read_ensemble({})


def test_other_classes_are_refused() -> None:
    made = clouds(8, classes=4)
    other = fit_view("features", *made.learned, made.folds).classifier
    arrays = ensemble_arrays(Ensemble({**ENSEMBLE.views, "image": other}, ENSEMBLE.weights), UNLIKE)
    with pytest.raises(ValueError, match="different numbers of classes"):
        read_ensemble(arrays)


LEFT_OUT = LeftOut(
    np.log(np.random.default_rng(0).dirichlet(np.ones(3), 7)), np.array([0, 1, 2, 0, 1, 2, 0]), np.arange(7) // 2, True
)


def test_answers_for_left_out_examples_come_back(tmp_path: Path) -> None:
    save_file(left_out_arrays(LEFT_OUT), tmp_path / "left-out.safetensors")
    read = read_left_out(load_file(tmp_path / "left-out.safetensors"), 3)
    np.testing.assert_allclose(read.log_p, LEFT_OUT.log_p, rtol=1e-6)
    np.testing.assert_array_equal(read.labels, LEFT_OUT.labels)
    np.testing.assert_array_equal(read.places, LEFT_OUT.places)
    assert read.together and read.num_places == 4 and read.places_by_label() == [3, 2, 2]


@given(st.sampled_from(sorted(left_out_arrays(LEFT_OUT))), st.sampled_from(["gone", "cut", "more", "nan"]))
def test_damaged_answers_for_left_out_examples_are_refused(name: str, damage: str) -> None:
    arrays = left_out_arrays(LEFT_OUT)
    value = arrays.pop(name)
    if damage != "gone":
        cut = value[..., :-1] if value.ndim else np.zeros(2)
        arrays[name] = {"cut": cut, "more": value[None], "nan": value * np.nan}[damage]
    with pytest.raises((KeyError, ValueError)):
        read_left_out(arrays, 3)


def test_left_out_examples_of_other_classes_are_refused() -> None:
    arrays = left_out_arrays(LEFT_OUT)
    for changed in ({"labels": arrays["labels"] + 1}, {"labels": arrays["labels"] - 1}, {}):
        with pytest.raises(ValueError, match="other classes"):
            read_left_out({**arrays, **changed}, 3 if changed else 4)
