"""How often the sets of ``--coverage`` hold the true label on scenes with labels, and how large they are.

Run from the root of the repository: ``python -m tests.benchmarks.label_sets SHARED --cache FOLDER``. Prints two tables:
sets of tiles of the other half of each scene, and empty sets of tiles of a class without examples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.label_sets import empty_rate, fit_label_sets
from bimors_cli.fewshot.probabilities import merged
from bimors_cli.options.views import SCENE_START
from bimors_cli.training.views.learn import Learned, learn
from tests.benchmarks.own_scenes import SCENES, Labels, Scene, Tiles, collect, draw, examples_of, numbers_of_examples

COVERAGES: Final = (0.8, 0.9, 0.95)
SHOTS: Final = (5, 16, 50)
DRAWS: Final = 10

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """What was learned from one draw, and the test tiles: probabilities [n, K], p-values of unlikeness [n], labels."""

    learned: Learned
    probabilities: npt.NDArray[np.float32]
    p_values: npt.NDArray[np.float64]
    labels: Labels

    def sets(self, coverage: float) -> Mask | None:
        """Return the sets of the test tiles as `classify` makes them; None where it refuses the coverage."""
        known, error = self.learned.left_out, 1 - coverage
        least = [unlike.least_rate for unlike in self.learned.unlikeness.values()]
        empty = empty_rate(error, max(least) * len(least)) if least else 0.0
        own = merged(known.log_p, _alone(self.probabilities.shape[1]))
        present = np.isin(np.arange(own.shape[1]), known.labels)
        sets = fit_label_sets(own, known.labels, known.places, present, coverage, empty)
        if sets is None:
            return None
        return sets.of(self.probabilities) & ~(self.p_values <= sets.empty_rate)[:, None]


@dataclass(frozen=True)
class Row:
    """The draws of a scene, a tile size, a number of examples and a coverage; those that were refused are left out."""

    scene: str
    tile_size: int
    shots: int
    coverage: float
    draws: tuple[tuple[Mask, Labels], ...]
    refused: int

    @property
    def held(self) -> list[float]:
        """Of each draw the share of sets with the true label."""
        return [float(sets[np.arange(len(labels)), labels].mean()) for sets, labels in self.draws]

    @property
    def balanced(self) -> float:
        """The same with every class the same, the mean over the draws."""
        classes = [[sets[labels == label, label].mean() for label in np.unique(labels)] for sets, labels in self.draws]
        return float(np.mean([np.mean(each) for each in classes]))

    def share(self, least: int, most: int) -> float:
        """Return the share of sets with so many labels."""
        sizes = [sets.sum(axis=1) for sets, _ in self.draws]
        return float(np.mean([((each >= least) & (each <= most)).mean() for each in sizes]))

    @property
    def size(self) -> float:
        return float(np.mean([sets.sum(axis=1).mean() for sets, _ in self.draws]))


def _alone(classes: int) -> list[tuple[int, ...]]:
    return [(label,) for label in range(classes)]


def learn_from(tiles: Tiles, shots: int, number: int, without: int | None = None) -> Drawn:
    """Learn from a draw of one half, as `own_scenes.compare` does, and answer all labelled tiles of the other half.

    ``without`` is a class that gets no examples.
    """
    own = np.flatnonzero((tiles.half == number % 2) & (tiles.labels != (-1 if without is None else without)))
    test = np.flatnonzero(tiles.half != number % 2)
    train = draw(tiles.labels, own, shots, (shots, number))
    views = {name: values[train] for name, values in tiles.views.items()}
    tested = {name: values[test] for name, values in tiles.views.items()}
    examples = examples_of(tiles.labels[train], tiles.groups[train].tolist())
    start = tuple(name for name in SCENE_START if name in views)
    learned = learn(views, examples, tiles.classes, start, tiles.usual, seed=number)
    log_p = learned.ensemble.log_probabilities({name: tested[name] for name in learned.ensemble.views})
    p_values = np.ones(len(test))
    for name, unlike in learned.unlikeness.items():
        found = unlike.p_values(unlike.of(learned.ensemble.views[name].scaled(tested[name])))
        p_values = np.minimum(p_values, found * len(learned.unlikeness))
    return Drawn(learned, merged(log_p, _alone(tiles.classes)), p_values, tiles.labels[test])


def each_scene(shared: Path, cache: Path | None, scenes: Sequence[Scene]) -> Iterator[tuple[Scene, int, Tiles]]:
    for scene in scenes:
        for size in scene.tile_sizes:
            yield scene, size, collect(scene, size, shared, cache)


def measure(
    shared: Path,
    cache: Path | None = None,
    draws: int = DRAWS,
    shots: Sequence[int] = SHOTS,
    scenes: Sequence[Scene] = SCENES,
) -> Iterator[Row]:
    for scene, size, tiles in each_scene(shared, cache, scenes):
        for count in numbers_of_examples(scene, tiles):
            if count not in shots:
                continue
            drawn = [learn_from(tiles, count, number) for number in range(draws)]
            for coverage in COVERAGES:
                found = [(each.sets(coverage), each.labels) for each in drawn]
                kept = tuple((sets, labels) for sets, labels in found if sets is not None)
                yield Row(scene.name, size, count, coverage, kept, draws - len(kept))


def mean_held(rows: Iterable[Row], coverage: float) -> float:
    """Return the share of sets with the true label, the mean over the rows with this coverage."""
    return float(np.mean([np.mean(row.held) for row in rows if row.coverage == coverage and row.draws]))


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| scene | tile, px | examples a class | promised % | held % | every class the same % | "
        "least of a draw % | labels a set | one label % | empty % | draws refused |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        start = f"| {row.scene} | {row.tile_size} | {row.shots} | {100 * row.coverage:g} |"
        if not row.draws:
            yield f"{start} - | - | - | - | - | - | {row.refused} |"
            continue
        yield (
            f"{start} {100 * np.mean(row.held):.1f} | {100 * row.balanced:.1f} | {100 * min(row.held):.1f} | "
            f"{row.size:.2f} | "
            f"{100 * row.share(1, 1):.1f} | {100 * row.share(0, 0):.1f} | {row.refused} |"
        )
    for coverage in COVERAGES:
        some = [row for row in rows if row.coverage == coverage and row.draws]
        yield (
            f"| mean | | | {100 * coverage:g} | {100 * mean_held(rows, coverage):.1f} | "
            f"{100 * np.mean([row.balanced for row in some]):.1f} | | "
            f"{np.mean([row.size for row in some]):.2f} | {100 * np.mean([row.share(1, 1) for row in some]):.1f} | "
            f"{100 * np.mean([row.share(0, 0) for row in some]):.1f} | |"
        )


def new_classes(shared: Path, cache: Path | None, scenes: Sequence[Scene] = SCENES) -> Iterator[str]:
    """Yield a table: one class after the other gets no examples; how many of its tiles have an empty set."""
    yield "| scene | tile, px | promised % | empty sets of the new class % | of the other classes % |"
    yield "|---|---:|---:|---:|---:|"
    for scene, size, tiles in each_scene(shared, cache, scenes):
        drawn = [(learn_from(tiles, 16, number, new), new) for number in (0, 1) for new in range(tiles.classes)]
        for coverage in COVERAGES:
            new, other = [], []
            for each, label in drawn:
                sets = each.sets(coverage)
                if sets is None or not (each.labels == label).any():
                    continue
                empty = ~sets.any(axis=1)
                new.append(empty[each.labels == label].mean())
                other.append(empty[each.labels != label].mean())
            if new:
                yield (
                    f"| {scene.name} | {size} | {100 * coverage:g} | {100 * np.mean(new):.1f} | "
                    f"{100 * np.mean(other):.1f} |"
                )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--cache", type=Path, help="folder of the views, as of own_scenes")
    parser.add_argument("--draws", type=int, default=DRAWS)
    options = parser.parse_args(words)
    rows = list(measure(options.shared, options.cache, options.draws))
    for line in (*table(rows), "", *new_classes(options.shared, options.cache)):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
