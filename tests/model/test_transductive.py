"""Refining all tiles together helps where tiles form classes, and keeps the per-tile answer where they do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

import bimors_cli
from bimors_cli.metrics.scores import calibration_error
from bimors_cli.model import transductive as module
from bimors_cli.model.transductive import transductive

Array = NDArray[Any]
BACKBONES = ("remoteclip", "clip")
# Of a difference that is 0, the expected calibration error of a few hundred answers moves by about so much.
ECE_TOLERANCE = 0.01


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def softmax(score: Array) -> Array:
    score = np.exp(score - score.max(axis=-1, keepdims=True))
    return score / score.sum(axis=-1, keepdims=True)


def right(probabilities: Array, target: Array) -> float:
    return float((probabilities.argmax(axis=1) == target).mean())


def ece(probabilities: Array, target: Array) -> float:
    return calibration_error(torch.tensor(np.asarray(probabilities, np.float32)), torch.tensor(target))


def clusters(tiles: int, classes: int = 6, size: int = 32, seed: int = 0) -> tuple[Array, Array, Array]:
    """Features of clear classes far from the origin, text probabilities that are right for about two thirds, truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, tiles)
    features = 2 + rng.normal(size=(classes, size))[truth] + 0.6 * rng.normal(size=(tiles, size))
    text = softmax(1.6 * np.eye(classes)[truth] + rng.normal(size=(tiles, classes)))
    return features, text, truth


# Real features


@pytest.fixture(scope="module", params=BACKBONES)
def whu(request: pytest.FixtureRequest, shared: Path) -> tuple[str, Array, Array, Array]:
    """Name, image features [1005, 512], directions of the classes [19, 512], truth."""
    found = load_file(shared / "features" / f"whurs19_{request.param}_vit_b_32.safetensors")
    text = unit(unit(found["text_features"]).mean(axis=0))
    return request.param, unit(found["image_features"]), text, found["labels"]


@pytest.mark.shared
def test_whu_rs19(whu: tuple[str, Array, Array, Array]) -> None:
    name, features, directions, truth = whu
    text = softmax(100 * features @ directions.T)
    started = time.process_time()
    refined = transductive(features, text)
    assert time.process_time() - started < 3
    assert right(text, truth) == pytest.approx({"remoteclip": 0.9522, "clip": 0.8129}[name], abs=1e-4)
    assert right(refined, truth) >= {"remoteclip": 0.99, "clip": 0.92}[name]
    assert ece(refined, truth) <= ece(text, truth) + ECE_TOLERANCE
    assert ece(refined, truth) < 0.03


@pytest.mark.shared
@pytest.mark.parametrize(
    "constant, factor", [("EVIDENCE", 0.7), ("EVIDENCE", 1.5), ("PULL", 0.7), ("PULL", 1.4), ("ROUNDS", 2)]
)
def test_the_constants_are_not_tuned(
    whu: tuple[str, Array, Array, Array], constant: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, features, directions, truth = whu
    text = softmax(100 * features @ directions.T)
    value = getattr(module, constant)
    monkeypatch.setattr(module, constant, type(value)(value * factor))
    assert right(transductive(features, text), truth) >= {"remoteclip": 0.988, "clip": 0.94}[name]


Scene = tuple[Array, Array, Array]


def scenes(kind: str, features: Array, directions: Array, truth: Array, seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    classes, tiles = len(directions), len(features)

    def some(count: int, of: int) -> Array:
        return rng.choice(np.flatnonzero(truth == of), count, replace=False)

    order = rng.permutation(classes)
    if kind == "one class":
        chosen = np.flatnonzero(truth == order[0])
    elif kind == "nine classes absent":
        chosen = np.flatnonzero(np.isin(truth, order[:10]))
    elif kind == "sixteen classes absent":
        chosen = np.flatnonzero(np.isin(truth, order[:3]))
    elif kind == "unbalanced":
        counts = [50] * 3 + [20] * 3 + [5] * 6 + [1] * 7
        chosen = np.concatenate([some(count, of) for count, of in zip(counts, order, strict=True)])
    elif kind == "one class and a tile of each other":
        chosen = np.concatenate([some(50, order[0]), *(some(1, of) for of in order[1:])])
    else:
        chosen = rng.choice(tiles, int(kind.split()[0]), replace=False)
    if kind == "50 tiles, 100 classes":
        middle = directions.mean(axis=0)
        away = np.linalg.norm(directions - middle, axis=1).mean()
        others = unit(middle + away * unit(rng.normal(size=(81, directions.shape[1]))))
        directions = np.concatenate([directions, others])
    return features[chosen], softmax(100 * features[chosen] @ directions.T), truth[chosen]


@pytest.mark.shared
@pytest.mark.parametrize(
    "kind, draws",
    [
        ("one class", 10),
        ("1 tile", 3),
        ("2 tiles", 15),
        ("5 tiles", 15),
        ("20 tiles", 10),
        ("nine classes absent", 5),
        ("sixteen classes absent", 10),
        ("unbalanced", 6),
        ("one class and a tile of each other", 10),
        ("50 tiles, 100 classes", 6),
    ],
)
def test_no_harm(whu: tuple[str, Array, Array, Array], kind: str, draws: int) -> None:
    """The mean paired difference to the per-tile answer is not below 0 by more than its 95 % interval over draws."""
    gains = []
    for seed in range(draws):
        features, text, truth = scenes(kind, *whu[1:], seed)
        gains.append(right(transductive(features, text), truth) - right(text, truth))
    error = 1.96 * np.std(gains, ddof=1) / np.sqrt(draws)
    assert np.mean(gains) + error >= 0, (np.mean(gains), error)


# Made features


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
        monkeypatch.setattr(module, "EXACT", 100)
        monkeypatch.setattr(module, "_CELLS", 8)
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
    monkeypatch.setattr(module, "EXACT", 100)
    monkeypatch.setattr(module, "_CELLS", 16)
    cells = transductive(features, text)
    assert (cells.argmax(axis=1) == everywhere.argmax(axis=1)).mean() > 0.99
    assert right(cells, truth) > 0.97


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    features, text, _ = clusters(300)
    whole = transductive(features, text)
    monkeypatch.setattr(module, "_BLOCK", 7)
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
    text = softmax(sharp * rng.normal(size=(tiles, classes))).astype(kind)
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
        pytest.param(change(good, np.nan), text, "image features hold a number that is not finite", id="nan feature"),
        pytest.param(change(good, np.inf), text, "image features hold a number that is not finite", id="inf feature"),
        pytest.param(good, change(text, np.nan), "text probabilities hold a number that is not finite", id="nan text"),
        pytest.param(good, change(text, -np.inf), "text probabilities hold a number that is not", id="inf text"),
        pytest.param(good, change(text, 0.6), "does not sum to 1", id="sum"),
        pytest.param(good, np.tile([1.5, -0.5], (4, 1)), "a number is negative", id="negative"),
        pytest.param(good[:3], text, "do not fit", id="fewer features"),
        pytest.param(good[0], text, "do not fit", id="a vector"),
        pytest.param(good, text[:, :0], "do not fit", id="no label"),
        pytest.param(good[:, :0], text, "do not fit", id="no feature"),
        pytest.param(good.astype(int), text, "int64, not floating-point", id="integers"),
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


def big(tiles: int, path: Path) -> tuple[Array, Array, Array]:
    """float16 features [tiles, 512] on disk, in 19 classes with 40 directions in common; text; truth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 19, tiles)
    centres, common = 0.6 * rng.normal(size=(19, 512)), 0.15 * rng.normal(size=(40, 512))
    features = np.lib.format.open_memmap(path, "w+", np.float16, (tiles, 512))
    for start in range(0, tiles, 20_000):
        of = truth[start : start + 20_000]
        noise = rng.standard_normal((len(of), 40), np.float32) @ common + 0.5 * rng.standard_normal((len(of), 512))
        features[start : start + 20_000] = 1.5 + centres[of] + noise
    features.flush()
    text = softmax(3 * np.eye(19)[truth] + rng.normal(size=(tiles, 19))).astype(np.float32)
    return np.load(path, mmap_mode="r"), text, truth


def peak(work: Callable[[], Array]) -> tuple[Array, int]:
    """What it returns, and how many bytes it needed at most beyond what was held before, pages of the map included."""

    def held(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the greatest memory so far
    return work(), held("VmHWM") - before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tiles", [100_000, 1_000_000])
def test_many_tiles(tiles: int, tmp_path: Path) -> None:
    features, text, truth = big(tiles, tmp_path / "features.npy")
    started = time.process_time()
    refined, grown = peak(lambda: transductive(features, text))
    print(f"{tiles} tiles: {time.process_time() - started:.0f} s of processor time, {grown / 2**20:.0f} MiB more")
    assert right(refined, truth) > right(text, truth) + 0.1
    # The map's own pages, then twice 128 directions, two assignments, neighbours with their cosines, and 300 MiB.
    assert grown < tiles * (2 * 512 + 4 * (2 * 128 + 2 * 19 + 3 * 5)) + 300 * 2**20
