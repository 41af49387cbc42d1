"""Touching tiles help each other where the map has structure, and nothing changes where it has none."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimors_cli.refine import arrays as blocks
from bimors_cli.refine import spatial as module
from bimors_cli.refine.spatial import spatial
from bimors_cli.refine.transductive import transductive
from tests.refine.scenes import (
    LINE,
    LONE,
    REGION,
    Array,
    anywhere,
    around,
    ece,
    less_calibrated,
    made_map,
    many,
    peak,
    right,
    softmax,
    touching,
)

# What it is for


@pytest.mark.parametrize(
    "noise, clear, gain",
    [
        pytest.param(2.0, 1.6, 0.1, id="poor features"),
        pytest.param(4.0, 2.0, 0.15, id="features that say nothing"),
        pytest.param(3.0, 0.8, 0.2, id="poor features, poor text"),
    ],
)
def test_weak_answers_get_better(noise: float, clear: float, gain: float) -> None:
    features, text, truth, near, _ = made_map(0, noise=noise, clear=clear)
    alone, refined = transductive(features, text), spatial(features, text, near)
    assert right(refined, truth) > right(alone, truth) + gain
    assert not less_calibrated(refined, text, truth)


def test_lines_and_lone_tiles_stay() -> None:
    clear = 0
    for seed in range(4):
        features, text, truth, near, kind = made_map(seed, noise=0.8, clear=2.0)
        alone, refined = transductive(features, text), spatial(features, text, near)
        assert right(text, truth) < 0.75
        assert right(refined[kind == REGION], truth[kind == REGION]) > 0.995
        assert right(refined[kind == LINE], truth[kind == LINE]) >= right(alone[kind == LINE], truth[kind == LINE])
        sure = (kind == LONE) & (alone.max(axis=1) > 0.95) & (alone.argmax(axis=1) == truth)
        assert (refined[sure].argmax(axis=1) == truth[sure]).all()
        assert ece(refined, truth) < 0.05
        clear += sure.sum()
    assert clear > 25


def test_a_river_through_one_wood() -> None:
    """One class but for a line one tile wide."""
    rng = np.random.default_rng(0)
    river = np.zeros((30, 30), int)
    river[np.clip(15 + np.cumsum(rng.integers(-1, 2, 30)), 0, 29), np.arange(30)] = 1
    truth = river.ravel()
    features, text, _ = around(truth, 4, 32, rng, noise=0.6, clear=2.0)
    refined = spatial(features, text, touching(np.ones((30, 30), bool)))
    assert right(text, truth) < 0.85
    assert right(refined[truth == 1], truth[truth == 1]) > 0.95
    assert right(refined[truth == 0], truth[truth == 0]) > 0.99


def test_nothing_is_pulled_across_a_gap() -> None:
    """Two scenes that do not touch: what is on one does not move what is on the other beyond what features do."""
    features, text, truth, near, _ = made_map(1, shape=(20, 20))
    alone = np.full_like(near, -1)
    apart = np.concatenate([near, alone])
    both = spatial(np.tile(features, (2, 1)), np.tile(text, (2, 1)), apart)
    without = transductive(np.tile(features, (2, 1)), np.tile(text, (2, 1)))
    np.testing.assert_allclose(both[400:], without[400:], atol=1e-6)
    assert right(both[:400], truth) >= right(without[:400], truth)


# No harm


@pytest.mark.parametrize(
    "settings_",
    [
        pytest.param({}, id="classes"),
        pytest.param({"noise": 4.0}, id="poor features"),
        pytest.param({"clear": 0.8, "noise": 3.0}, id="poor text"),
        pytest.param({"present": 3}, id="seven classes absent"),
        pytest.param({"present": 2, "patches": 3}, id="one class nearly everywhere"),
        pytest.param({"shape": (5, 10), "classes": 100, "present": 8, "patches": 6, "lone": 0}, id="100 classes"),
        pytest.param({"shape": (6, 6), "patches": 3, "lone": 0}, id="36 tiles"),
    ],
)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(8), marks=pytest.mark.slow)], ids=["few", "more"])
def test_tiles_arranged_at_random_keep_their_answers(settings_: dict[str, Any], seeds: range) -> None:
    changed = 0
    for seed in seeds:
        features, text, truth, near, _ = made_map(seed, **settings_)
        alone, refined = transductive(features, text), spatial(features, text, anywhere(near, seed))
        changed += not np.array_equal(alone, refined)
        assert right(refined, truth) >= right(alone, truth) - 0.01
    assert changed <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 3), (30, 30)])
def test_one_class(shape: tuple[int, int]) -> None:
    features, text, truth, _, _ = made_map(0, shape=(30, 30), present=1, lone=0)
    tiles = shape[0] * shape[1]
    features, text = features[:tiles], text[:tiles]
    refined, alone = spatial(features, text, touching(np.ones(shape, bool))), transductive(features, text)
    assert right(refined, truth[:tiles]) >= right(alone, truth[:tiles])


def test_no_neighbours_at_all() -> None:
    features, text, _, near, _ = made_map(0, shape=(12, 12))
    alone = transductive(features, text)
    np.testing.assert_array_equal(spatial(features, text, np.full_like(near, -1)), alone)
    np.testing.assert_array_equal(spatial(features, text, near[:, :0]), alone)


def test_no_tile() -> None:
    assert spatial(np.zeros((0, 5)), np.zeros((0, 3)), np.zeros((0, 8), np.int64)).shape == (0, 3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    height=st.integers(12, 30),
    width=st.integers(12, 30),
    classes=st.integers(2, 20),
    size=st.sampled_from([16, 64, 256]),
    noise=st.sampled_from([0.4, 0.8, 1.6]),
    clear=st.floats(1, 4),
    patches=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_better_and_as_well_calibrated_on_any_map(
    height: int, width: int, classes: int, size: int, noise: float, clear: float, patches: int, seed: int
) -> None:
    features, text, truth, near, _ = made_map(
        seed, shape=(height, width), classes=classes, size=size, noise=noise, clear=clear, patches=patches, lone=4
    )
    refined = spatial(features, text, near)
    assert right(refined, truth) > right(transductive(features, text), truth) - 1 / np.sqrt(len(truth))
    assert not less_calibrated(refined, text, truth)


# How it is given


def test_the_order_of_tiles_and_of_neighbours_does_not_matter() -> None:
    features, text, _, near, _ = made_map(2, shape=(20, 20), noise=1.0)
    rng = np.random.default_rng(0)
    refined = spatial(features, text, near)
    order = rng.permutation(400)
    moved = np.where(near[order] < 0, -1, np.argsort(order)[near[order]])
    np.testing.assert_allclose(spatial(features[order], text[order], moved), refined[order], atol=1e-3)
    np.testing.assert_allclose(spatial(features, text, rng.permuted(near, axis=1)), refined, atol=1e-4)
    np.testing.assert_array_equal(spatial(features, text, near), refined)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    features, text, _, near, _ = made_map(3, shape=(16, 16), noise=1.0)
    whole = spatial(features, text, near)
    monkeypatch.setattr(blocks, "BLOCK", 7)
    np.testing.assert_allclose(spatial(features, text, near), whole, atol=1e-3)


def test_a_memory_map_of_neighbours(tmp_path: Path) -> None:
    features, text, _, near, _ = made_map(4, shape=(16, 16))
    for name, values in (("near", near), ("features", features.astype(np.float16))):
        np.save(tmp_path / f"{name}.npy", values)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("features", "near")]
    np.testing.assert_array_equal(
        spatial(mapped[0], text, mapped[1]), spatial(features.astype(np.float16), text, near.astype(np.int32))
    )


def test_nothing_is_written_into_what_is_given() -> None:
    features, text, _, near, _ = made_map(5, shape=(12, 12))
    given_ = [features, text, near]
    before = [values.copy() for values in given_]
    spatial(features, text, near)
    for values, expected in zip(given_, before, strict=True):
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("constant, value", [("MAX_WEIGHT", 0.8), ("MAX_WEIGHT", 0.95), ("ROUNDS", 5), ("ROUNDS", 20)])
def test_the_constants_are_not_tuned(constant: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    features, text, truth, near, _ = made_map(6, noise=2.0)
    expected = right(spatial(features, text, near), truth)
    monkeypatch.setattr(module, constant, value)
    assert right(spatial(features, text, near), truth) == pytest.approx(expected, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    tiles=st.integers(1, 12),
    classes=st.integers(1, 6),
    size=st.integers(1, 5),
    neighbours=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
    sharp=st.sampled_from([0.1, 3.0, 200.0]),
    kind=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_always_probabilities(
    tiles: int, classes: int, size: int, neighbours: int, seed: int, sharp: float, kind: type
) -> None:
    rng = np.random.default_rng(seed)
    text: Array = softmax(sharp * rng.normal(size=(tiles, classes))).astype(kind)
    near = rng.integers(-1, tiles, (tiles, neighbours))
    refined = spatial(rng.integers(-2, 3, (tiles, size)).astype(kind), text, near)
    assert refined.shape == (tiles, classes) and refined.dtype == np.float32
    assert (refined >= 0).all()
    np.testing.assert_allclose(refined.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "near, line",
    [
        pytest.param(np.zeros((3, 8), np.int64), "with N = 4", id="fewer"),
        pytest.param(np.zeros(4, np.int64), "with N = 4", id="a vector"),
        pytest.param(np.zeros((4, 8)), "must be signed integers, not float64", id="floats"),
        pytest.param(np.zeros((4, 8), np.uint8), "must be signed integers, not uint8", id="unsigned"),
        pytest.param(np.full((4, 8), 4), "row indices from -1 to 3", id="behind the last"),
        pytest.param(np.full((4, 8), -2), "row indices from -1 to 3", id="below -1"),
    ],
)
def test_what_is_refused(near: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        spatial(np.eye(4), np.full((4, 2), 0.5), near)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="and text probabilities"):
        spatial(np.eye(4), np.full((3, 2), 0.5), near)


# Many tiles


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("side", [320, 1000])
def test_many_tiles(side: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 19, (side // 20, side // 20)).repeat(20, axis=0).repeat(20, axis=1).ravel()
    features, text, _ = many(truth, tmp_path / "features.npy")
    np.save(tmp_path / "near.npy", touching(np.ones((side, side), bool)))
    near = np.load(tmp_path / "near.npy", mmap_mode="r")
    tiles = side**2
    started = time.process_time()
    refined, grown = peak(lambda: spatial(features, text, near))
    print(f"{tiles} tiles: {time.process_time() - started:.0f} s of processor time, {grown / 2**20:.0f} MiB more")
    assert right(refined, truth) > right(text, truth) + 0.1
    # The maps' own pages, then twice 128 directions or three assignments, look-alikes, touching tiles, and 300 MiB.
    assert grown < tiles * (2 * 512 + 8 * 8 + 4 * (2 * 128 + 2 * 19 + 3 * 5 + 8)) + 300 * 2**20
