"""The check of a device runs on a CPU, with a few tiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio

from bimors_cli.bundle.manifest import Bundle
from tests.benchmarks.gpu_check import ROOT, main, with_ratios, write_scene


def test_captions_speed_and_profile(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--device", "cpu", "--tiles", "8", "--batch", "4", "--rounds", "1"]
    main(["--model", str(tiny_bundle.folder), *few, "--parts", "captions", "speed", "profile"])
    found = json.loads(capsys.readouterr().out)
    assert found["captions"]["float32"]["passes"] and found["captions"]["float32"]["pictures"] == 8
    assert "passes" in found["captions"]["bfloat16"]
    assert found["speed"]["ratio"] > 0 and found["speed"]["generate_ms"] > found["speed"]["encode_ms"] > 0
    assert len(found["profile"]) == 20 and found["profile"][0]["ms"] >= found["profile"][-1]["ms"]


@pytest.mark.slow
def test_commands_of_two_checkouts(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    parts = ["--parts", "bench", "command", "--parent", str(ROOT)]
    main(["--model", str(tiny_bundle.folder), "--device", "cpu", "--tiles", "4", *parts])
    found = json.loads(capsys.readouterr().out)
    assert found["bench"]["own / parent"]["tiles_per_second"] > 0
    assert set(found["command"]["own / parent"]) == {"seconds, empty cache", "seconds, captions cached"}


def test_ratios() -> None:
    own, parent = {"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 2.0, "b": 0.0}
    assert with_ratios({"own": own, "parent": parent})["own / parent"] == {"a": 0.5}
    assert with_ratios({"own": own}) == {"own": own}


def test_the_scene_has_so_many_tiles(tmp_path: Path) -> None:
    with rasterio.open(write_scene(tmp_path / "scene.tif", 7)) as scene:
        assert (scene.height // 64) * (scene.width // 64) >= 7 and scene.count == 3
