"""Odd examples: very many classes, one class, bands that say nothing or have holes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.training.examples.base import Example
from bimors_cli.training.views.learn import learn
from tests.conftest import NORTH_UP

SIZE, TILE = 128, 16


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def test_500_classes_with_one_example_each() -> None:
    random = np.random.default_rng(0)
    classes = 500
    centres = random.normal(size=(classes, 64))
    features = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    names = np.log(np.full((classes, classes), 0.4 / (classes - 1)) + np.eye(classes) * 0.6)
    examples = tuple(Example(label, str(label)) for label in range(classes))
    views = {"image": features.astype(np.float32), "names": names.astype(np.float32)}
    learned = learn(views, examples, classes, ("image", "names"), {})
    assert learned.expected is None  # none can be left out: without its example a class is unknown
    near = features + random.normal(scale=0.02, size=features.shape)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    found = learned.ensemble.log_probabilities({"image": near.astype(np.float32), "names": views["names"]})
    assert (found.argmax(axis=1) == np.arange(classes)).mean() > 0.99
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-6)


def scene_and_polygons(make_raster: Any, folder: Path, bands: Any) -> tuple[Path, Path]:
    """Write a scene of two classes, left and right, and four polygons of each."""
    scene = Path(make_raster(bands, nodata=None))

    left, top, pixel = NORTH_UP.c, NORTH_UP.f, NORTH_UP.a

    def two_tiles(x: int, y: int) -> shapely.Polygon:
        return shapely.box(left + x * pixel, top - (y + 2 * TILE) * pixel, left + (x + TILE) * pixel, top - y * pixel)

    geometry = [two_tiles(x, y) for y in range(0, SIZE, 2 * TILE) for x in (TILE, SIZE - TILE)]
    frame = geopandas.GeoDataFrame({"class": ["beach", "forest"] * 4}, geometry=geometry, crs=32618)
    frame.to_file(folder / "train.gpkg")
    return scene, folder / "train.gpkg"


def test_a_constant_band_and_one_with_holes(make_raster: Any, tiny_bundle: Bundle, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bands = random.normal(100, 10, (5, SIZE, SIZE)).astype(np.float32)
    bands[0, :, SIZE // 2 :] += 40
    bands[2] = 7
    bands[3, : SIZE // 2] = np.nan  # whole tiles without a value
    bands[4, ::3] = np.nan  # every tile has some
    scene, polygons = scene_and_polygons(make_raster, tmp_path, bands)
    how = ("--tile-size", TILE, "--model", tiny_bundle.folder, "--bidx", "1,2,3")
    result = bimors("finetune", scene, "--polygons", polygons, "--field", "class", *how, "-o", "coast", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    result = bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, "-o", "m.gpkg", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    layer = geopandas.read_file(tmp_path / "m.gpkg", layer="tiles")
    expected = np.where(layer["col"] < SIZE // TILE // 2, "beach", "forest")
    assert len(layer) == (SIZE // TILE) ** 2 and (layer["label"] == expected).mean() > 0.95
    metrics = json.loads((tmp_path / "coast" / "metrics.json").read_text())
    assert metrics["carriers"]["beach"]["bands"]["band 1"] > 0.9


def test_examples_of_one_class_are_refused(make_raster: Any, tiny_bundle: Bundle, tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE)).astype(np.uint8)
    scene, polygons = scene_and_polygons(make_raster, tmp_path, bands)
    frame = geopandas.read_file(polygons)
    frame[frame["class"] == "beach"].to_file(polygons)
    how = ("--tile-size", TILE, "--model", tiny_bundle.folder)
    result = bimors("finetune", scene, "--polygons", polygons, "--field", "class", *how, "-o", "coast", cwd=tmp_path)
    assert result.exit_code == 2 and "only the class 'beach' found" in result.stderr, result.stderr
    assert not (tmp_path / "coast").exists()


def test_an_adapter_keeps_the_answers_for_left_out_examples(
    make_raster: Any, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    bands = np.random.default_rng(0).integers(1, 200, (3, SIZE, SIZE)).astype(np.uint8)
    bands[:, :, SIZE // 2 :] += 50
    scene, polygons = scene_and_polygons(make_raster, tmp_path, bands)
    how = ("--tile-size", TILE, "--model", tiny_bundle.folder)
    result = bimors("finetune", scene, "--polygons", polygons, "--field", "class", *how, "-o", "coast", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    shown = bimors("adapters", "show", "coast", cwd=tmp_path).stdout
    assert "up to 80 % coverage, from 16 examples in places: beach 2, forest 2" in shown
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    run = ("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, "-o", "m.gpkg")
    result = bimors(*run, "--coverage", "90%", cwd=tmp_path)
    assert result.exit_code == 2 and "use --coverage 80% or less" in result.stderr, result.stderr
    result = bimors(*run, "--coverage", "80%", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    layer = geopandas.read_file(tmp_path / "m.gpkg", layer="tiles")
    expected = np.where(layer["col"] < SIZE // TILE // 2, "beach", "forest")
    held = [name in each.split(" | ") for name, each in zip(expected, layer["label_set"], strict=True)]
    assert np.mean(held) >= 0.8
    assert "coverage: 80 % promised, from 16 examples in 4 places" in result.stderr
    # The polygons of a class touch: they are one place, divided into blocks.
    assert "were drawn in one place each" in result.stderr
