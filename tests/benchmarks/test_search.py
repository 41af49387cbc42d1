"""A million tiles: the grid as a layer, and the best of them by their features. Run with -s to see the figures."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bimors_cli.output.image_features import DTYPE, add_features
from tests.benchmarks.test_scenes import write_sparse

pytestmark = pytest.mark.slow

COUNT, WIDTH = 1_000_000, 512
# Not by getrusage: what it tells begins at the size of the process that this one was forked from.
PEAK = """
def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""
FIND = """
import sys, time
from pathlib import Path
import numpy as np
from bimors_cli.output.image_features import read_features
from bimors_cli.results.search import best_tiles
before, clock = peak(), time.perf_counter()
text = np.zeros(512, np.float32)
text[0] = 1
ids, scores = best_tiles(read_features(Path(sys.argv[1]), "tiles"), text, 50)
after = peak()
print(time.perf_counter() - clock, (after - before) / 1e3, ids[0], scores[0])
"""
GRID = """
import sys, time
from bimors_cli.pipeline.grid import write_grid
from bimors_cli.options.layer import TilesOptions
clock = time.perf_counter()
plan = write_grid(TilesOptions(scenes=(sys.argv[1],), output=sys.argv[2], tile_size="32"))
seconds = time.perf_counter() - clock
print(seconds, peak() / 1e3, len(plan))
"""


def told(program: str, *args: object) -> list[str]:
    command = [sys.executable, "-c", PEAK + program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_best_of_a_million_tiles_in_seconds(tmp_path: Path) -> None:
    def features() -> Iterator[tuple[str, bytes]]:
        random = np.random.default_rng(0)
        for begin in range(0, COUNT, 10_000):
            block = (random.standard_normal((10_000, WIDTH), np.float32) / np.sqrt(WIDTH)).astype(DTYPE)
            if begin == 500_000:
                block[123] = np.eye(1, WIDTH)
            yield from ((f"scene/0/{begin + place}", row.tobytes()) for place, row in enumerate(block))

    path = tmp_path / "out.gpkg"
    clock = time.perf_counter()
    add_features(path, "tiles", features())
    written, size = time.perf_counter() - clock, path.stat().st_size
    seconds, megabytes, best, score = told(FIND, path)
    print(f"\n{COUNT:,} features of {WIDTH}: made and written in {written:.0f} s, {size / 1e9:.2f} GB")
    print(f"the best 50 in {float(seconds):.1f} s, with {float(megabytes):.0f} MB more memory")
    assert (best, float(score)) == ("scene/0/500123", 1.0)
    assert float(seconds) < 60 and float(megabytes) < 500


def test_a_million_empty_tiles_in_seconds(tmp_path: Path) -> None:
    write_sparse(tmp_path / "scene.tif", 32_000 // 512 * 512 + 512, 1)
    seconds, megabytes, count = told(GRID, tmp_path / "scene.tif", tmp_path / "tiles.gpkg")
    print(f"\n{int(count):,} tiles as a layer in {float(seconds):.0f} s, {float(megabytes):.0f} MB at most")
    assert int(count) > COUNT and float(seconds) < 120 and float(megabytes) < 600
