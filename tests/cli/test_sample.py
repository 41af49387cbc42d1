"""`bimors sample` from outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.cli.main import app
from bimors_cli.evaluation.areas.sample_file import read_sample
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]


@pytest.fixture
def layer(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """400 tiles: 120 of each class, and 40 without a label."""
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 160, 160), dtype=np.uint8))
    return make_layer(str(scene), tile_size="8")


def draw(layer: Path, *args: object) -> Result:
    return CliRunner().invoke(app, ["sample", str(layer), *map(str, args)])


def test_a_stratified_sample(layer: Path) -> None:
    result = draw(layer, "-n", 100, "--least", 20, "--size", "river=40")
    path = layer.with_name("out_sample.gpkg")
    assert (result.exit_code, result.stdout) == (0, f"{path}\n"), result.stderr
    found = read_sample(path)
    strata = {one.name: (one.tiles, one.drawn) for one in found.design.strata}
    assert list(strata) == ["forest", "river", "harbour", "(no label)"]
    assert strata["(no label)"] == (40, 20) and strata["river"][1] == 40
    assert sum(tiles for tiles, _ in strata.values()) == 400
    assert all(stratum == (label or "(no label)") for stratum, label in zip(found.strata, found.mapped, strict=True))
    assert found.labels == ("forest", "river", "harbour")
    assert list(found.tile_ids) != sorted(found.tile_ids) and f"bimors evaluate {path}" in result.stderr


def test_the_same_seed_draws_the_same_tiles_of_a_file_in_another_order(layer: Path, tmp_path: Path) -> None:
    def ids(seed: int, name: str) -> tuple[str, ...]:
        result = draw(layer, "-n", 50, "--least", 1, "--seed", seed, "-o", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        return read_sample(tmp_path / name).tile_ids

    first = ids(1, "a.gpkg")
    with closing(sqlite3.connect(layer)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE tiles SET fid = -fid")
    assert ids(1, "b.gpkg") == first != ids(2, "c.gpkg")


@pytest.mark.parametrize(("design", "drawn"), [("random", 100), ("systematic", 100)])
def test_designs_without_strata(layer: Path, tmp_path: Path, design: str, drawn: int) -> None:
    result = draw(layer, "--design", design, "-n", 100, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 0, result.stderr
    (one,) = read_sample(tmp_path / "s.gpkg").design.strata
    assert (one.name, one.tiles, one.drawn) == ("all", 400, drawn)


def test_excluded_tiles_and_distances(layer: Path, tmp_path: Path) -> None:
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    train = tiles[tiles["row"] < 10][["geometry"]].to_crs(4326)
    train.geometry = train.geometry.buffer(-1e-7)
    train.to_file(tmp_path / "train.gpkg")
    side = tiles.geometry.iloc[0].area ** 0.5
    args = ["--exclude", tmp_path / "train.gpkg", "--per-class", 500, "--min-distance", 2.5 * side]
    result = draw(layer, *args, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 0 and "200 tiles were wanted; --min-distance" in result.stderr, result.stderr
    found = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="sample")
    assert found["row"].min() >= 10 and read_sample(tmp_path / "s.gpkg").design.excluded == 200
    centres = np.array([(point.x, point.y) for point in found.geometry.centroid])
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(len(centres), 1)]
    assert apart.min() >= 2.5 * side * 0.99


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--by", "colour"], "no column colour"),
        (["--by", "confidence"], "neither texts nor whole numbers"),
        (["--size", "lake=3"], "no stratum has this name"),
        (["--size", "lake"], "not a stratum and a number"),
        (["-n", 3, "--per-class", 2], "all say how many tiles"),
        (["--design", "random", "--per-class", 2], "has no strata"),
        (["--design", "systematic", "--min-distance", 5], "distance of its own"),
        (["--exclude", "none.gpkg"], "none.gpkg not found"),
    ],
)
def test_errors(layer: Path, args: list[Any], message: str) -> None:
    result = draw(layer, *args)
    assert result.exit_code == 2 and message in result.stderr and "hint:" in result.stderr
    assert not layer.with_name("out_sample.gpkg").exists()
