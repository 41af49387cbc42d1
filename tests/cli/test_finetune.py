"""`bimors finetune` from outside: streams, exit codes, and the loop of classify, correct, finetune, classify."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from typer.testing import CliRunner, Result

from bimors_cli.bundle.adapter import MANIFEST
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.hardening.forks import GO, Fault, Forks


def bimors(*args: object, cwd: Path) -> Result:
    """Run a command in this process: torch is imported once for all of them."""
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, level in (("beach", 220), ("forest", 60)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in range(6):
            pixels = np.clip(generator.normal(level, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def scene(make_raster: Any) -> Path:
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8)))


def corners(x: float, y: float, width: float, height: float) -> shapely.Polygon:
    """A rectangle in pixels of the scene, 10 m each."""
    left, top = 500_000 + 10 * x, 4_600_000 - 10 * y
    return shapely.box(left, top - 10 * height, left + 10 * width, top)


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    frame = geopandas.GeoDataFrame(
        {"class": ["beach", "forest"], "year": [2014, 2014]},
        geometry=[corners(0, 0, 64, 128), corners(64, 0, 64, 128)],
        crs=32618,
    )
    frame.to_file(tmp_path / "train.gpkg")
    return tmp_path / "train.gpkg"


def test_stdout_holds_the_path_alone(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    how = ("--shots", 3, "--head", "bimors", "--model", tiny_bundle.folder)
    result = bimors("finetune", data, *how, "--epochs", 2, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "adapters/data\n"), result.stderr
    assert "epoch 2 of 2" in result.stderr and "6 examples of 2 classes" in result.stderr
    assert (tmp_path / "adapters" / "data" / MANIFEST).is_file()
    quiet = bimors("finetune", data, *how, "--epochs", 1, "-q", "--overwrite", cwd=tmp_path)
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "adapters/data\n", "")


def test_polygons_on_a_scene(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    how = ("--tile-size", 16, "--model", tiny_bundle.folder)
    examples = ("--polygons", polygons, "--field", "class", "-o", "coast")
    result = bimors("finetune", scene, *examples, "--head", "bimors", "--epochs", 1, *how, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((tmp_path / "coast" / MANIFEST).read_text())
    assert manifest["labels"] == ["beach", "forest"]
    (tmp_path / "labels.txt").write_text("beach\nharbour\n")
    result = bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, cwd=tmp_path)
    assert result.exit_code == 0 and "harbour" in result.stderr  # new to the adapter


def test_an_adapter_of_views(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    how = ("--tile-size", 16, "--model", tiny_bundle.folder)
    examples = ("--polygons", polygons, "--field", "class", "-o", "coast")
    result = bimors("finetune", scene, *examples, *how, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "coast\n"), result.stderr
    assert (
        "expected on this scene" in result.stderr
        and "too optimistic" in result.stderr
        and "* bands + bands-around" in result.stderr
    )
    shown = bimors("adapters", "show", "coast", cwd=tmp_path)
    assert "expected accuracy" in shown.stdout and "bands-around" in shown.stdout and "beach: " in shown.stdout
    metrics = json.loads(bimors("adapters", "show", "coast", "--json", cwd=tmp_path).stdout)["metrics"]
    assert {"expected", "candidates", "carriers"} <= set(metrics)
    assert "expected" in bimors("adapters", "list", ".", cwd=tmp_path).stdout
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    result = bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, cwd=tmp_path)
    assert result.exit_code == 0 and "does not use them" in result.stderr, result.stderr
    (tmp_path / "labels.txt").write_text("beach\nharbour\n")
    result = bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, "--overwrite", cwd=tmp_path)
    assert result.exit_code == 0 and "1 label has no examples in the adapter coast" in result.stderr
    (tmp_path / "labels.txt").write_text("pier\nharbour\n")
    result = bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", *how, "--overwrite", cwd=tmp_path)
    assert result.exit_code == 2 and "none of the labels" in result.stderr and "--head bimors" in result.stderr


def test_false_colours_are_stretched_as_in_classify(
    scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches: list[str] = []
    for module in ("bimors_cli.training.views.collect", "bimors_cli.pipeline.make_plan"):
        real = importlib.import_module(module).with_views

        def spy(*args: Any, real: Any = real) -> Any:
            found = real(*args)
            if found.view_inputs is not None and found.view_inputs.false_colour is not None:
                stretches.append(str(found.view_inputs.false_colour[1]))
            return found

        monkeypatch.setattr(f"{module}.with_views", spy)
    how = ("--tile-size", 16, "--model", tiny_bundle.folder, "--stretch", "0,200")
    with rasterio.open(scene) as three:
        pixels = np.concatenate((three.read(), three.read(1)[None]))
        profile = {**three.profile, "count": 4, "alpha": "no"}
    with rasterio.open(tmp_path / "four.tif", "w", **profile) as four:
        four.write(pixels)
    examples = ("--polygons", polygons, "--field", "class", "--views", "false-colour", "-o", "coast")
    result = bimors("finetune", "four.tif", *examples, *how, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    result = bimors("classify", "four.tif", "-l", "labels.txt", "--adapter", "coast", *how, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert len(stretches) == 2 and len(set(stretches)) == 1 and "200" in stretches[0]


def test_epochs_have_no_effect_on_views(data: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = bimors("finetune", data, "--epochs", 3, "--model", tiny_bundle.folder, cwd=tmp_path)
    assert result.exit_code == 0 and "--epochs has no effect with --head auto" in result.stderr


def test_label_raster_on_a_scene(make_raster: Any, scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    codes = np.full((1, 128, 128), 11, np.uint8)
    codes[:, :, 64:] = 42
    make_raster(codes, name="map.tif")
    (tmp_path / "classes.csv").write_text("code;name\n11;beach\n42;forest\n")
    how = ("--tile-size", 16, "--epochs", 1, "--model", tiny_bundle.folder)
    args = ("finetune", scene, "--examples", "map.tif", *how)
    result = bimors(*args, "--class-names", "classes.csv", "-o", "coast", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((tmp_path / "coast" / MANIFEST).read_text())
    assert manifest["labels"] == ["beach", "forest"] and manifest["training"]["source"] == "label raster"
    assert manifest["training"]["class names"] == str(tmp_path / "classes.csv")
    result = bimors(*args, "-o", "codes", cwd=tmp_path)
    assert result.exit_code == 0 and "class codes without names: give --class-names FILE" in result.stderr
    assert json.loads((tmp_path / "codes" / MANIFEST).read_text())["labels"] == ["11", "42"]


@pytest.mark.parametrize("suffix", ["", ":train"])
def test_examples_may_be_a_vector_file(
    scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path, suffix: str
) -> None:
    how = ("--tile-size", 16, "--epochs", 1, "--model", tiny_bundle.folder, "-o", "coast")
    result = bimors("finetune", scene, "--examples", f"{polygons}{suffix}", "--field", "class", *how, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    training = json.loads((tmp_path / "coast" / MANIFEST).read_text())["training"]
    assert training["source"] == "polygons" and training["path"] == str(polygons)


def test_classify_correct_finetune_classify(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("beach\nforest\nriver\n")
    how = ("--tile-size", 16, "-l", "labels.txt", "--model", tiny_bundle.folder)
    assert bimors("classify", scene, *how, "-o", "out.gpkg", cwd=tmp_path).exit_code == 0
    nothing = bimors("finetune", "out.gpkg", "--model", tiny_bundle.folder, cwd=tmp_path)
    assert nothing.exit_code == 2 and "corrected or checked" in nothing.stderr

    with closing(sqlite3.connect(tmp_path / "out.gpkg")) as database, database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # of the triggers of a spatial index
            database.create_function(name, 1, lambda _geometry: 0)
        database.execute("UPDATE tiles SET label = CASE label WHEN 'beach' THEN 'river' ELSE 'beach' END WHERE row < 4")
    result = bimors("finetune", "out.gpkg", "--model", tiny_bundle.folder, "-o", "coast", "--epochs", 2, cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "coast\n"), result.stderr
    again = bimors("classify", scene, *how, "--adapter", "coast", "-o", "better.gpkg", cwd=tmp_path)
    assert again.exit_code == 0, again.stderr
    assert len(geopandas.read_file(tmp_path / "better.gpkg")) == 64


def test_a_layer_of_another_bundle(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    how = ("-l", "labels.txt", "--tile-size", 64, "--model", tiny_bundle.folder)
    done = bimors("classify", scene, *how, "-o", "a.gpkg", cwd=tmp_path)
    assert done.exit_code == 0
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database, database:
        database.execute("UPDATE bimors_predictions SET label = 'river'")
    result = bimors("finetune", "a.gpkg", cwd=tmp_path)
    assert result.exit_code == 2 and "classified with the bundle tiny, this is mini" in result.stderr


def bad_inputs(tmp_path: Path, scene: Path, polygons: Path) -> dict[str, tuple[list[object], str]]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "single" / "beach").mkdir(parents=True)
    for name in ("beach", "forest"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "broken" / name / f"{i}.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "split.json").write_text("{")
    (tmp_path / "labels.txt").write_text("beach\nharbour\n")
    (tmp_path / "notes.txt").write_text("no source")
    frame = geopandas.read_file(polygons)
    frame.translate(1e6).to_frame("geometry").assign(**{"class": ["a", "b"]}).to_file(tmp_path / "away.gpkg")
    mixed = geopandas.GeoDataFrame(
        {"class": ["a", "b"]}, geometry=[frame.geometry[0], frame.geometry[0].centroid], crs=frame.crs
    )
    mixed.to_file(tmp_path / "mixed.gpkg")
    drawn = [scene, "--tile-size", "16", "--polygons"]
    labelled = [scene, "--tile-size", "16", "--examples"]
    (tmp_path / "classes.csv").write_text("11,water\n12\n")
    return {
        "no such source": (["nowhere"], "nowhere"),
        "no kind of source": (["notes.txt"], "notes.txt"),
        "an empty folder": (["empty"], "empty"),
        "one class": (["single"], "single"),
        "unreadable pictures": (["broken"], "jpg"),
        "a broken split": (["split.json"], "split.json"),
        "a scene without polygons": ([scene], "--polygons"),
        "no such field": ([*drawn, polygons, "--field", "klass"], "year"),
        "polygons elsewhere": ([*drawn, "away.gpkg", "--field", "class"], "away.gpkg"),
        "mixed geometry": ([*drawn, "mixed.gpkg", "--field", "class"], "mixed.gpkg"),
        "no such polygons": ([*drawn, "no.gpkg", "--field", "class"], "no.gpkg"),
        "labels that are not there": ([scene, *drawn[1:], polygons, "--field", "class", "-l", "labels.txt"], "harbour"),
        "examples without a field": ([*labelled, polygons], "add --field NAME"),
        "no such examples": ([*labelled, "no.tif"], "no.tif"),
        "no such vector examples": ([*labelled, "no.gpkg", "--field", "class"], "no.gpkg"),
        "examples that are neither": ([*labelled, "notes.txt"], "notes.txt"),
        "a map of three bands": ([*labelled, scene], "scene.tif has 3 bands"),
        "a field of a raster": ([*labelled, scene, "--field", "class"], "--field has no effect with a label raster"),
        "background of a raster": ([*labelled, scene, "--background", "x"], "--background has no effect"),
        "two kinds of labels": ([*labelled, scene, "--polygons", polygons, "--field", "class"], "use one of them"),
        "names of nothing": (["empty", "--class-names", "names.csv"], "names.csv"),
        "broken names": ([*labelled, scene, "--class-names", "classes.csv"], "classes.csv, line 2"),
        "no such head": (["empty", "--head", "maple"], "maple"),
    }


def test_bad_input_is_one_line_and_exit_2(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    for name, (args, said) in bad_inputs(tmp_path, scene, polygons).items():
        result = bimors("finetune", *args, "--model", tiny_bundle.folder, "-o", "x", cwd=tmp_path)
        assert result.exit_code == 2, (name, result.stderr)
        assert result.stdout == "", name
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and said in result.stderr, (name, result.stderr)
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "x").exists() and not (tmp_path / "x.training").exists(), name


def test_a_killed_run_goes_on(data: Path, tiny_bundle: Bundle, tmp_path: Path, forks: Forks) -> None:
    args = ["finetune", str(data), "--head", "bimors", "--shots", "4", "--model", str(tiny_bundle.folder)]
    second = Fault("bimors_cli.training.checkpoint:TrainingCheckpoint.save", nth=2, act="wait")
    run = forks.start([*args, "--epochs", "5", "-o", "coast"], tmp_path, faults=[second])
    run.when((tmp_path / "coast.training" / "checkpoint.safetensors").exists).send(signal.SIGTERM)
    (tmp_path / GO).touch()
    ended = run.wait(timeout=60)
    assert ended.code == 143 and "--resume" in ended.stderr
    assert not (tmp_path / "coast").exists()
    other = bimors(*args, "--epochs", 3, "-o", "coast", "--resume", cwd=tmp_path)
    assert other.exit_code == 1 and "differs in epochs" in other.stderr
