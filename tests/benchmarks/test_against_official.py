"""The yardstick itself: it runs, and its reference gives bimors' rows. Speeds are not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.make_plan import make_plan
from tests.benchmarks.against_official import ROOT, _stride, compare, rows_agree, run_ours
from tests.benchmarks.reference import Reference, spread
from tests.conftest import MakeRaster


@pytest.fixture
def options(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> ClassifyOptions:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 128), dtype=np.uint8))
    return ClassifyOptions(
        scenes=(scene,),
        labels=Labels.of(["forest", "bare_land", "river", "dense residential port"]),
        output=str(tmp_path / "out.gpkg"),
        model=str(tiny_bundle.folder),
        tile_size="32",
        device="cpu",
    )


def test_the_reference_gives_the_same_rows(options: ClassifyOptions, tmp_path: Path) -> None:
    ours = run_ours(options)
    found = compare("tiny", options, ours, 5, tmp_path, captioned=True)
    assert found.agree and min(found.whole, found.running, found.text) > 0
    assert compare("tiny", options, ours, 3, tmp_path, captioned=False).agree


def test_rows_that_differ_are_noticed(options: ClassifyOptions, capsys: pytest.CaptureFixture[str]) -> None:
    layer = run_ours(options).layer.head(3)
    rows = Reference(make_plan(replace(options, overwrite=True))).classify([0, 1, 2], [None] * 3)
    assert rows_agree(layer, rows)
    wrong = [replace(rows[0], confidence=rows[0].confidence + 0.002), *rows[1:]]
    assert not rows_agree(layer, wrong) and "scene/0/0" in capsys.readouterr().err
    assert not rows_agree(layer, [rows[0], replace(rows[1], label="none of them"), rows[2]])


def test_a_step_for_a_number_of_tiles() -> None:
    scene = ROOT / "examples" / "scene.tif"
    assert _stride(scene, 112, 1) == 112
    assert _stride(scene, 112, 1000) < _stride(scene, 112, 100) < 112
    assert spread(10, 4) == [0, 3, 6, 9] and spread(2, 5) == [0, 1]


@pytest.mark.slow
def test_the_program_runs_small(tmp_path: Path) -> None:
    small = ("--tiles", 20, "--reference-tiles", 3, "--full-tiles", 12, "--full-reference-tiles", 2, "--work", tmp_path)
    command = [sys.executable, "-m", "tests.benchmarks.against_official", *map(str, small)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert found.pop("agree") is True
    assert set(found) == {"ratio", "ratio_cached", "ratio_full_size", "ratio_text_stage", "overlap"}
    assert all(value > 0 for value in found.values())
    assert "3 of them by the reference" in result.stderr
