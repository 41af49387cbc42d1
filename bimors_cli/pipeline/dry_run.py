"""What a run would do and take: its grid, and a forecast from a few of its own tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.device_names import device_names
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import Plan, TileIndices, all_tiles, count

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
        yield from self._settling()
        options = self.plan.options
        share = "" if options.shard is None else f" of {len(self.plan):,} in shard {options.shard}"
        yield f"{self.tiles:,} tiles{share}; {len(options.labels)} labels; output {self.plan.output}"
        if self.sampled:
            first, *others = device_names(options.device)
            where = f"{first} alone, of {len(others) + 1} devices" if others else "this machine"
            yield (
                f"about {duration(self.seconds_for_all)} on {where}: {self.sampled} of these tiles took "
                f"{self.seconds:.1f} s, {self.labelled} of them hold data"
            )
        yield "nothing was written (--dry-run)"

    def _settling(self) -> Iterator[str]:
        """Say what comes after the tiles were looked at."""
        if self.plan.options.refine is not None:
            yield f"then all tiles of the run refine their labels together (--refine {self.plan.options.refine})"
        if self.plan.cells is not None:
            cells = self.plan.layer
            size = ", ".join(dict.fromkeys(f"{s.grid.tile_width} x {s.grid.tile_height} px" for s in cells.scenes))
            yield f"then the tiles vote on {len(cells):,} cells, each {size}: the rows of the layer (--vote)"


def estimate(options: ClassifyOptions) -> Estimate:
    """Plan a run, and classify some of its tiles, spread over all scenes, to see how long they take.

    Raises
    ------
    BimorsError
        As `bimors_cli.pipeline.run.run`; the output is not looked at.
    """
    plan = make_plan(options)
    todo = _looked_at(plan)
    total = count(todo)
    if not total:
        return Estimate(plan, 0, 0, 0, 0.0)
    from bimors_cli.pipeline.inference.load import load_models, make_classifier
    from bimors_cli.pipeline.inference.predict import classify_tiles

    classifier = make_classifier(
        load_models(plan.bundle, device_names(options.device)[0], captions=options.captions),
        plan.adapter,
        options.labels,
        plan.templates,
    )

    def timed(chosen: TileIndices) -> tuple[int, int, float]:
        clock = time.perf_counter()
        batches = classify_tiles(plan, classifier, chosen, {})
        records = [record for batch in batches for record in batch]
        return len(records), sum(bool(record.ranked) for record in records), time.perf_counter() - clock

    timed(_spread(todo, WARM_UP_TILES))
    return Estimate(plan, total, *timed(_spread(todo, SAMPLE_TILES)))


def _looked_at(plan: Plan) -> TileIndices:
    """Return the tiles of a run, or of its shard, that the models are shown."""
    tiles, shard = all_tiles(plan), plan.options.shard
    share = tiles if shard is None else Shard.parse(shard).of(tiles)
    return tuple(
        places if scene.inside is None else places[scene.inside[places]]
        for scene, places in zip(plan.scenes, share, strict=True)
    )


def _spread(todo: TileIndices, most: int) -> TileIndices:
    """Choose up to ``most`` tiles, evenly over all."""
    total = count(todo)
    chosen = np.arange(0, total, max(1, total // most))[:most]
    begin, found = 0, []
    for places in todo:
        here = chosen[(chosen >= begin) & (chosen < begin + len(places))] - begin
        found.append(places[here])
        begin += len(places)
    return tuple(found)
