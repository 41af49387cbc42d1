"""Other tiles are heard where their features tell more than the text reads of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.refine.mixture import neighbour_weight
from bimors_cli.refine.transductive import transductive
from tests.refine.scenes import Array, right, softmax


def weight(features: Array, text: Array) -> float:
    centred = features - features.mean(axis=0)
    logs = np.log(text) - np.log(text).mean(axis=1, keepdims=True)
    logs -= logs.mean(axis=0)
    return neighbour_weight(logs.T @ logs, logs.T @ centred, np.linalg.eigvalsh(centred.T @ centred))


def made(seed: int, *, unread: float, tiles: int = 600, labels: int = 5) -> tuple[Array, Array, Array]:
    """Features whose first directions the text reads; ``unread`` is how far classes lie apart in others."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, tiles)
    read = 1.2 * np.eye(labels)[truth] + rng.normal(size=(tiles, labels))
    beyond = unread * np.eye(labels)[truth] + 0.3 * rng.normal(size=(tiles, labels))
    return np.hstack([read, beyond]), softmax(1.2 * read), truth


def test_a_text_that_reads_everything_is_left_alone() -> None:
    """Tiles that look alike are wrong alike: what they say is what the text of each has said."""
    features, text, truth = made(1, unread=0)
    assert weight(features, text) < 0.05
    refined = transductive(features, text)
    assert abs(right(refined, truth) - right(text, truth)) < 0.01
    np.testing.assert_allclose(refined, text, atol=0.15)


def test_what_the_text_does_not_read_is_heard() -> None:
    features, text, truth = made(1, unread=3)
    assert weight(features, text) == 1
    assert right(transductive(features, text), truth) > right(text, truth) + 0.1


@settings(max_examples=25)
@given(seed=st.integers(0, 999), turn=st.floats(0.1, 10))
def test_neither_scale_nor_rotation_nor_temperature_counts(seed: int, turn: float) -> None:
    features, text, _ = made(seed, unread=1, tiles=120)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(10, 10)))[0]
    expected = weight(features, text)
    assert 0 <= expected <= 1
    assert weight(turn * features @ rotation, softmax(turn * np.log(text))) == pytest.approx(expected, abs=1e-6)


def test_with_more_labels_than_tiles_the_tiles_say_nothing() -> None:
    rng = np.random.default_rng(2)
    text = softmax(rng.normal(size=(30, 60)))
    assert weight(rng.normal(size=(30, 16)), text) == 0


def test_features_that_are_all_equal_say_nothing() -> None:
    assert weight(np.ones((9, 4)), softmax(np.random.default_rng(3).normal(size=(9, 3)))) == 0
