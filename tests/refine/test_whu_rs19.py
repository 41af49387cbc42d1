"""Refining the answers of real backbones on real tiles: WHU-RS19, 1005 pictures of 19 classes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from bimors_cli.refine import mixture
from bimors_cli.refine.spatial import spatial
from bimors_cli.refine.transductive import transductive
from tests.refine.scenes import (
    BACKBONES,
    REGION,
    Array,
    Scene,
    anywhere,
    ece,
    less_calibrated,
    right,
    softmax,
    touching,
    unit,
    whu,
    whu_map,
)

# Of a difference that is 0, the expected calibration error of a few hundred answers moves by about so much.
ECE_TOLERANCE = 0.01
Found = tuple[str, Array, Array, Array]


@pytest.fixture(scope="module", params=BACKBONES)
def found(request: pytest.FixtureRequest, shared: Path) -> Found:
    """Name, image features [1005, 512], directions of the classes [19, 512], truth."""
    return request.param, *whu(shared, request.param)


@pytest.mark.shared
def test_transductive(found: Found) -> None:
    name, features, directions, truth = found
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
    "constant, factor", [("TEMPER", 0.7), ("TEMPER", 1.5), ("TEXT_WEIGHT", 0.7), ("TEXT_WEIGHT", 1.4), ("ROUNDS", 2)]
)
def test_the_constants_are_not_tuned(
    found: Found, constant: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, features, directions, truth = found
    text = softmax(100 * features @ directions.T)
    value = getattr(mixture, constant)
    monkeypatch.setattr(mixture, constant, type(value)(value * factor))
    assert right(transductive(features, text), truth) >= {"remoteclip": 0.988, "clip": 0.94}[name]


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
    return Scene(features[chosen], softmax(100 * features[chosen] @ directions.T), truth[chosen])


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
def test_no_harm(found: Found, kind: str, draws: int) -> None:
    """The mean paired difference to the per-tile answer is not below 0 by more than its 95 % interval over draws."""
    gains = []
    for seed in range(draws):
        features, text, truth = scenes(kind, *found[1:], seed)
        gains.append(right(transductive(features, text), truth) - right(text, truth))
    error = 1.96 * np.std(gains, ddof=1) / np.sqrt(draws)
    assert np.mean(gains) + error >= 0, (np.mean(gains), error)


def backbones(features: Array, directions: Array, truth: Array) -> dict[str, Scene]:
    """As other backbones might see the same tiles."""
    rng = np.random.default_rng(0)
    text = softmax(100 * features @ directions.T)
    turned = features @ np.linalg.qr(rng.normal(size=(512, 512)))[0]
    noisy = unit(features + unit(rng.normal(size=features.shape)))
    poor = unit(features + 1.5 * unit(rng.normal(size=features.shape)))
    left, values, axes = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    few = rng.random(1005) < np.geomspace(1, 0.02, 19)[rng.permutation(19)][truth]
    return {
        "turned": Scene(turned, text, truth),
        "128 directions of them": Scene(features @ rng.normal(size=(512, 128)), text, truth),
        "16 directions of them": Scene(features @ rng.normal(size=(512, 16)), text, truth),
        "no negative number": Scene(np.maximum(turned, 0), text, truth),
        "bent": Scene(np.tanh(3 * features @ rng.normal(size=(512, 1024))), text, truth),
        "all directions as wide": Scene(left[:, :200], text, truth),
        "wide directions wider": Scene((left * values**2) @ axes, text, truth),
        "noisy": Scene(noisy, softmax(100 * noisy @ directions.T), truth),
        "poor": Scene(poor, softmax(100 * poor @ directions.T), truth),
        "poor text": Scene(features, softmax(100 * poor @ directions.T), truth),
        "sure text": Scene(features, softmax(300 * features @ directions.T), truth),
        "unsure text": Scene(features, softmax(30 * features @ directions.T), truth),
        "rare classes": Scene(features[few], text[few], truth[few]),
    }


@pytest.mark.shared
def test_other_backbones(found: Found) -> None:
    """Not fewer right, up to a few tiles, and confidence as good as before."""
    for name, (features, text, truth) in backbones(*found[1:]).items():
        refined = transductive(features, text)
        assert right(refined, truth) > right(text, truth) - 0.015, name
        assert not less_calibrated(refined, text, truth), name


# On a map


@pytest.mark.shared
@pytest.mark.parametrize("classes, noise", [(19, 0.0), (19, 1.0), (8, 1.5), (3, 0.0)])
def test_spatial(found: Found, classes: int, noise: float) -> None:
    """Better than without the map; no line and no lone tile is lost whose answer was right and clear."""
    gains, clear, kept = [], 0, 0
    before, after = [], []
    for seed in range(4):
        features, text, truth, near, kind = whu_map(found[1:], seed, classes=classes, noise=noise)
        alone, refined = transductive(features, text), spatial(features, text, near)
        gains.append(right(refined, truth) - right(alone, truth))
        before.append(ece(text, truth))
        after.append(ece(refined, truth))
        sure = (kind != REGION) & (alone.argmax(axis=1) == truth) & (alone.max(axis=1) > 0.95)
        clear, kept = clear + sure.sum(), kept + (refined.argmax(axis=1) == truth)[sure].sum()
    np.testing.assert_array_equal(spatial(features, text, anywhere(near, 0)), alone)
    assert np.mean(gains) > (0.02 if noise else 0.005)
    assert kept >= 0.99 * clear
    assert np.mean(after) < np.mean(before) + ECE_TOLERANCE


@pytest.mark.shared
def test_spatial_is_fast(found: Found) -> None:
    features, text, _, near, _ = whu_map(found[1:], 0)
    started = time.process_time()
    spatial(features, text, near)
    assert time.process_time() - started < 3


@pytest.mark.shared
@pytest.mark.parametrize("shape", [(1, 2), (6, 6)])
def test_spatial_does_no_harm_to_small_maps(found: Found, shape: tuple[int, int]) -> None:
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        of = rng.choice(19, 2)
        first = np.arange(shape[1]) < rng.integers(1, shape[1] + 1)
        label = np.tile(np.where(first, of[0], of[1]), shape[0])
        chosen = np.array([rng.choice(np.flatnonzero(found[3] == each)) for each in label])
        features, truth = found[1][chosen], found[3][chosen]
        text = softmax(100 * features @ found[2].T)
        refined = spatial(features, text, touching(np.ones(shape, bool)))
        gains.append(right(refined, truth) - right(transductive(features, text), truth))
    assert np.mean(gains) + 1.96 * np.std(gains, ddof=1) / np.sqrt(len(gains)) >= 0
