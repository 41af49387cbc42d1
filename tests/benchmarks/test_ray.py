"""Two workers with a thread each against one worker with one thread. Run with -s, on a machine that does nothing else.

What is compared is the steady state: tiles a second from the fourth file that workers have written to the last, when
the models of both are loaded. Start-up (Ray, its processes, the import of torch, the models) is told beside it; it is
the same for both, and a matter of seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.conftest import NORTH_UP

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TILES = 64 * 64
LABELS = ["forest", "river", "bare land", "port", "meadow", "farmland"]
ASKED = 1.7
# Processors are taken away, so that the one worker cannot use those of the other. Without the caption cache: of a run
# before, nothing is left.
CLASSIFY = """
import json, os, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[3])])
import bimors_cli
from bimors_cli.pipeline.progress import NullProgress

class Clock(NullProgress):
    told = []
    def advance(self, tiles):
        self.told.append((time.perf_counter(), tiles))

clock, begin = Clock(), time.perf_counter()
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.run import run
options = ClassifyOptions(scenes=(sys.argv[1],), labels=Labels.of(sys.argv[4].split(",")), output=sys.argv[2],
    tile_size="64", device="cpu", caption_cache=False, engine="ray", workers=int(sys.argv[3]))
summary = run(options, progress=clock)
rest = clock.told[4:]
steady = sum(tiles for _, tiles in rest) / (rest[-1][0] - clock.told[3][0])
print(json.dumps({"rows": summary.rows, "rate": steady, "start": clock.told[0][0] - begin,
    "seconds": time.perf_counter() - begin}))
"""


def test_two_workers_are_nearly_twice_as_fast_as_one(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    noise = np.random.default_rng(0).integers(1, 256, (3, 64 * 64, 64 * 64), dtype=np.uint8)
    profile = {
        "driver": "GTiff",
        "count": 3,
        "dtype": "uint8",
        "tiled": True,
        "crs": "EPSG:32618",
        "transform": NORTH_UP,
    }
    with rasterio.open(tmp_path / "scene.tif", "w", height=4096, width=4096, **profile) as scene:
        scene.write(noise)
    rates = {}
    for workers in (1, 2):
        output = tmp_path / f"{workers}.gpkg"
        command = [sys.executable, "-c", CLASSIFY, tmp_path / "scene.tif", output, workers, ",".join(LABELS)]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["rows"] == TILES
        rates[workers] = told["rate"]
        print(
            f"\n{workers} with a thread each: {told['rate']:.1f} tiles/s, first file after {told['start']:.1f} s, "
            f"all {told['seconds']:.1f} s"
        )
    print(f"{rates[2] / rates[1]:.2f} times")
    assert rates[2] >= ASKED * rates[1]
