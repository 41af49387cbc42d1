"""`bimors sample` from outside."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli import SampleOptions
from bimors_cli.cli.main import app
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.labels import Labels
from tests.conftest import NORTH_UP, MakeRaster
from tests.layers import MakeLayer, in_turn, make_layer

__all__ = ["make_layer"]

KINDS = ("gpkg", "csv", "kml")


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
        (["--expect", "lake=0.3"], "--expect lake: no stratum has this name"),
        (["--expect", "river=1.5"], "not an accuracy from 0.01 to 0.99"),
        (["--expect", "0.5", "--expect", "0.6"], "a second value of the same stratum"),
        (["--size", "river=0"], "no area can be estimated"),
        (["--csv", "s.csv", "--kml", "s.csv"], "two outputs are one file"),
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


def strata(path: Path) -> dict[str, tuple[int, int]]:
    return {one.name: (one.tiles, one.drawn) for one in read_sample(path).design.strata}


def test_the_size_for_a_standard_error(layer: Path, tmp_path: Path) -> None:
    args = ("--target-se", 0.05, "--expect", 0.9, "--expect", "river=0.6", "--least", 1, "-o", tmp_path / "s.gpkg")
    result = draw(layer, *args)
    # (0.3 x 0.3 + 0.3 x 0.49 + 0.3 x 0.3 + 0.1 x 0.3)^2 / 0.05^2 = 50.9
    assert result.exit_code == 0 and sum(n for _, n in strata(tmp_path / "s.gpkg").values()) == 51, result.stderr
    promised = re.search(r"accuracy: (0\.\d+), if the user's accuracies are river 0.6, others 0.9", result.stderr)
    assert promised is not None and 0.04 < float(promised.group(1)) < 0.05  # 51 of 400 tiles is a large part


def test_the_expected_error_of_given_sizes(layer: Path, tmp_path: Path) -> None:
    summary = bimors_cli.sample(layer, tmp_path / "s.gpkg", SampleOptions(design="random", tiles=100))
    assert summary.expected_se == pytest.approx((0.75 * 0.16 / 100) ** 0.5)
    assert (summary.path, summary.drawn, summary.wanted) == (tmp_path / "s.gpkg", 100, 100)
    assert summary.design == read_sample(summary.path).design


def test_strata_of_whole_numbers(layer: Path, tmp_path: Path) -> None:
    result = draw(layer, "--by", "row", "-n", 60, "--least", 2, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 0, result.stderr
    assert strata(tmp_path / "s.gpkg") == {str(row): (20, 3) for row in range(20)}
    drawn = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="sample")
    assert read_sample(tmp_path / "s.gpkg").strata == tuple(map(str, drawn["row"]))


def test_one_tile_of_a_stratum_is_reported(layer: Path, tmp_path: Path) -> None:
    result = draw(layer, "-n", 40, "--size", "river=1", "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 0 and "one tile only is drawn of river" in result.stderr
    assert "one tile only" not in draw(layer, "-n", 40, "-o", tmp_path / "t.gpkg").stderr


def test_a_distance_that_leaves_a_stratum_empty_is_refused(layer: Path, tmp_path: Path) -> None:
    result = draw(layer, "-n", 40, "--min-distance", 100_000, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 2 and "left no tile of the stratum" in result.stderr and "areas" in result.stderr
    assert not (tmp_path / "s.gpkg").exists()


def test_labels_are_shown_on_demand(layer: Path, tmp_path: Path) -> None:
    files = ("-o", tmp_path / "s.gpkg", "--csv", tmp_path / "s.csv", "--kml", tmp_path / "s.kml")
    result = draw(layer, "-n", 40, "--show-label", *files)
    assert (result.exit_code, result.stdout.split()) == (0, [str(tmp_path / f"s.{kind}") for kind in KINDS])
    drawn = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="sample")
    mapped = [None if value != value else value for value in drawn["map_label"].tolist()]
    assert tuple(mapped) == read_sample(tmp_path / "s.gpkg").mapped
    header, *rows = (tmp_path / "s.csv").read_text().splitlines()
    assert header.endswith(",map_label") and [row.rpartition(",")[2] or None for row in rows] == mapped
    with closing(sqlite3.connect(tmp_path / "s.gpkg")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert "bimors_predictions" not in tables  # finetune would learn from changes


def test_tiles_of_several_scenes(make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (3, 80, 80), dtype=np.uint8)
    east = NORTH_UP @ Affine.translation(80, 0)
    places = {"a.tif": NORTH_UP, "b.tif": east}
    scenes = [make_raster(pixels, name=name, transform=place) for name, place in places.items()]
    layer = make_layer(*scenes, tile_size="8", name="two.gpkg")
    for design in ("random", "systematic"):
        result = draw(layer, "--design", design, "-n", 100, "-o", tmp_path / f"{design}.gpkg")
        assert result.exit_code == 0, result.stderr
        drawn = pyogrio.read_dataframe(tmp_path / f"{design}.gpkg", layer="sample")
        assert set(drawn["scene"]) == {"a.tif", "b.tif"} and drawn["tile_id"].is_unique
        assert ((drawn.geometry.centroid.x > east.c) == (drawn["scene"] == "b.tif")).all()
        around = pyogrio.read_dataframe(tmp_path / f"{design}.gpkg", layer="neighbours")
        assert len(around) and not set(around["tile_id"]) & set(drawn["tile_id"])


def test_tiles_without_data_are_not_drawn(make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 80, 80), dtype=np.uint8))
    reasons = ("nodata", "read_error", "model_error", "outside_aoi", "unlike_examples")
    labels = Labels.of(["forest", "river", "harbour"])

    def answer(index: int) -> dict[str, Any]:
        return {"reason": reasons[index % 10]} if index % 10 < 5 else in_turn(labels)(index)

    layer = make_layer(str(scene), tile_size="8", keep_empty=True, answer=answer)
    result = draw(layer, "--per-class", 100, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 0 and sum(tiles for tiles, _ in strata(tmp_path / "s.gpkg").values()) == 60
    columns = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="sample")["col"]
    assert set(columns) == {4, 5, 6, 7, 8, 9}
    # They are around, to see where a tile is.
    everything = draw(layer, "--per-class", 3, "-o", tmp_path / "t.gpkg")
    assert everything.exit_code == 0
    assert set(pyogrio.read_dataframe(tmp_path / "t.gpkg", layer="neighbours")["col"]) & {0, 1, 2, 3}


def test_tiles_whose_area_is_unknown_are_refused(layer: Path, tmp_path: Path) -> None:
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    with closing(sqlite3.connect(layer)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        (blob,) = database.execute("SELECT geom FROM tiles WHERE fid = 1").fetchone()
        flat = shapely.Polygon([(500_000, 4_600_000)] * 4)
        # The header of 40 bytes stays: flags, SRS and bounds.
        database.execute("UPDATE tiles SET geom = ? WHERE fid = 1", (blob[:40] + shapely.to_wkb(flat),))
    result = draw(layer, "-n", 40, "-o", tmp_path / "s.gpkg")
    assert result.exit_code == 2 and f"that of {tiles['tile_id'][0]} at (500000" in result.stderr, result.stderr
    assert "area of 1 tiles is unknown" in result.stderr


def test_torch_is_not_imported(layer: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from bimors_cli.cli.main import app;"
        f"app(['sample', {str(layer)!r}, '-n', '40', '-o', {str(tmp_path / 's.gpkg')!r}], standalone_mode=False);"
        "assert not {'torch', 'transformers', 'open_clip'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
