"""Refining all tiles together helps where tiles form classes, and keeps the per-tile answer where they do not."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bimors_cli
from bimors_cli.refine import arrays as blocks
from bimors_cli.refine import nearest_neighbours
from bimors_cli.refine.mixture import Rounds
from bimors_cli.refine.spatial import spatial
from bimors_cli.refine.transductive import transductive
from tests.refine.scenes import Array, around, clusters, ece, less_calibrated, many, peak, right, softmax


def test_classes_are_found_that_the_text_only_hints_at() -> None:
    features, text, truth = clusters(600)
    refined = transductive(features, text)
    assert right(text, truth) < 0.75
    assert right(refined, truth) > 0.97
    assert ece(refined, truth) < ece(text, truth)


def test_features_without_classes_keep_the_text() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 6, 400)
    text = softmax(3 * np.eye(6)[truth] + rng.normal(size=(400, 6)))
    gain = right(transductive(rng.normal(size=(400, 32)), text), truth) - right(text, truth)
    assert gain > -0.03


def test_a_class_that_no_tile_shows_stays_empty() -> None:
    features, text, truth = clusters(300)
    wide = np.concatenate([0.98 * text, np.full((300, 4), 0.005)], axis=1)
    refined = transductive(features, wide)
    assert right(refined, truth) > 0.95
    assert (refined.argmax(axis=1) < 6).all()


def test_no_tile() -> None:
    assert transductive(np.zeros((0, 5)), np.zeros((0, 3))).shape == (0, 3)


def test_one_tile_keeps_its_answer() -> None:
    text = np.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(transductive(np.ones((1, 5)), text), text, atol=1e-6)


def test_tiles_that_are_all_the_same_keep_their_answers() -> None:
    text = softmax(np.random.default_rng(0).normal(size=(40, 4)))
    np.testing.assert_allclose(transductive(np.full((40, 8), 0.3), text), text, atol=1e-5)


def test_one_label() -> None:
    assert (transductive(clusters(20)[0], np.ones((20, 1))) == 1).all()


@pytest.mark.parametrize("exact", [True, False])
def test_the_order_of_the_tiles_does_not_matter(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monkeypatch.setattr(nearest_neighbours, "EXACT", 100)
        monkeypatch.setattr(nearest_neighbours, "CELLS", 8)
    features, text, _ = clusters(500, seed=3)
    order = np.random.default_rng(0).permutation(500)
    refined = transductive(features, text)
    np.testing.assert_array_equal(refined, transductive(features, text))
    np.testing.assert_allclose(transductive(features[order], text[order]), refined[order], atol=1e-4)


def test_twins_do_not_outvote_the_others() -> None:
    features, text, truth = clusters(200)
    again = np.concatenate([np.arange(200), np.full(300, 7)])
    refined = transductive(features[again], text[again])
    assert right(refined[:200], truth) > 0.95
    np.testing.assert_allclose(refined[200:], np.broadcast_to(refined[200], (300, 6)), atol=1e-5)


def test_searching_cells_finds_what_searching_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    features, text, truth = clusters(2000)
    everywhere = transductive(features, text)
    monkeypatch.setattr(nearest_neighbours, "EXACT", 100)
    monkeypatch.setattr(nearest_neighbours, "CELLS", 16)
    cells = transductive(features, text)
    assert (cells.argmax(axis=1) == everywhere.argmax(axis=1)).mean() > 0.99
    assert right(cells, truth) > 0.97


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    features, text, _ = clusters(300)
    whole = transductive(features, text)
    monkeypatch.setattr(blocks, "BLOCK", 7)
    np.testing.assert_allclose(transductive(features, text), whole, atol=1e-4)


def test_what_holds_the_features_does_not_matter(tmp_path: Path) -> None:
    features, text, _ = clusters(300)
    kept = features.astype(np.float16)
    np.save(tmp_path / "features.npy", kept)
    expected = transductive(kept.astype(np.float64), text)
    for given_ in (kept, kept.astype(np.float32), np.load(tmp_path / "features.npy", mmap_mode="r")):
        np.testing.assert_allclose(transductive(given_, text), expected, atol=1e-4)
    np.testing.assert_allclose(transductive(kept.astype(np.float64) * 1e200, text), expected, atol=1e-4)
    np.testing.assert_allclose(transductive(kept.astype(np.float64) * 1e-200, text), expected, atol=1e-4)


def test_nothing_is_written_into_what_is_given() -> None:
    features, text, _ = clusters(100)
    before = features.copy(), text.copy()
    transductive(features, text)
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(text, before[1])


def test_probabilities_of_0_and_empty_features() -> None:
    features, text, truth = clusters(200)
    features[:3], features[:, 5] = 0, 0
    hard = np.eye(6)[text.argmax(axis=1)].astype(np.float16)
    refined = transductive(features, hard)
    assert np.isfinite(refined).all()
    assert right(refined, truth) >= right(hard, truth)


@settings(max_examples=60, deadline=None)
@given(
    tiles=st.integers(1, 12),
    classes=st.integers(1, 6),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    sharp=st.sampled_from([0.1, 3.0, 200.0]),
    kind=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_always_probabilities(tiles: int, classes: int, size: int, seed: int, sharp: float, kind: type) -> None:
    rng = np.random.default_rng(seed)
    text: Array = softmax(sharp * rng.normal(size=(tiles, classes))).astype(kind)
    refined = transductive(rng.integers(-2, 3, (tiles, size)).astype(kind), text)
    assert refined.shape == (tiles, classes) and refined.dtype == np.float32
    assert (refined >= 0).all()
    np.testing.assert_allclose(refined.sum(axis=1), 1, atol=1e-5)


def broken() -> list[Any]:
    good, text = np.ones((4, 3)), np.full((4, 2), 0.5)

    def change(of: Array, value: float) -> Array:
        changed = of.copy()
        changed[2, 1] = value
        return changed

    return [
        pytest.param(change(good, np.nan), text, "image features contain a value that is not finite", id="nan feature"),
        pytest.param(change(good, np.inf), text, "image features contain a value that is not finite", id="inf feature"),
        pytest.param(
            good, change(text, np.nan), "text probabilities contain a value that is not finite", id="nan text"
        ),
        pytest.param(good, change(text, -np.inf), "text probabilities contain a value that is not", id="inf text"),
        pytest.param(good, change(text, 0.6), "does not sum to 1", id="sum"),
        pytest.param(good, np.tile([1.5, -0.5], (4, 1)), "a negative value", id="negative"),
        pytest.param(good[:3], text, r"must be \[N, D\] and \[N, K\]", id="fewer features"),
        pytest.param(good[0], text, r"must be \[N, D\] and \[N, K\]", id="a vector"),
        pytest.param(good, text[:, :0], r"must be \[N, D\] and \[N, K\]", id="no label"),
        pytest.param(good[:, :0], text, r"must be \[N, D\] and \[N, K\]", id="no feature"),
        pytest.param(good.astype(int), text, "must be floating point, not int64", id="integers"),
    ]


@pytest.mark.parametrize("features, text, line", broken())
def test_what_is_refused(features: Array, text: Array, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        transductive(features, text)
    assert "\n" not in str(caught.value)


def test_the_public_name_loads_nothing_before_it_is_called() -> None:
    features, text, _ = clusters(50)
    np.testing.assert_array_equal(bimors_cli.transductive(features, text), transductive(features, text))
    code = """
import sys, bimors_cli
assert not {"numpy", "torch", "faiss"} & set(sys.modules)
import numpy as np
bimors_cli.transductive(np.eye(3), np.full((3, 2), 0.5))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    tiles=st.integers(150, 800),
    classes=st.integers(2, 20),
    absent=st.floats(0, 0.9),
    size=st.sampled_from([16, 64, 256]),
    noise=st.sampled_from([0.4, 0.8, 1.6, 4.0]),
    clear=st.floats(1, 4),
    sharp=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_confidence_is_as_good_as_before(
    tiles: int, classes: int, absent: float, size: int, noise: float, clear: float, sharp: float, seed: int
) -> None:
    """Whatever the backbone: clear features or poor ones, text that is sure of itself by half or by twice its due."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(max(1, round(classes * (1 - absent))), tiles)
    features, text, _ = around(truth, classes, size, rng, noise, clear, clear * sharp)
    refined = transductive(features, text)
    assert not less_calibrated(refined, text, truth)
    assert right(refined, truth) > right(text, truth) - 1.5 / np.sqrt(tiles)


def test_much_surer_where_many_more_are_right() -> None:
    """Poor text, calibrated, and clear features."""
    rng = np.random.default_rng(0)
    features, text, truth = around(rng.integers(0, 5, 1500), 5, 32, rng, noise=0.6, clear=0.8, sharp=0.8)
    refined = transductive(features, text)
    assert right(text, truth) < 0.5 < 0.85 < right(refined, truth)
    assert ece(refined, truth) < 0.1


def test_no_answer_changes_for_its_confidence() -> None:
    features, text, _ = clusters(400, seed=5)
    rounds = Rounds(features, text)
    refined = rounds.run()
    np.testing.assert_array_equal(refined.argmax(axis=1), rounds.z.argmax(axis=1))
    assert (refined.max(axis=1) >= rounds.z.max(axis=1) - 1e-6).all()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tiles", [100_000, 1_000_000])
def test_many_tiles(tiles: int, tmp_path: Path) -> None:
    truth = np.random.default_rng(1).integers(0, 19, tiles)
    features, text, _ = many(truth, tmp_path / "features.npy")
    started = time.process_time()
    refined, grown = peak(lambda: transductive(features, text))
    print(f"{tiles} tiles: {time.process_time() - started:.0f} s of processor time, {grown / 2**20:.0f} MiB more")
    assert right(refined, truth) > right(text, truth) + 0.1
    # The map's own pages, then twice 128 directions, two assignments, neighbours with their cosines, and 300 MiB.
    assert grown < tiles * (2 * 512 + 4 * (2 * 128 + 2 * 19 + 3 * 5)) + 300 * 2**20


class Stopped(Exception):
    """Raised by a check."""


@pytest.mark.parametrize("refine", [transductive, spatial])
def test_a_check_is_called_before_each_block(refine: Callable[..., Array], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 16)
    features, text, _ = clusters(50)
    near = [] if refine is transductive else [np.full((len(text), 8), -1)]
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    np.testing.assert_array_equal(refine(features, text, *near, count), refine(features, text, *near))
    assert calls >= 16 * math.ceil(len(text) / 16)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        refine(features, text, *near, stop)
