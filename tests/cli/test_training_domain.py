"""Scenes unlike the training images, and --captions, on the command line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster
from tests.pipeline.domains import UNLIKE, with_domain


@pytest.fixture
def scene(make_raster: MakeRaster, tmp_path: Path) -> str:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))


@pytest.fixture
def unlike(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    return with_domain(tiny_bundle, tmp_path / "unlike", UNLIKE)


@pytest.fixture
def bimors(tmp_path: Path) -> Any:
    def run(*args: object) -> Result:
        with contextlib.chdir(tmp_path):
            return CliRunner().invoke(app, [*map(str, args)])

    return run


def test_info_compares_a_scene_with_the_model(make_raster: MakeRaster, bimors: Any) -> None:
    aerial = make_raster(np.ones((3, 400, 400), np.uint8), transform=Affine(2, 0, 5e5, 0, -2, 4.6e6), name="a.tif")
    inside = bimors("info", aerial, "--tile-size", "400m", "--json")
    facts = json.loads(inside.stdout)
    assert (facts["model"], facts["in_training_domain"], facts["outside_training_domain"]) == ("mini", True, [])
    assert (facts["model_pixel_size_m"], facts["model_tile_size_m"]) == ([0.5, 8], [300, 4800])
    assert inside.stderr == ""
    landsat = make_raster(np.ones((3, 400, 400), np.uint8), transform=Affine(30, 0, 5e5, 0, -30, 4.6e6), name="b.tif")
    outside = bimors("info", landsat, "--tile-size", "16")
    assert "in training domain" in outside.stdout and "pixel size, tile pixels" in outside.stdout
    assert outside.exit_code == 0 and outside.stderr.startswith(
        "warning: b.tif: pixels of 30 m, tiles of 16 pixels; mini"
    )
    assert outside.stderr.count("\n") == 1


def test_info_of_a_model_that_states_nothing(scene: str, tiny_bundle: Bundle, unlike: Bundle, bimors: Any) -> None:
    result = bimors("info", scene, "--model", tiny_bundle.folder, "--json")
    facts = json.loads(result.stdout)
    assert facts["in_training_domain"] is None and facts["model_pixel_size_m"] is None and result.stderr == ""
    facts = json.loads(bimors("info", scene, "--model", unlike.folder, "--json").stdout)
    assert facts["in_training_domain"] is False and facts["outside_training_domain"] == ["pixel size"]
    assert bimors("info", scene, "--model", "none-such").exit_code == 2


def test_classify_and_caption_warn_once(scene: str, unlike: Bundle, bimors: Any) -> None:
    how = ["--model", unlike.folder, "--tile-size", 32]
    classified = bimors("classify", scene, "-l", "labels.txt", *how)
    assert classified.exit_code == 0 and classified.stderr.count("was trained on") == 1
    assert "bimors finetune needs a few polygons" in classified.stderr
    assert "no captions are written of scene.tif" in classified.stderr
    captioned = bimors("caption", scene, *how, "-o", "captions.gpkg")
    assert captioned.exit_code == 0 and captioned.stderr.count("was trained on") == 1
    assert "expect poor captions\n" in captioned.stderr
    own = bimors("classify", scene, "-l", "labels.txt", *how, "--adapter", unlike.part(ADAPTER), "-o", "own.gpkg")
    assert own.exit_code == 0 and "was trained on" not in own.stderr and "scene.tif, which is" in own.stderr
    dry = bimors("classify", scene, "-l", "labels.txt", *how, "--dry-run")
    assert dry.exit_code == 0 and dry.stderr.count("was trained on") == 1


def test_no_captions_is_another_spelling(scene: str, tiny_bundle: Bundle, bimors: Any) -> None:
    def run(*args: str) -> Result:
        how = ["--model", tiny_bundle.folder, "--tile-size", 32, "-o", "out.gpkg"]
        result: Result = bimors("classify", scene, "-l", "labels.txt", *how, *args)
        return result

    assert run("--no-captions").exit_code == 0
    again = run("--captions", "none", "--resume")
    assert again.exit_code == 0 and "already complete" in again.stderr
    assert run("--captions", "none", "--no-captions", "--resume").exit_code == 0
    refused = run("--captions", "all", "--no-captions", "--resume")
    assert refused.exit_code == 2 and "--no-captions contradicts --captions all" in refused.stderr
    assert "--captions some: unknown value" in run("--captions", "some").stderr
    assert run("--captions", "all", "--resume").exit_code == 2


def test_zion(scenes: Path, bimors: Any, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    path = scenes / "labelled" / "zion" / "zion_landsat8.tif"
    result = bimors("info", path, "--tile-size", "112")
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: zion_landsat8.tif: pixels of 30 m; mini was trained on pixels of 0.5 to 8 m: expect poor labels "
        "without examples; bimors finetune needs a few polygons\n"
    )
