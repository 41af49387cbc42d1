"""From finetune to sample: tiles that an adapter learned from are never drawn."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.provenance import read_run
from bimors_cli.scene.tile_set import TileSet
from tests.conftest import NORTH_UP, MakeRaster

TILE = 16


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, result.stderr
    return result


def ground(col: float, row: float, cols: float, rows: float) -> shapely.Polygon:
    """A rectangle in tiles of the scene."""
    x, y, side = NORTH_UP.c, NORTH_UP.f, NORTH_UP.a * TILE
    return shapely.box(x + side * col, y - side * (row + rows), x + side * (col + cols), y - side * row)


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    """8 x 8 tiles."""
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8)))


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    """Two polygons of a class each, along the edges of tiles, in degrees."""
    shapes = [ground(0, 0, 3, 2), ground(5, 4, 2, 3), ground(0, 5, 2, 1), ground(4, 0, 1, 3)]
    frame = geopandas.GeoDataFrame({"class": ["beach", "forest"] * 2}, geometry=shapes, crs=32618).to_crs(4326)
    frame.to_file(tmp_path / "train.gpkg")
    return tmp_path / "train.gpkg"


def classified(scene: Path, polygons: Path, bundle: Bundle, *how: object) -> Path:
    """Finetune, and classify with the adapter."""
    folder = scene.parent
    common = ("--model", bundle.folder, "--tile-size", TILE)
    bimors("finetune", scene, "--polygons", polygons, "--field", "class", "-o", "coast", *common, *how, cwd=folder)
    (folder / "labels.txt").write_text("beach\nforest\n")
    bimors("classify", scene, "-l", "labels.txt", "--adapter", "coast", "-o", "out.gpkg", *common, cwd=folder)
    return folder / "out.gpkg"


@pytest.mark.parametrize("head", [(), ("--head", "bimors", "--epochs", "1")], ids=["views", "trained"])
def test_examples_are_never_drawn(
    scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path, head: tuple[object, ...]
) -> None:
    layer = classified(scene, polygons, tiny_bundle, "--shots", 0, *head)
    result = bimors("sample", layer, "--per-class", 100, "-o", "s.gpkg", cwd=tmp_path)
    assert "17 tiles share ground with examples of the adapter" in result.stderr and "--exclude" not in result.stderr
    sample = read_sample(tmp_path / "s.gpkg")
    assert sample.design.excluded == 17 and len(sample.tile_ids) == sum(one.tiles for one in sample.design.strata) == 47
    drawn = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="sample").geometry
    learned = pyogrio.read_dataframe(polygons).to_crs(drawn.crs).geometry.union_all()
    # The polygons were in degrees: millimetres remain.
    assert drawn.intersection(learned).area.max() < 1


def test_only_the_examples_that_were_used(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    layer = classified(scene, polygons, tiny_bundle, "--shots", 3)
    (recorded,) = read_run(layer, "tiles").examples or ()
    assert len(TileSet.from_json(recorded).indices) == 6
    result = bimors("sample", layer, "--per-class", 100, "--exclude", polygons, "-o", "s.gpkg", cwd=tmp_path)
    assert "6 tiles share ground with examples" in result.stderr and "11 tiles are excluded by" in result.stderr
    assert read_sample(tmp_path / "s.gpkg").design.excluded == 17


def test_an_adapter_that_does_not_record_them(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    layer = classified(scene, polygons, tiny_bundle)
    with closing(sqlite3.connect(layer)) as database, database:
        database.execute("UPDATE gpkg_metadata SET metadata = replace(metadata, 'bimors_examples', 'bimors_none')")
    result = bimors("sample", layer, "-n", 20, "--least", 2, "-o", "s.gpkg", cwd=tmp_path)
    assert "does not record where the examples of its adapter are" in result.stderr and "--exclude" in result.stderr
    assert read_sample(tmp_path / "s.gpkg").design.excluded == 0


def test_the_adapter_of_a_bundle_has_no_examples_here(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("beach\nforest\n")
    how = ("--model", tiny_bundle.folder, "--tile-size", TILE, "-o", "out.gpkg")
    bimors("classify", scene, "-l", "labels.txt", *how, cwd=tmp_path)
    assert read_run(tmp_path / "out.gpkg", "tiles").examples == ()
    result = bimors("sample", "out.gpkg", "-n", 20, "--least", 2, "-o", "s.gpkg", cwd=tmp_path)
    assert "examples" not in result.stderr


def test_a_map_whose_tiles_were_all_examples(scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    halves = geopandas.GeoDataFrame({"class": ["beach", "forest"]}, geometry=[ground(0, 0, 4, 8), ground(4, 0, 4, 8)])
    halves.set_crs(32618).to_file(polygons)
    layer = classified(scene, polygons, tiny_bundle, "--shots", 0)
    result = CliRunner().invoke(app, ["sample", str(layer)])
    assert result.exit_code == 2 and "64 of its 64 tiles share ground with examples" in result.stderr
    assert "--background" in result.stderr and not (tmp_path / "out_sample.gpkg").exists()


@pytest.mark.parametrize("how", [(), ("--show-label",)])
def test_a_sample_is_not_learned_from(
    scene: Path, polygons: Path, tiny_bundle: Bundle, tmp_path: Path, how: tuple[str, ...]
) -> None:
    layer = classified(scene, polygons, tiny_bundle, "--shots", 3)
    bimors("sample", layer, "-n", 20, "-o", "s.gpkg", *how, cwd=tmp_path)
    result = CliRunner().invoke(app, ["finetune", str(tmp_path / "s.gpkg"), "--model", str(tiny_bundle.folder)])
    assert result.exit_code == 2 and "sample has no column label" in result.stderr
