"""--dry-run: the grid of a run, and an estimate of its time from a few of its own tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.device_names import device_names
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import Plan, TileIndices, all_tiles, num_tiles
from bimors_cli.pipeline.run import warn_of_domain
from bimors_cli.steps import LIBRARIES, step

SAMPLE_TILES = 64
WARM_UP_TILES = 8


@dataclass(frozen=True)
class Estimate:
    """``tiles`` to process; ``sampled`` of them were classified in ``seconds``, ``labelled`` of those had data."""

    plan: Plan
    tiles: int
    sampled: int
    labelled: int
    seconds: float

    @property
    def seconds_for_all(self) -> float:
        """Estimate the time to read and classify all tiles, without loading the model."""
        return self.tiles * self.seconds / max(self.sampled, 1)

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Yield the lines of the estimate."""
        for scene in self.plan.scenes:
            yield scene.line()
            yield f"  bands {', '.join(map(str, scene.bands.indexes))}; stretch {scene.stretch}"
        yield from self._refinement_lines()
        options = self.plan.options
        shard = "" if options.shard is None else f" of {len(self.plan):,} in shard {options.shard}"
        yield f"{self.tiles:,} tiles{shard}; {len(options.labels)} labels; output {self.plan.output}"
        if self.sampled:
            first, *others = device_names(options.device)
            where = f"{first} alone, one of {len(others) + 1} devices" if others else "this machine"
            yield (
                f"about {duration(self.seconds_for_all)} on {where}: {self.sampled} of these tiles took "
                f"{self.seconds:.1f} s, {self.labelled} of them have data"
            )
        yield "nothing was written (--dry-run)"

    def _refinement_lines(self) -> Iterator[str]:
        """Yield lines on the steps after the tiles are classified."""
        if self.plan.options.refine is not None:
            yield f"then the labels of all tiles are refined together (--refine {self.plan.options.refine})"
        if self.plan.cells is not None:
            cells = self.plan.output_plan
            size = ", ".join(dict.fromkeys(f"{s.grid.tile_width} x {s.grid.tile_height} px" for s in cells.scenes))
            yield f"then the tiles vote on {len(cells):,} cells of {size}, the rows of the layer (--vote)"


def estimate(options: ClassifyOptions) -> Estimate:
    """Plan a run, and classify some of its tiles, spread over all scenes, to measure the time.

    Raises
    ------
    BimorsError
        As `bimors_cli.pipeline.run.run`; the output is not checked.
    """
    plan = make_plan(options)
    warn_of_domain(plan)
    tiles = _model_tiles(plan)
    total = num_tiles(tiles)
    if not total:
        return Estimate(plan, 0, 0, 0, 0.0)
    with step(LIBRARIES):
        from bimors_cli.pipeline.inference.load import load_models
        from bimors_cli.pipeline.inference.predict import classify_tiles
        from bimors_cli.pipeline.inference.tile_classifier import make_tile_classifier

    device = device_names(options.device)[0]
    models = load_models(plan.bundle, device, captions=plan.captions.made, unused=plan.unused_parts, reads_bands=True)
    classifier = make_tile_classifier(models, plan)

    def timed(chosen: TileIndices) -> tuple[int, int, float]:
        clock = time.perf_counter()
        batches = classify_tiles(plan, classifier, chosen, {})
        results = [result for batch in batches for result in batch]
        return len(results), sum(bool(result.ranking) for result in results), time.perf_counter() - clock

    timed(_spread(tiles, WARM_UP_TILES))
    return Estimate(plan, total, *timed(_spread(tiles, SAMPLE_TILES)))


def _model_tiles(plan: Plan) -> TileIndices:
    """Return the tiles of a run, or of its shard, that the models process."""
    tiles, shard = all_tiles(plan), plan.options.shard
    part = tiles if shard is None else Shard.parse(shard).of(tiles)
    return tuple(
        indices if scene.inside is None else indices[scene.inside[indices]]
        for scene, indices in zip(plan.scenes, part, strict=True)
    )


def _spread(tiles: TileIndices, most: int) -> TileIndices:
    """Choose up to ``most`` tiles, evenly over all."""
    total = num_tiles(tiles)
    chosen = np.arange(0, total, max(1, total // most))[:most]
    begin, found = 0, []
    for indices in tiles:
        here = chosen[(chosen >= begin) & (chosen < begin + len(indices))] - begin
        found.append(indices[here])
        begin += len(indices)
    return tuple(found)
