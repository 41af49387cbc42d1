"""GDAL's block cache while parts of a scene are read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from bimors_cli.scene.block_cache import LEAST, MOST, block_cache
from bimors_cli.scene.sample import sample_cache
from tests.conftest import NORTH_UP

PROFILE = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32618", "transform": NORTH_UP}


def cache_of(env: rasterio.Env) -> int | None:
    with env:
        size: int | None = rasterio.env.getenv().get("GDAL_CACHEMAX")
        return size


def test_the_size_stays_within_its_limits_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    assert [cache_of(block_cache(needed)) for needed in (0, LEAST + 1, MOST + 1)] == [LEAST, LEAST + 1, MOST]
    assert cache_of(block_cache(0, least=LEAST + 1)) == LEAST + 1
    monkeypatch.setenv("GDAL_CACHEMAX", "100")
    assert cache_of(block_cache(0)) is None


@pytest.mark.parametrize(
    ("width", "layout", "rows"),
    [
        (40_000, {"tiled": True, "blockxsize": 512, "blockysize": 512}, 0),  # patches in blocks of their own
        (400_000, {"tiled": False, "blockysize": 8}, 64 + 2 * 8),  # patches side by side share strips
        (6_000, {"tiled": True, "blockxsize": 4096, "blockysize": 4096}, 4096),  # decimated: a row of blocks
    ],
)
def test_a_sample_caches_the_blocks_that_its_windows_share(
    tmp_path: Path, width: int, layout: dict[str, int | bool], rows: int
) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", width=width, height=4_096, sparse_ok=True, **layout, **PROFILE):
        pass
    with rasterio.open(path) as dataset:
        assert cache_of(sample_cache(dataset)) == max(LEAST, rows * width * 3)


PLAN = """
import sys
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.make_plan import plan_scenes
def memory(name):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name))
before = memory("VmRSS")
plan_scenes([sys.argv[1]], SceneOptions(tile_size="500", stretch="auto"))
print(before, memory("VmHWM"))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory as Linux shows it")
def test_the_plan_of_a_large_scene_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    with rasterio.open(path, "w", width=40_000, height=40_000, **layout, **PROFILE) as scene:
        scene.write(np.full((3, 512, 512), 7, np.uint8), window=Window(0, 0, 512, 512))
    run = subprocess.run([sys.executable, "-c", PLAN, str(path)], capture_output=True, text=True, check=True)
    before, peak = (int(kilobytes) for kilobytes in re.findall(r"\d+", run.stdout))
    # With a cache of 512 MB it was 390 MB, which the process kept.
    assert 1024 * (peak - before) < 100e6
