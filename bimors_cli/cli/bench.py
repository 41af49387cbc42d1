"""`bimors bench`: how fast a bundle is on this machine, and what is slow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from bimors_cli.cli import options
from bimors_cli.cli.classify import stay_off_the_network
from bimors_cli.cli.console import duration, say, set_verbosity

if TYPE_CHECKING:
    from bimors_cli.pipeline.bundles.benchmark import Figures

EXAMPLE = "Example: bimors bench --labels 20 --scene-size 10000x10000"

Labels = Annotated[int, typer.Option("--labels", metavar="N", help="How many labels.")]
Tiles = Annotated[
    int | None, typer.Option("--tiles", metavar="N", help="How many pictures. Default: what takes a few seconds.")
]
SceneSize = Annotated[
    str, typer.Option("--scene-size", metavar="WxH", help="In pixels: how long would a scene of that size take?")
]
TileSize = Annotated[int, typer.Option("--tile-size", metavar="N", help="In pixels: how that scene would be cut.")]


def bench(
    model: options.Model = "mini",
    device: options.Device = "auto",
    labels: Labels = 45,
    tiles: Tiles = None,
    batch_size: options.BatchSize = None,
    scene_size: SceneSize = "40000x40000",
    tile_size: TileSize = 224,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Measure the stages of classify on made-up pictures, beside the best that the device can do.

    The best is measured in the same run, by a large matrix product in the same precision. Reading a scene is not
    measured: classify reads ahead while the model computes.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    from bimors_cli.pipeline.bundles.benchmark import BenchOptions
    from bimors_cli.pipeline.bundles.benchmark import bench as measure

    chosen = BenchOptions(
        model=model,
        device=device,
        labels=labels,
        tiles=tiles,
        batch_size=batch_size,
        scene_size=scene_size,
        tile_size=tile_size,
    )
    say("measuring; a machine that does nothing else gives the truest figures")
    figures = measure(chosen)
    if json_output:
        print(json.dumps(figures.to_json(), indent=1))
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
    yield f"{'STAGE':15}  {'ms/tile':>9}  {'SHARE OF TIME':>13}  {'GFLOP/tile':>10}  {'OF CEILING':>10}  {'BATCH':>5}"
    whole = sum(stage.ms_per_tile for stage in figures.stages)
    for stage in figures.stages:
        yield (
            f"{stage.name:15}  {stage.ms_per_tile:>9.2f}  {100 * stage.ms_per_tile / whole:>11.0f} %  "
            f"{stage.gflop_per_tile:>10.3f}  {100 * stage.fraction_of_ceiling:>8.1f} %  {stage.batch_size:>5}"
        )
    yield ""
    yield f"{'all stages':15}  {1 / each:>9.1f} tiles/s  {100 * figures.fraction_of_ceiling:.1f} % of the ceiling"
    yield f"{'captions cached':15}  {1 / each_cached:>9.1f} tiles/s"
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
