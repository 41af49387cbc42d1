"""`bimors bench`: how fast a bundle is on this machine, and which stage is slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bimors_cli.cli.command import command
from bimors_cli.cli.console import duration, say
from bimors_cli.cli.json_output import print_json
from bimors_cli.cli.parameters import Json
from bimors_cli.options.bench import BenchOptions
from bimors_cli.steps import LIBRARIES, step

if TYPE_CHECKING:
    from bimors_cli.pipeline.bundles.benchmark import Figures

EXAMPLE = "Example: bimors bench --labels 20 --scene-size 10000x10000"


@command(BenchOptions)
def bench(options: BenchOptions, json_output: Json = False) -> None:
    """Measure the stages of classify on random images, next to the best rate of the device.

    The best rate is measured in the same run, by a large matrix product in the same precision. Reading a scene is not
    measured: classify reads ahead while the model computes.
    """
    from bimors_cli.bundle.manifest import CLIP
    from bimors_cli.bundle.needed_parts import need_part_of

    need_part_of(options.model, CLIP, "bimors bench", options.captioner)  # before torch is imported

    with step(LIBRARIES):
        from bimors_cli.pipeline.bundles.benchmark import bench as measure

    say("measuring; close other programs for exact figures")
    figures = measure(options)
    if json_output:
        print_json(figures.to_json())
        return
    for line in _lines(figures):
        print(line)


def _lines(figures: Figures) -> Iterator[str]:
    each, each_cached = figures.seconds / figures.tiles, figures.seconds_cached / figures.tiles
    on = f"{figures.device}, {figures.threads} threads" if figures.device == "cpu" else figures.device
    yield (
        f"{figures.bundle} on {on}, {figures.precision}; {figures.labels} labels, {figures.tiles} tiles of "
        f"{figures.image_size} px; loaded in {duration(figures.loading)}"
    )
    yield ""
    yield f"{'STAGE':15}  {'ms/tile':>9}  {'PART OF TIME':>13}  {'GFLOP/tile':>10}  {'OF CEILING':>10}  {'BATCH':>5}"
    whole = sum(stage.ms_per_tile for stage in figures.stages)
    for stage in figures.stages:
        yield (
            f"{stage.name:15}  {stage.ms_per_tile:>9.2f}  {100 * stage.ms_per_tile / whole:>11.0f} %  "
            f"{stage.gflop_per_tile:>10.3f}  {100 * stage.fraction_of_ceiling:>8.1f} %  {stage.batch_size:>5}"
        )
    yield ""
    yield f"{'all stages':15}  {1 / each:>9.1f} tiles/s  {100 * figures.fraction_of_ceiling:.1f} % of the ceiling"
    yield f"{'captions cached':15}  {1 / each_cached:>9.1f} tiles/s"
    parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in figures.first.items())
    yield f"{'first tiles':15}  {sum(figures.first.values()):>9.2f} s, once in a run: {parts}"
    yield f"{'ceiling':15}  {figures.ceiling / 1e9:>9,.0f} GFLOP/s, of a large matrix product in {figures.precision}"
    if figures.memory is not None:
        yield f"{'memory':15}  {figures.memory / 1e6:>9,.0f} MB at most, of the process"
    if figures.device_memory is not None:
        yield f"{'device memory':15}  {figures.device_memory / 1e6:>9,.0f} MB at most"
    grid = figures.grid
    yield (
        f"a scene of {grid.scene_width} x {grid.scene_height} px in tiles of {grid.tile_width} px: "
        f"{len(grid):,} tiles, {duration(len(grid) * each)}; {duration(len(grid) * each_cached)} with captions cached"
    )
    yield f"the slowest stage is the {figures.slowest.name}"
