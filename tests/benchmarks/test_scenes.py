"""Scenes of any size: memory, reading, and what a run does beside the model. Run with -s to see the figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.inference.tile_reader import read_ahead
from bimors_cli.pipeline.make_plan import make_plan, plan_scenes
from bimors_cli.pipeline.output_target import OutputTarget
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames
from tests.conftest import NORTH_UP

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["forest", "river", "bare land", "port", "meadow", "farmland"]
CLASSIFY = """
import json, logging, sys
import bimors_cli
from bimors_cli import ClassifyOptions
from bimors_cli.pipeline.bundles.benchmark import peak_memory
logging.basicConfig()
scene, output, labels = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
summary = bimors_cli.classify(
    scene, labels, output, ClassifyOptions(tile_size="500", device="cpu", caption_cache=False)
)
print(json.dumps({"peak": peak_memory(), "rows": summary.rows, "seconds": summary.seconds}))
"""


def write_sparse(path: Path, side: int, filled: int) -> None:
    """Write a square scene in blocks of 512 pixels, of which most are not in the file and some hold noise."""
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32618", "transform": NORTH_UP}
    random = np.random.default_rng(0)
    blocks = side // 512
    with rasterio.open(
        path, "w", width=side, height=side, tiled=True, blockxsize=512, blockysize=512, sparse_ok=True, **profile
    ) as scene:
        for place in random.choice(blocks * blocks, filled, replace=False):
            row, col = divmod(int(place), blocks)
            noise = random.integers(1, 256, (3, 512, 512), dtype=np.uint8)
            scene.write(noise, window=Window(512 * col, 512 * row, 512, 512))


@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    peaks = []
    for side, filled in ((4_000, 30), (40_000, 100)):
        scene = tmp_path / f"{side}.tif"
        write_sparse(scene, side, filled)
        command = [sys.executable, "-c", CLASSIFY, str(scene), str(tmp_path / f"{side}.gpkg"), ",".join(LABELS)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout.splitlines()[-1])
        assert found["rows"] == (side // 500) ** 2
        peaks.append(found["peak"])
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in found["seconds"].items())
        print(f"\n{side} x {side} px, {found['rows']:,} tiles: peak {peaks[-1] / 1e6:,.0f} MB; {stages}")
    print(f"{peaks[1] / peaks[0]:.3f} times")
    assert peaks[1] <= 1.2 * peaks[0] and max(peaks) < 1.45e9


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts reads as Linux does")
@pytest.mark.parametrize("rows", [1, 16, 100])
def test_a_large_scene_in_strips_is_read_once(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "strips.tif"
    noise = np.random.default_rng(0).integers(1, 256, (3, 2_000, 20_000), dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32618", "transform": NORTH_UP}
    with rasterio.open(
        path, "w", width=20_000, height=2_000, tiled=False, blockysize=rows, compress="deflate", zlevel=1, **profile
    ) as scene:
        scene.write(noise)
    (plan,) = plan_scenes([str(path)], SceneOptions(tile_size="224", stretch="none"))
    before, clock = _bytes_read(), time.perf_counter()
    count = sum(1 for _ in read_ahead(plan, enumerate(plan.grid), 224, 64))
    seconds, share = time.perf_counter() - clock, (_bytes_read() - before) / path.stat().st_size
    print(f"\nstrips of {rows} rows: {count} tiles, {count / seconds:.0f} a second; {share:.3f} of the file was read")
    assert count == len(plan.grid) and 1 <= share < 1.1


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def test_a_hundred_thousand_tiles_are_written_in_a_minute(tmp_path: Path, tiny_bundle: Bundle) -> None:
    scene = tmp_path / "scene.tif"
    write_sparse(scene, 10_240, 4)
    output = tmp_path / "out.gpkg"
    options = ClassifyOptions(
        scenes=(str(scene),),
        labels=Labels.of(LABELS),
        output=str(output),
        model=str(tiny_bundle.folder),
        tile_size="32",
    )
    plan = make_plan(options)
    job = Classification.from_plan(plan, ["benchmark"])
    count = len(plan)
    assert count > 100_000
    caption = "many green trees and some buildings are in two sides of a curved river"
    records = [
        TileResult(
            0, i, None, ((i % 6, round(0.5 + (i % 4999) / 10_000, 4)), ((i + 1) % 6, 0.1)), f"{caption} {i % 997}"
        )
        for i in range(count)
    ]
    clock = time.perf_counter()
    with Journal(journal_path(output), plan.run_key(), [count], resume=False) as journal:
        for first in range(0, count, 32):  # as many as a CPU's run writes at a time
            journal.append(records[first : first + 32])
        journalled = time.perf_counter() - clock
        rows = OutputTarget(plan, job.schema).write(frames(plan, journal.results(), job.to_frame))
        journal.delete()
    seconds = time.perf_counter() - clock
    print(f"\n{count:,} tiles: journal {journalled:.1f} s, layer and style {seconds - journalled:.1f} s")
    assert rows == count and json.loads(read_provenance(output)["run"]) == plan.run_key()
    assert seconds < 60
