"""What a run would do and take: its grid, and a forecast from a few of its own tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bimors_cli.pipeline.options import ClassifyOptions
from bimors_cli.pipeline.plan import Plan, make_plan
from bimors_cli.pipeline.todo import Todo

SAMPLE_TILES = 64
WARM_UP_TILES = 8


@dataclass(frozen=True)
class Estimate:
    """``tiles`` to look at; ``sampled`` of them were classified in ``seconds``, ``labelled`` of those had data."""

    plan: Plan
    tiles: int
    sampled: int
    labelled: int
    seconds: float

    @property
    def seconds_for_all(self) -> float:
        """Forecast the model's and the reader's time, without loading the model."""
        return self.tiles * self.seconds / max(self.sampled, 1)

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Say it in lines."""
        for scene in self.plan.scenes:
            yield scene.line()
            yield f"  bands {', '.join(map(str, scene.bands.indexes))}; stretch {scene.stretch}"
        yield f"{self.tiles:,} tiles; {len(self.plan.options.labels)} labels; output {self.plan.output}"
        if self.sampled:
            yield (
                f"about {duration(self.seconds_for_all)} on this machine: {self.sampled} of these tiles took "
                f"{self.seconds:.1f} s, {self.labelled} of them hold data"
            )
        yield "nothing was written (--dry-run)"


def estimate(options: ClassifyOptions) -> Estimate:
    """Plan a run, and classify some of its tiles, spread over all scenes, to see how long they take.

    Raises
    ------
    BimorsError
        As `bimors_cli.pipeline.run.run`; the output is not looked at.
    """
    plan = make_plan(options)
    total = len(plan)
    if not total:
        return Estimate(plan, 0, 0, 0, 0.0)
    from bimors_cli.pipeline.models import load_models, make_classifier
    from bimors_cli.pipeline.tiles import classify_tiles

    classifier = make_classifier(
        load_models(plan.bundle, options.device, captions=options.captions), plan.bundle, plan.adapter, options.labels
    )

    def timed(chosen: Todo) -> tuple[int, int, float]:
        clock = time.perf_counter()
        batches = classify_tiles(plan, classifier, chosen, {})
        records = [record for batch in batches for record in batch]
        return len(records), sum(bool(record.ranked) for record in records), time.perf_counter() - clock

    timed(_spread(plan, WARM_UP_TILES))
    return Estimate(plan, total, *timed(_spread(plan, SAMPLE_TILES)))


def _spread(plan: Plan, most: int) -> Todo:
    """Choose up to ``most`` tiles, evenly over all that a run would look at."""
    chosen = np.arange(0, len(plan), max(1, len(plan) // most))[:most]
    begin, found = 0, []
    for scene in plan.scenes:
        places = np.arange(len(scene.grid)) if scene.inside is None else np.flatnonzero(scene.inside)
        here = chosen[(chosen >= begin) & (chosen < begin + len(places))] - begin
        found.append(places[here].astype(np.int64))
        begin += len(places)
    return tuple(found)
