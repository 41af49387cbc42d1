"""`suggest` against tiles drawn by chance: accuracy of `finetune --head auto` with 3 examples a class and some more.

Run from the root of the repository: ``python -m tests.benchmarks.suggest SHARED --cache FOLDER``. Prints a table.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import ttest_1samp

from bimors_cli.fewshot.variance_reduction import reduce_variance
from bimors_cli.options.views import SCENE_START
from bimors_cli.output.image_features import DTYPE
from bimors_cli.pipeline.inference.view_classifier import compared_vectors
from bimors_cli.results.suggest import REFERENCE
from bimors_cli.training.views.learn import Learned, learn
from tests.benchmarks.own_scenes import SCENES, Array, Labels, Tiles, accuracy, collect, draw, examples_of, say

SHOTS: Final = 3
DRAWS: Final = 10
RANDOM_SETS: Final = 20
# How many tiles are added: few enough that most tiles of a half are left.
ADDED: Final = {("zion", 16): 20, ("rondonia", 4): 10, ("rondonia", 8): 5, ("redfox", 8): 5, ("redfox", 16): 5}


@dataclass(frozen=True)
class Row:
    """Accuracies of each draw: with the examples alone, with the suggested tiles, and with sets drawn by chance."""

    scene: str
    tile_size: int
    added: int
    start: Array
    suggested: Array
    by_chance: Array

    @property
    def gains(self) -> Array:
        """Of the suggested tiles over the mean of the sets drawn by chance, one for each draw."""
        return np.asarray(self.suggested - self.by_chance.mean(axis=1), np.float64)

    @property
    def p_value(self) -> float:
        """Of a two-sided t-test over the draws that the gain is none."""
        return float(ttest_1samp(self.gains, 0).pvalue)


def fit(tiles: Tiles, rows: Labels, number: int) -> Learned:
    """Learn from some tiles, with the views that a scene starts with."""
    views = {name: values[rows] for name, values in tiles.views.items() if name in SCENE_START}
    examples = examples_of(tiles.labels[rows], tiles.groups[rows].tolist())
    usual = {name: tiles.usual[name] for name in views}
    return learn(views, examples, tiles.classes, tuple(views), usual, seed=number)


def measure(tiles: Tiles, learned: Learned, rows: Labels) -> float:
    """Return the accuracy on some tiles."""
    views = {name: values[rows] for name, values in tiles.views.items() if name in learned.ensemble.views}
    return accuracy(learned.ensemble.log_probabilities(views), tiles.labels[rows])


def choose(tiles: Tiles, learned: Learned, pool: Labels, examples: Labels, added: int, number: int) -> Labels:
    """Return the tiles that `suggest` suggests of a pool, by the features that the map of the examples keeps."""

    def features(rows: Labels) -> Array:
        views = {name: tiles.views[name][rows] for name in learned.ensemble.views}
        return compared_vectors(learned.ensemble, views).astype(DTYPE).astype(np.float64)

    whole = np.concatenate([pool, examples])
    reference = np.random.default_rng(number).permutation(whole)[:REFERENCE]
    return pool[reduce_variance(features(reference), features(pool), features(examples), added).rows]


def compare(tiles: Tiles, added: int, number: int, sets: int, stored: Path | None) -> tuple[float, float, Array]:
    """Return the accuracies of a draw: start, suggested, and by chance [sets]; half of the scene is tested."""
    own, test = np.flatnonzero(tiles.half == number % 2), np.flatnonzero(tiles.half != number % 2)
    examples = draw(tiles.labels, own, SHOTS, (SHOTS, number))
    pool = np.setdiff1d(own, examples)
    learned = fit(tiles, examples, number)

    def score(more: Labels) -> float:
        return measure(tiles, fit(tiles, np.sort(np.concatenate([examples, more])), number), test)

    suggested = score(choose(tiles, learned, pool, examples, added, number))
    if stored is not None and stored.is_file():
        return measure(tiles, learned, test), suggested, np.load(stored)
    chance = [np.random.default_rng((number, each)).permutation(pool)[:added] for each in range(sets)]
    by_chance = np.array([score(more) for more in chance])
    if stored is not None:
        np.save(stored, by_chance)
    return measure(tiles, learned, test), suggested, by_chance


def rows(
    shared: Path, cache: Path | None, first: int = 0, draws: int = DRAWS, sets: int = RANDOM_SETS, only: str = ""
) -> Iterator[Row]:
    """Compare on all scenes, or on one."""
    for scene in SCENES:
        for size in scene.tile_sizes:
            if only not in ("", scene.name):
                continue
            tiles, added = collect(scene, size, shared, cache), ADDED[scene.name, size]
            found = []
            for number in range(first, first + draws):
                file = f"{scene.name}_{size}_chance_{added}_{sets}_{number}.npy"
                found.append(compare(tiles, added, number, sets, None if cache is None else cache / file))
                start, suggested, by_chance = found[-1]
                say(f"{scene.name} {size} px, draw {number}: {start:.4f} {suggested:.4f} {by_chance.mean():.4f}")
            start, suggested, by_chance = (np.array(values) for values in zip(*found, strict=True))
            yield Row(scene.name, size, added, start, suggested, by_chance)


def table(found: Sequence[Row]) -> Iterator[str]:
    """Format rows as a table in Markdown."""
    yield "| scene | tile, px | tiles added | start % | by chance % | suggested % | gain | better in | p |"
    yield "|---|" + "---:|" * 8
    for row in found:
        better = f"{(row.gains > 0).sum()} of {len(row.gains)}"
        yield (
            f"| {row.scene} | {row.tile_size} | {row.added} | {100 * row.start.mean():.1f} | "
            f"{100 * row.by_chance.mean():.2f} | {100 * row.suggested.mean():.2f} | {100 * row.gains.mean():+.2f} | "
            f"{better} | {row.p_value:.3f} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="suggest", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shared", type=Path, help="folder that holds scenes/labelled")
    parser.add_argument("--cache", type=Path, help="folder for views and results by chance")
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--sets", type=int, default=RANDOM_SETS, help="sets drawn by chance for each draw")
    parser.add_argument("--scene", default="", help="this scene alone")
    given = parser.parse_args(arguments)
    logging.getLogger("bimors").setLevel(logging.ERROR)
    found = list(rows(given.shared, given.cache, given.first, given.draws, given.sets, given.scene))
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
