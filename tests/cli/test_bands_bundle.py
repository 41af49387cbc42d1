"""The bundle ``bands``, which has no network: examples, layer and search, and the commands that refuse it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
from shapely.geometry import box
from typer.testing import CliRunner, Result

from bimors_cli.cli.main import app
from tests.conftest import MakeRaster

LABELS = ("forest", "water", "field")
PIXELS, TILE, METRES = 128, 16, 10.0


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``labels.txt``."""
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return tmp_path


def kinds() -> np.ndarray:
    """The class of every pixel: water in the eastern half, else forest in the north and field in the south."""
    found = np.zeros((PIXELS, PIXELS), int)
    found[:, PIXELS // 2 :] = 1
    found[PIXELS // 2 :, : PIXELS // 2] = 2
    return found


def make_scene(make_raster: MakeRaster, bands: int, low: float, high: float, dtype: str) -> Path:
    """A scene whose classes differ in the mean of each band."""
    random = np.random.default_rng(0)
    means = random.uniform(low + 0.2 * (high - low), high - 0.2 * (high - low), (len(LABELS), bands))
    noise = random.normal(0, 0.05 * (high - low), (bands, PIXELS, PIXELS))
    values = np.clip(means[kinds()].transpose(2, 0, 1) + noise, low, high)
    return Path(make_raster(values.astype(dtype)))


def make_polygons(scene: Path, path: Path) -> None:
    """A polygon of each class."""
    import rasterio

    with rasterio.open(scene) as dataset:
        corners = [(0, 0, 48, 48), (80, 16, 128, 112), (0, 80, 48, 128)]  # left, top, right, bottom, in pixels
        shapes = [box(*dataset.xy(bottom, left, offset="ul"), *dataset.xy(top, right, offset="ul"))
                  for left, top, right, bottom in corners]  # fmt: skip
        frame = geopandas.GeoDataFrame({"class": LABELS}, geometry=shapes, crs=dataset.crs)
    frame.to_file(path)


@pytest.mark.parametrize(
    ("bands", "low", "high", "dtype"), [(4, 1, 255, "uint8"), (64, -1, 1, "float32")], ids=["four", "embedding"]
)
def test_tiles_like_others_have_their_class(
    make_raster: MakeRaster, folder: Path, bands: int, low: float, high: float, dtype: str
) -> None:
    scene = make_scene(make_raster, bands, low, high, dtype)
    make_polygons(scene, folder / "train.gpkg")
    fixed = ["--model", "bands", "--tile-size", TILE]
    learned = bimors("finetune", scene, *fixed, "--polygons", "train.gpkg", "--field", "class", "-o", "a", cwd=folder)
    assert learned.exit_code == 0, learned.stderr
    asked = ["-l", "labels.txt", "--adapter", "a", "--keep-features", "-o", "out.gpkg"]
    classified = bimors("classify", scene, *fixed, *asked, cwd=folder)
    assert classified.exit_code == 0 and "--captions all" not in classified.stderr, classified.stderr

    tile_id = f"{scene.stem}/1/1"
    found = bimors("search", "out.gpkg", "--like", f"{tile_id},{scene.stem}/0/2", "--top", 14, "--json", cwd=folder)
    assert found.exit_code == 0, found.stderr
    hits = json.loads(found.stdout)
    assert [hit["label"] for hit in hits] == ["forest"] * 14  # of 16, two of which were given
    assert tile_id not in {hit["tile_id"] for hit in hits}

    for model in ([], ["--model", "mini"]):
        text = bimors("search", "out.gpkg", "a forest", *model, cwd=folder)
        assert text.exit_code == 2 and "without CLIP's image features" in text.stderr and "--like" in text.stderr


def test_captions_need_a_captioner(make_raster: MakeRaster, folder: Path) -> None:
    scene = make_scene(make_raster, 4, 1, 255, "uint8")
    make_polygons(scene, folder / "train.gpkg")
    fixed = [scene, "--model", "bands", "--tile-size", TILE]
    learned = bimors("finetune", *fixed, "--polygons", "train.gpkg", "--field", "class", "-o", "a", cwd=folder)
    assert learned.exit_code == 0, learned.stderr
    asked = ["-l", "labels.txt", "--adapter", "a", "--captions", "all", "-o", "out.gpkg"]
    refused = bimors("classify", *fixed, *asked, cwd=folder)
    assert refused.exit_code == 2 and "--captions all: bands has no captioner" in refused.stderr


@pytest.mark.parametrize(
    ("args", "missing"),
    [
        (["caption", "scene.tif", "-o", "captions.gpkg"], "captioner"),
        (["bench"], "CLIP"),
        (["evaluate", "data"], "CLIP"),
        (["finetune", "data", "--head", "bimors"], "CLIP"),
        (["classify", "scene.tif", "-l", "labels.txt"], "CLIP"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_commands_that_need_a_network_refuse_it_before_torch(
    make_raster: MakeRaster, folder: Path, args: list[str], missing: str
) -> None:
    make_raster(np.full((3, 32, 32), 9, np.uint8), name="scene.tif")
    for label in LABELS[:2]:
        (folder / "data" / label).mkdir(parents=True)
    program = (
        "import sys; from typer.testing import CliRunner; from bimors_cli.cli.main import app;"
        f"result = CliRunner().invoke(app, {[*args, '--model', 'bands']!r});"
        "print(result.stderr, end=''); assert 'torch' not in sys.modules; sys.exit(result.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    error, hint = done.stdout.strip().splitlines()
    assert error.startswith(f"error: the bundle bands has no {missing}, which ") and hint.startswith("hint: ")


def test_it_is_shown_and_verified(folder: Path) -> None:
    shown = json.loads(bimors("models", "show", "bands", "--json", cwd=folder).stdout)
    assert shown["installed"] and shown["size"] == 0 and shown["context_length"] is None
    assert not {"templates", "context", "image_size"} & shown.keys()
    verified = bimors("models", "verify", "bands", cwd=folder)
    assert verified.exit_code == 0, verified.stderr


def test_info_takes_it(make_raster: MakeRaster, folder: Path) -> None:
    make_raster(np.full((4, 32, 32), 9, np.uint8), name="scene.tif")
    result = bimors("info", "scene.tif", "--model", "bands", cwd=folder)
    assert result.exit_code == 0 and "in training domain" in result.stdout, result.stderr


def test_a_pack_of_it_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_HOME", str(folder / "home"))
    assert bimors("models", "pack", "bands", cwd=folder).exit_code == 0
    result = bimors("models", "unpack", "bands.bimors.zip", cwd=folder)
    assert result.exit_code != 0 and "contains bands, which is part of bimors" in result.stderr
