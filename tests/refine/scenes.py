"""Made and real tiles with known classes: features, text probabilities, truth, and where they lie on a map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from bimors_cli.metrics.scores import calibration_error

Array = NDArray[Any]
BACKBONES = ("remoteclip", "clip")


class Scene(NamedTuple):
    features: Array  # [N, D]
    text: Array  # [N, K]
    truth: Array  # [N]


class Mapped(NamedTuple):
    features: Array
    text: Array
    truth: Array
    near: Array  # int64 [N, 8]
    kind: Array  # [N], of REGION, LINE, LONE


REGION, LINE, LONE = 0, 1, 2


def unit(rows: Array) -> Array:
    length: Array = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / length)


def softmax(score: Array) -> Array:
    score = np.exp(score - score.max(axis=-1, keepdims=True))
    return np.asarray(score / score.sum(axis=-1, keepdims=True))


def right(probabilities: Array, truth: Array) -> float:
    return float((probabilities.argmax(axis=1) == truth).mean())


def ece(probabilities: Array, truth: Array) -> float:
    return calibration_error(torch.tensor(np.asarray(probabilities, np.float32)), torch.tensor(truth))


def less_calibrated(refined: Array, text: Array, truth: Array) -> bool:
    """Whether the refined answers' calibration error is greater beyond three standard errors (bootstrap) and 0.02."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(truth), len(truth)) for _ in range(20))
    error = np.std([ece(refined[of], truth[of]) - ece(text[of], truth[of]) for of in draws])
    return bool(ece(refined, truth) - ece(text, truth) > 3 * error + 0.02)


def clusters(tiles: int, classes: int = 6, size: int = 32, seed: int = 0) -> Scene:
    """Clear classes far from the origin, and text that is right for about two thirds."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, tiles)
    return around(truth, classes, size, rng, noise=0.6, clear=1.6)


def around(
    truth: Array, classes: int, size: int, rng: np.random.Generator, noise: float, clear: float, sharp: float = 1.0
) -> Scene:
    """Features around a mean for each class, ``noise`` wide; text that knows the class as clearly as ``clear`` says."""
    features = 2 + rng.normal(size=(classes, size))[truth] + noise * rng.normal(size=(len(truth), size))
    text = softmax(sharp * (clear * np.eye(classes)[truth] + rng.normal(size=(len(truth), classes))))
    return Scene(features, text, truth)


def whu(shared: Path, name: str) -> tuple[Array, Array, Array]:
    """Image features [1005, 512], directions of the classes [19, 512], truth."""
    found = load_file(shared / "features" / f"whurs19_{name}_vit_b_32.safetensors")
    return unit(found["image_features"]), unit(unit(found["text_features"]).mean(axis=0)), found["labels"]


def regions(
    height: int, width: int, labels: Array, seed: int, patches: int = 60, lines: int = 2, lone: int = 12
) -> tuple[Array, Array]:
    """Labels and kinds [height, width] of a map: patches of many sizes, lines one tile wide, lone tiles."""
    rng = np.random.default_rng(seed)
    y, x, weight = rng.uniform(0, height, patches), rng.uniform(0, width, patches), rng.exponential(size=patches)
    row, column = np.mgrid[:height, :width]
    power = (row[..., None] - y) ** 2 + (column[..., None] - x) ** 2 - weight * height * width / patches / 4
    label = rng.choice(labels, patches)[power.argmin(axis=-1)]
    kind = np.full((height, width), REGION)
    for _ in range(lines):
        of, at = rng.choice(labels), int(rng.integers(2, height - 2))
        for step in range(width):
            label[at, step], kind[at, step] = of, LINE
            at = int(np.clip(at + rng.integers(-1, 2), 1, height - 2))
    for _ in range(lone):
        at, step = int(rng.integers(1, height - 1)), int(rng.integers(1, width - 1))
        around_it = np.s_[at - 1 : at + 2, step - 1 : step + 2]
        others = np.setdiff1d(labels, label[around_it])
        if len(others) and (kind[around_it] == REGION).all():
            label[at, step], kind[at, step] = rng.choice(others), LONE
    return label, kind


def touching(present: Array) -> Array:
    """int64 [N, 8], rows of the tiles around each tile of a grid [height, width], counted where it is true."""
    height, width = present.shape
    row = np.full((height + 2, width + 2), -1)
    row[1:-1, 1:-1][present] = np.arange(present.sum())
    moves = [(down, right_) for down in range(3) for right_ in range(3) if (down, right_) != (1, 1)]
    return np.stack([row[down : down + height, side : side + width][present] for down, side in moves], axis=1)


def anywhere(near: Array, seed: int) -> Array:
    """The same map with its tiles arranged at random."""
    order = np.random.default_rng(seed).permutation(len(near))  # tile i lies where tile order[i] lay
    moved = np.argsort(order)[near[order]]
    return np.where(near[order] < 0, -1, moved)


def whu_map(
    found: tuple[Array, Array, Array],
    seed: int,
    *,
    classes: int = 19,
    noise: float = 0.0,
    shape: tuple[int, int] = (30, 36),
    patches: int = 60,
) -> Mapped:
    """Real tiles on a made map; where a class has no more tiles there is nodata. ``noise`` weakens all features."""
    features, directions, truth = found
    rng = np.random.default_rng(seed)
    if noise:
        features = unit(features + noise * unit(rng.normal(size=features.shape)))
    label, kind = regions(*shape, rng.permutation(19)[:classes], seed, patches)
    tile = np.full(shape, -1)
    for of in range(19):
        places = np.flatnonzero(label == of)
        places = places[np.argsort(-kind.flat[places], kind="stable")]  # lone tiles and lines come before patches
        some = rng.permutation(np.flatnonzero(truth == of))[: len(places)]
        tile.flat[places[: len(some)]] = some
    there = tile >= 0
    chosen = features[tile[there]]
    return Mapped(chosen, softmax(100 * chosen @ directions.T), truth[tile[there]], touching(there), kind[there])


def made_map(
    seed: int,
    *,
    shape: tuple[int, int] = (40, 40),
    classes: int = 10,
    present: int | None = None,
    size: int = 64,
    noise: float = 0.6,
    clear: float = 1.6,
    patches: int = 40,
    lone: int = 12,
) -> Mapped:
    """Made tiles on a made map."""
    label, kind = regions(*shape, np.arange(present or classes), seed, patches, lone=lone)
    scene = around(label.ravel(), classes, size, np.random.default_rng(seed), noise, clear)
    return Mapped(*scene, touching(np.ones(shape, bool)), kind.ravel())


def many(truth: Array, path: Path) -> Scene:
    """float16 features [N, 512] on disk of tiles of 19 classes, with 40 directions in common."""
    rng = np.random.default_rng(0)
    centres, common = 0.6 * rng.normal(size=(19, 512)), 0.15 * rng.normal(size=(40, 512))
    features = np.lib.format.open_memmap(path, "w+", np.float16, (len(truth), 512))
    for start in range(0, len(truth), 20_000):
        of = truth[start : start + 20_000]
        noise = rng.standard_normal((len(of), 40), np.float32) @ common + 0.5 * rng.standard_normal((len(of), 512))
        features[start : start + 20_000] = 1.5 + centres[of] + noise
    features.flush()
    text = softmax(3 * np.eye(19)[truth] + rng.normal(size=(len(truth), 19))).astype(np.float32)
    return Scene(np.load(path, mmap_mode="r"), text, truth)


def peak(work: Callable[[], Array]) -> tuple[Array, int]:
    """What it returns, and how many bytes it needed at most beyond what was held before, pages of the map included."""

    def held(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the greatest memory so far
    return work(), held("VmHWM") - before
