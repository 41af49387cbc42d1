"""What `search --like` and `--unlike` find, on scenes with labels and on the features of two real models.

Run from the root of the repository: ``python -m tests.benchmarks.search_by_example SHARED --cache FOLDER``. Prints the
average precision of finding the tiles of a class from a few of them, mean over classes and draws. The tiles of another
kind are drawn from the twenty best wrong ones, as a user would choose them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from bimors_cli.results.search_query import relative, rocchio, unit
from tests.benchmarks.own_scenes import SCENES, WHU_MODELS, Labels, collect

WANTED: Final = (1, 3, 5)
OTHERS: Final = (0, 3, 5)
DRAWS: Final = 5
LEAST_TILES: Final = 8

Features = npt.NDArray[np.float32]
# Scores [N] of features [N, E], by the rows of the wanted tiles and of the others.
Method = Callable[[Features, Labels, Labels], Features]


def by_mean(features: Features, wanted: Labels, others: Labels) -> Features:
    """Without the mean of all tiles subtracted, and without the tiles of another kind."""
    units = unit(features)
    scores: Features = units @ unit(units[wanted].mean(axis=0))
    return scores


def by_centred_mean(features: Features, wanted: Labels, others: Labels) -> Features:
    return by_rocchio(features, wanted, others[:0])


def by_rocchio(features: Features, wanted: Labels, others: Labels) -> Features:
    """As `search` does."""
    units = relative(features, unit(features).mean(axis=0))
    scores: Features = units @ rocchio(units[wanted], units[others])
    return scores


def by_nearest(features: Features, wanted: Labels, others: Labels) -> Features:
    """The nearest wanted tile, minus half the nearest other one."""
    units = relative(features, unit(features).mean(axis=0))
    scores: Features = (units @ units[wanted].T).max(axis=1)
    return scores - 0.5 * (units @ units[others].T).max(axis=1) if len(others) else scores


METHODS: Final[Mapping[str, Method]] = {
    "mean": by_mean,
    "centred mean": by_centred_mean,
    "Rocchio": by_rocchio,
    "nearest": by_nearest,
}


def average_precision(scores: Features, relevant: npt.NDArray[np.bool_]) -> float:
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def compare(features: Features, labels: Labels, draws: int = DRAWS, seed: int = 0) -> dict[tuple[str, int, int], float]:
    """Return the average precision by method, number of wanted tiles and number of others."""
    random = np.random.default_rng(seed)
    found: dict[tuple[str, int, int], list[float]] = {}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < LEAST_TILES:
            continue
        for count in WANTED:
            for _ in range(draws):
                wanted = random.choice(rows, count, replace=False)
                ranked = np.argsort(-by_centred_mean(features, wanted, wanted[:0]))
                wrong = ranked[labels[ranked] != label][:20]
                drawn = random.permutation(wrong)[: max(OTHERS)]
                rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([wanted, drawn]))
                for others in OTHERS:
                    for name, method in METHODS.items():
                        scores = method(features, wanted, drawn[:others])[rest]
                        found.setdefault((name, count, others), []).append(
                            average_precision(scores, labels[rest] == label)
                        )
    return {key: float(np.mean(values)) for key, values in found.items()}


def feature_sets(shared: Path, cache: Path | None) -> Iterator[tuple[str, Features, Labels]]:
    """Yield a name, features and labels of each scene, and of WHU-RS19 by two models."""
    for scene in SCENES:
        for size in scene.tile_sizes:
            tiles = collect(scene, size, shared, cache)
            for view in ("image", "bands"):
                yield f"{scene.name}, {size} px, {view}", tiles.views[view].astype(np.float32), tiles.labels
    for model, file in WHU_MODELS.items():
        stored = load_file(shared / "features" / f"{file}.safetensors")
        yield f"WHU-RS19, {model}", stored["image_features"].astype(np.float32), stored["labels"].astype(np.intp)


def table(name: str, found: Mapping[tuple[str, int, int], float]) -> Iterator[str]:
    """Format one set of features as rows of Markdown."""
    for method in METHODS:
        cells = (f"{100 * found[method, count, others]:.1f}" for count in WANTED for others in OTHERS)
        yield f"| {name} | {method} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="search_by_example", description="average precision of search --like")
    parser.add_argument("shared", type=Path, help="folder that holds scenes/labelled and features")
    parser.add_argument("--cache", type=Path, help="folder for views, that of own_scenes")
    parser.add_argument("--draws", type=int, default=DRAWS)
    given = parser.parse_args(arguments)
    logging.getLogger("bimors").setLevel(logging.ERROR)
    heads = " | ".join(f"{count} like, {others} unlike" for count in WANTED for others in OTHERS)
    print(f"| features | query | {heads} |\n|---|---|{'---:|' * len(WANTED) * len(OTHERS)}")
    for name, features, labels in feature_sets(given.shared, given.cache):
        print("\n".join(table(name, compare(features, labels, given.draws))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
