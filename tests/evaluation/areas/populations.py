"""Maps whose truth is known in every tile, for simulated samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bimors_cli.evaluation.areas.allocate import in_proportion
from bimors_cli.evaluation.areas.estimators import AreaEstimates, StratifiedSample, estimate_areas

Indices = npt.NDArray[np.intp]
# What `bimors sample` proposes for a standard error of 0.02 where 80 % are right, and its least number of a stratum.
PROPOSED, LEAST = 400, 50
# Two thirds of the tiles are whole, the others were cut at an edge of the scene.
CUT = (1.0, 1.0, 0.4)


@dataclass(frozen=True)
class Population:
    """N tiles: their class on the map, their true class, stratum and area; and how many of each stratum to draw."""

    mapped: Indices
    truth: Indices
    strata: Indices
    areas: npt.NDArray[np.float64]
    draws: tuple[int, ...]
    by_label: bool

    @property
    def classes(self) -> int:
        return int(max(self.mapped.max(), self.truth.max())) + 1

    def draw(self, random: np.random.Generator) -> AreaEstimates:
        """Draw a sample, label it with the truth, and estimate."""
        rows = np.concatenate(
            [random.choice(np.flatnonzero(self.strata == h), n, replace=False) for h, n in enumerate(self.draws)]
        )
        count = len(self.draws)
        sample = StratifiedSample(
            self.areas[rows],
            self.strata[rows],
            np.bincount(self.strata, minlength=count).astype(float),
            np.bincount(self.strata, self.areas, count),
        )
        known = ~np.eye(count, self.classes, dtype=bool) if self.by_label else None
        return estimate_areas(self.mapped[rows], self.truth[rows], sample, self.classes, known)

    def kinds(self) -> dict[str, tuple[Any, Any]]:
        """By the name of each estimate the tiles that it counts, and those among which it does."""
        right, everywhere = self.mapped == self.truth, np.ones(len(self.truth), bool)
        found = {"overall": (right, everywhere)}
        for k in range(self.classes):
            found |= {f"users {k}": (right, self.mapped == k), f"producers {k}": (right, self.truth == k)}
            found[f"area {k}"] = (self.truth == k, everywhere)
        return found

    def coverage(self, draws: int, seed: int) -> dict[str, tuple[float, float]]:
        """By the name of each estimate the fraction of samples whose interval holds the truth, and `events`."""
        random = np.random.default_rng(seed)
        kinds = self.kinds()
        truth = {name: self.areas[of & among].sum() / self.areas[among].sum() for name, (of, among) in kinds.items()}
        held: dict[str, list[bool]] = {name: [] for name in kinds}
        for _ in range(draws):
            found = self.draw(random)
            estimates = {"overall": found.overall}
            for k in range(self.classes):
                estimates |= {f"users {k}": found.users[k], f"producers {k}": found.producers[k]}
                estimates[f"area {k}"] = found.proportions[k]
            for name, one in estimates.items():
                if not np.isnan(one.value):
                    held[name].append(bool(one.low - 1e-9 <= truth[name] <= one.high + 1e-9))
        return {name: (float(np.mean(held[name])), self.events(*kinds[name])) for name in kinds}

    def events(self, of: Any, among: Any) -> float:
        """How many tiles of the rarer kind a sample has on average; of all tiles, the rarer kind of each stratum."""
        sizes = np.bincount(self.strata)
        chance = (np.array(self.draws) / sizes)[self.strata]
        if among.all():
            inside = np.bincount(self.strata, of) / sizes
            return float((np.array(self.draws) * np.minimum(inside, 1 - inside)).sum())
        return float(min(chance[of & among].sum(), chance[among & ~of].sum()))


def population(
    strata: Sequence[tuple[int, Sequence[Sequence[float]]]],
    draws: Sequence[int] | None = None,
    areas: Sequence[float] = (1.0,),
    seed: int = 0,
) -> Population:
    """Make a population of strata: their numbers of tiles, and the fractions of each class of the map and true class.

    Each fraction table has a row for a class of the map; with one row the stratum is that class. Without ``draws``
    so many are drawn as `bimors sample` proposes.
    """
    by_label = all(len(table) == 1 for _, table in strata)
    mapped, truth, of = [], [], []
    for h, (size, table) in enumerate(strata):
        fractions = np.array(table, float)
        counts = np.floor(fractions.ravel() * size + 0.5).astype(int)
        counts[fractions.ravel().argmax()] += size - counts.sum()
        row, col = np.divmod(np.repeat(np.arange(fractions.size), counts), fractions.shape[1])
        mapped.append(np.full(size, h) if by_label else row)
        truth.append(col)
        of.append(np.full(size, h))
    sizes = [size for size, _ in strata]
    random = np.random.default_rng(seed)
    return Population(
        np.concatenate(mapped),
        np.concatenate(truth),
        np.concatenate(of),
        random.choice(areas, sum(sizes)),
        tuple(draws or in_proportion(sizes, PROPOSED, LEAST)),
        by_label,
    )


def regional(fractions: Sequence[float], accuracy: float) -> list[list[float]]:
    """A table of a region in which every class of the map is right equally often, and otherwise any other class."""
    k = len(fractions)
    return [
        [f * (accuracy if col == row else (1 - accuracy) / (k - 1)) for col in range(k)]
        for row, f in enumerate(fractions)
    ]


# None of these was used to choose the interval.
HELD_OUT = {
    "rare classes of 2 and 0.5 %": population(
        [
            (15_000, [[0.95, 0.045, 0.004, 0.001]]),
            (4_500, [[0.08, 0.9, 0.015, 0.005]]),
            (400, [[0.1, 0.08, 0.8, 0.02]]),
            (100, [[0.05, 0.15, 0.1, 0.7]]),
        ]
    ),
    "a rare class half of which is left out": population([(9_850, [[0.985, 0.015]]), (150, [[0.25, 0.75]])]),
    "accuracy of 99 %": population(
        [(5_000, [[0.995, 0.004, 0.001]]), (4_000, [[0.004, 0.995, 0.001]]), (1_000, [[0.01, 0.01, 0.98]])]
    ),
    "accuracy of 97 %": population(
        [(5_000, [[0.97, 0.02, 0.01]]), (4_000, [[0.02, 0.97, 0.01]]), (1_000, [[0.02, 0.02, 0.96]])]
    ),
    "strata that are not the classes": population(
        [
            (4_000, regional((0.7, 0.28, 0.02), 0.9)),
            (2_500, regional((0.3, 0.65, 0.05), 0.8)),
            (1_500, regional((0.5, 0.45, 0.05), 0.85)),
        ]
    ),
    "a simple random sample": population([(6_000, regional((0.6, 0.37, 0.03), 0.88))], draws=(300,)),
    "tiles of unequal areas": population(
        [(4_000, [[0.9, 0.08, 0.02]]), (2_000, [[0.1, 0.85, 0.05]]), (600, [[0.1, 0.1, 0.8]])], areas=CUT
    ),
    "regions of tiles of unequal areas": population(
        [(4_000, regional((0.7, 0.25, 0.05), 0.9)), (2_500, regional((0.3, 0.6, 0.1), 0.8))], areas=CUT
    ),
    "a small map": population(
        [(700, [[0.9, 0.08, 0.02]]), (200, [[0.1, 0.85, 0.05]]), (60, [[0.1, 0.1, 0.8]])], draws=(150, 60, 50)
    ),
}  # fmt: skip
