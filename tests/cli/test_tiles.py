"""`bimors tiles` from outside: the grid of classify, without a model."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
from affine import Affine
from geopandas.testing import assert_geoseries_equal
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli import tiles
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    noise = np.random.default_rng(0).integers(1, 256, (3, 70, 100), dtype=np.uint8)
    return Path(make_raster(noise, transform=Affine(10, 2, 500_000, 2, -10, 4_600_000)))


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def test_the_example_of_the_help_runs(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "scene.tif", tmp_path)
    result = bimors(*shlex.split(tiles.EXAMPLE.removeprefix("Example: bimors ")), cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "tiles.gpkg\n"), result.stderr
    assert result.stderr.splitlines() == ["scene.tif: 19 rows x 24 columns of tiles, each 40 x 40 px", "456 tiles"]
    layer = geopandas.read_file(tmp_path / "tiles.gpkg", layer="tiles")
    assert list(layer) == ["tile_id", "scene", "row", "col", "geometry"] and len(layer) == 456
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif", "tiles.gpkg"]


@pytest.mark.parametrize(
    "options",
    [["--tile-size", 32], ["--tile-size", 32, "--overlap", "25%"], ["--tile-size", "300m", "--dst-crs", "EPSG:4326"]],
)
def test_the_tiles_are_those_of_classify(
    scene: Path, tiny_bundle: Bundle, tmp_path: Path, options: list[object]
) -> None:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    x, y = 500_000, 4_600_000
    aoi = geopandas.GeoDataFrame(geometry=[geopandas.points_from_xy([x + 300], [y - 300])[0].buffer(250)])
    aoi.set_crs("EPSG:32618").to_file(tmp_path / "aoi.gpkg")
    options = [*options, "--aoi", "aoi.gpkg", "--aoi-rule", "any"]
    grid = bimors("tiles", scene, "-o", "tiles.gpkg", *options, cwd=tmp_path)
    assert grid.exit_code == 0, grid.stderr
    more = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--no-captions", "-o", "out.gpkg"]
    run = bimors("classify", scene, *more, *options, cwd=tmp_path)
    assert run.exit_code == 0, run.stderr
    found, wanted = (geopandas.read_file(tmp_path / name, layer="tiles") for name in ("tiles.gpkg", "out.gpkg"))
    assert len(found) > 1 and found["tile_id"].tolist() == wanted["tile_id"].tolist()
    assert found[["scene", "row", "col"]].equals(wanted[["scene", "row", "col"]])
    assert_geoseries_equal(found.geometry, wanted.geometry)


def test_no_model_is_loaded(scene: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from bimors_cli.cli.main import app\n"
        f"app(['tiles', {str(scene)!r}, '-o', 'tiles.gpkg', '--tile-size', '8'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'open_clip'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "tiles.gpkg\n"), done.stderr


def test_no_pixel_is_read(make_raster: MakeRaster, tmp_path: Path) -> None:
    # 16 bits: classify would look for a stretch.
    noise = np.random.default_rng(0).integers(0, 9999, (3, 128, 128), dtype=np.uint16)
    scene = Path(make_raster(noise, compress="deflate", blockysize=8))
    content = scene.read_bytes()
    scene.write_bytes(content[:4000] + b"\0" * (len(content) - 4000))
    assert bimors("tiles", scene, "--tile-size", 32, "-o", "x.fgb", cwd=tmp_path).exit_code == 0
    assert len(geopandas.read_file(tmp_path / "x.fgb")) == 16 and (tmp_path / "x.qml").exists()


def test_it_streams(scene: Path, tmp_path: Path) -> None:
    result = bimors("tiles", scene, "--tile-size", 32, "-o", "-", cwd=tmp_path)
    features = [json.loads(line) for line in result.stdout.splitlines()]
    assert [f["properties"]["tile_id"] for f in features] == [f"scene/{i // 4}/{i % 4}" for i in range(12)]
    assert features[0]["geometry"]["coordinates"][0][0][0] == pytest.approx(-75, abs=0.01)


def test_a_layer_beside_others_and_its_style(scene: Path, tmp_path: Path) -> None:
    for layer, size in (("coarse", 50), ("fine", 25)):
        args = ["--tile-size", size, "-o", "tiles.gpkg", "--append", "--layer", layer]
        assert bimors("tiles", scene, *args, cwd=tmp_path).exit_code == 0
    assert {name: len(geopandas.read_file(tmp_path / "tiles.gpkg", layer=name)) for name in ("coarse", "fine")} == {
        "coarse": 4,
        "fine": 12,
    }
    styles: Any = pyogrio.read_dataframe(tmp_path / "tiles.gpkg", layer="layer_styles")
    assert styles["f_table_name"].tolist() == ["coarse", "fine"] and styles["useAsDefault"].all()
    assert all('type="singleSymbol"' in text and '"no"' in text for text in styles["styleQML"])


def test_mistakes_are_one_line_and_a_hint(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "there.gpkg").write_bytes(b"precious")
    for args in (
        ["-o", "there.gpkg"],
        ["-o", scene.name, "-f", "GPKG"],
        ["-o", "x.xyz"],
        ["-o", "x.gpkg", "--aoi", "none.gpkg"],
        ["-o", "x.gpkg", "--aoi-rule", "some"],
        ["-o", "x.gpkg", "--tile-size", "0"],
        ["-o", "x.gpkg", "--append", "--overwrite"],
        ["-o", "x.gpkg", "--layer", "bimors_features"],
    ):
        result = bimors("tiles", scene, *args, cwd=tmp_path)
        assert result.exit_code == 2 and result.stdout == "", (args, result.stderr)
        lines = result.stderr.strip().splitlines()
        assert 1 <= len(lines) <= 2 and lines[0].startswith("error: "), (args, result.stderr)
    assert (tmp_path / "there.gpkg").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif", "there.gpkg"]
