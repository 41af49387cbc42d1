"""`bimors change` from outside: layers with known changes, and what must be refused or warned of."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli.cli.main import app
from bimors_cli.labels import Labels
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]

NAMES = ("forest", "field", "water")
SIDE, TILE = 20, 8  # tiles a side of the scene, pixels a side of a tile
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_600_000)

Table = npt.NDArray[np.float64]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["change", *map(str, args)])


def answers(table: Table, digits: int = 6) -> Callable[[int], dict[str, Any]]:
    """Fields of tile results with these probabilities [n, K]; a row of NaN is nodata."""

    def answer(index: int) -> dict[str, Any]:
        if np.isnan(table[index, 0]):
            return {"reason": "nodata"}
        order = np.argsort(-table[index], kind="stable")[:2]
        return {
            "ranking": tuple((int(one), round(float(table[index, one]), 4)) for one in order),
            "probabilities": tuple(np.round(table[index], digits).tolist()),
        }

    return answer


@pytest.fixture(scope="module")
def truth() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Classes of 400 tiles at two dates: every fourth tile of forest became water."""
    before = np.arange(SIDE * SIDE) % 3
    after = np.where((before == 0) & (np.arange(SIDE * SIDE) % 4 == 0), 2, before)
    return before, after


def soft(classes: npt.NDArray[np.intp], seed: int) -> Table:
    """Calibrated answers: normally distributed around corners of a triangle."""
    corners = np.array([(0.0, 0.0), (5.0, 0.0), (0.0, 5.0)])
    seen = corners[classes] + np.random.default_rng(seed).normal(size=(len(classes), 2))
    logs = -((seen[:, None] - corners) ** 2).sum(axis=2) / 2
    found = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@pytest.fixture
def two(
    make_raster: MakeRaster, make_layer: MakeLayer, truth: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
) -> Callable[..., tuple[Path, Path]]:
    """A function that makes the layers before and after; ``after`` changes options and the scene of the second."""

    def make(
        first: Table | None = None,
        second: Table | None = None,
        *,
        labels: tuple[str, ...] = NAMES,
        transform: Affine = NORTH_UP,
        crs: str = "EPSG:32633",
        size: int = SIDE * TILE,
        tile: int = TILE,
        probabilities: bool = True,
        **kw: Any,
    ) -> tuple[Path, Path]:
        noise = np.random.default_rng(5).integers(1, 255, (3, SIDE * TILE, SIDE * TILE), dtype=np.uint8)
        one = make_raster(noise, name="y2014.tif", transform=NORTH_UP, crs="EPSG:32633")
        other = make_raster(noise[:, :size, :size], name="y2018.tif", transform=transform, crs=crs)
        table = soft(truth[0], 1) if first is None else first
        then = soft(truth[1], 2) if second is None else second
        a = make_layer(
            str(one),
            labels=Labels.of(list(NAMES)),
            answer=answers(table),
            name="a.gpkg",
            tile_size=str(TILE),
            probabilities=probabilities,
            overwrite=True,
        )
        b = make_layer(
            str(other),
            labels=Labels.of(list(labels)),
            answer=answers(then),
            name="b.gpkg",
            tile_size=str(tile),
            probabilities=probabilities,
            overwrite=True,
            **kw,
        )
        return a, b

    return make


Two = Callable[..., tuple[Path, Path]]


def test_changes_are_found_with_their_areas(two: Two, truth: Any, tmp_path: Path) -> None:
    a, b = two()
    result = run(a, b, "-o", tmp_path / "c.gpkg", "--matrix", tmp_path / "m.csv", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    layer = pyogrio.read_dataframe(tmp_path / "c.gpkg", layer="change")
    assert list(layer["tile_id"]) == [f"y2014/{row}/{col}" for row in range(SIDE) for col in range(SIDE)]
    changed = truth[0] != truth[1]
    called = (layer["stratum"] == "change").to_numpy()
    assert called[changed].mean() > 0.9 and not called[~changed].any()
    assert set(layer.loc[called, "transition"]) == {"forest → water"} and layer.loc[~called, "transition"].isna().all()
    assert list(layer["label_before"]) == [NAMES[one] for one in soft(truth[0], 1).argmax(axis=1)]
    assert list(layer["label_after"]) == [NAMES[one] for one in soft(truth[1], 2).argmax(axis=1)]
    p = layer["change_probability"].to_numpy()
    assert ((p >= 0.95) == called).all() and ((p <= 0.05) == (layer["stratum"] == "no change")).all()
    assert list(layer["label"]) == np.where(p >= 0.5, "change", "no change").tolist()
    assert layer["confidence"].to_numpy() == pytest.approx(np.maximum(p, 1 - p), abs=1e-4)
    # A tile of 80 m has 0.64 ha.
    expected = np.array(found["transitions"]["expected_ha"])
    true = np.zeros((3, 3))
    np.add.at(true, truth, 0.64)
    assert expected.sum() == pytest.approx(256) and expected == pytest.approx(true, abs=1.5)
    assert found["change_ha"] == pytest.approx(expected.sum() - np.trace(expected))
    assert sum(found["tiles"].values()) == 400 and sum(found["hectares"].values()) == pytest.approx(256)
    assert np.sum(found["transitions"]["called_ha"]) == pytest.approx(256 - found["hectares"]["doubtful"])
    with (tmp_path / "m.csv").open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == [row[0] for row in rows] == list(NAMES)
    assert np.array([row[1:] for row in rows], float) == pytest.approx(expected, abs=1e-3)


def test_labels_that_differ_are_no_change_where_the_answers_are_doubtful(two: Two, tmp_path: Path) -> None:
    """Of 400 tiles nothing changed, but a third of the labels flip with errors of the answers."""
    classes = np.arange(SIDE * SIDE) % 3
    corners = np.array([(0.0, 0.0), (1.5, 0.0), (0.0, 1.5)])
    tables = []
    for seed in (1, 2):
        seen = corners[classes] + np.random.default_rng(seed).normal(size=(len(classes), 2))
        weights = np.exp(-((seen[:, None] - corners) ** 2).sum(axis=2) / 2)
        tables.append(weights / weights.sum(axis=1, keepdims=True))
    flipped = (tables[0].argmax(axis=1) != tables[1].argmax(axis=1)).mean()
    a, b = two(*tables)
    found = json.loads(run(a, b, "-o", tmp_path / "c.gpkg", "--json").stdout)
    assert flipped > 0.3 and found["tiles"]["change"] <= 0.05 * 400


def test_the_layers_exchanged(two: Two, tmp_path: Path) -> None:
    a, b = two()
    forth = json.loads(run(a, b, "-o", tmp_path / "c.gpkg", "--json").stdout)
    back = json.loads(run(b, a, "-o", tmp_path / "d.gpkg", "--json").stdout)
    assert (
        pytest.approx(np.array(forth["transitions"]["expected_ha"])) == np.array(back["transitions"]["expected_ha"]).T
    )
    assert back["tiles"] == forth["tiles"]


def test_a_sample_of_the_changes_gives_their_area_with_an_interval(two: Two, truth: Any, tmp_path: Path) -> None:
    a, b = two()
    out, sample = tmp_path / "c.gpkg", tmp_path / "s.gpkg"
    assert run(a, b, "-o", out).exit_code == 0
    drawn = CliRunner().invoke(app, ["sample", str(out), "--by", "stratum", "--per-class", "25", "-o", str(sample)])
    assert drawn.exit_code == 0, drawn.stderr
    changed = {f"y2014/{i // SIDE}/{i % SIDE}": truth[0][i] != truth[1][i] for i in range(SIDE * SIDE)}
    with closing(sqlite3.connect(sample)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for (tile,) in database.execute("SELECT tile_id FROM sample").fetchall():
            answer = "change" if changed[tile] else "no change"
            database.execute("UPDATE sample SET reference = ? WHERE tile_id = ?", (answer, tile))
    result = CliRunner().invoke(app, ["evaluate", str(sample), "--json"])
    assert result.exit_code == 0, result.stderr
    area = json.loads(result.stdout)["classes"]["change"]
    true = 0.64 * sum(changed.values())
    assert abs(area["area_ha"] - true) <= max(1.96 * area["area_se_ha"], 0.7)


def test_tiles_without_data_at_one_date_are_not_compared(two: Two, truth: Any, tmp_path: Path) -> None:
    table = soft(truth[1], 2)
    table[:10] = np.nan
    a, b = two(None, table)
    result = run(a, b, "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 0 and "10 tiles have no answer at one of the dates" in result.stderr
    layer = pyogrio.read_dataframe(tmp_path / "c.gpkg", layer="change")
    nothing = layer[layer["row"].eq(0) & layer["col"].lt(10)]
    assert len(layer) == 400 and len(nothing) == 10 and set(nothing["reason"]) == {"nodata"}
    for column in ("label", "stratum", "change_probability", "label_after"):
        assert nothing[column].isna().all()
    assert nothing["label_before"].notna().all()


def test_a_corrected_label_is_certain(two: Two, truth: Any, tmp_path: Path) -> None:
    a, b = two()
    tile = int(np.flatnonzero((truth[0] == 1) & (truth[1] == 1))[0])
    with closing(sqlite3.connect(b)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        place = (tile // SIDE, tile % SIDE)
        database.execute("UPDATE tiles SET label = 'water' WHERE row = ? AND col = ?", place)
    assert run(a, b, "-o", tmp_path / "c.gpkg").exit_code == 0
    row = pyogrio.read_dataframe(tmp_path / "c.gpkg", layer="change").iloc[tile]
    assert row["label_after"] == "water" and np.isnan(row["confidence_after"])
    assert row["stratum"] != "no change" and row["change_probability"] > 0.5


def test_other_orders_of_labels_and_rows_make_no_difference(two: Two, truth: Any, tmp_path: Path) -> None:
    a, b = two()
    assert run(a, b, "-o", tmp_path / "c.gpkg").exit_code == 0
    order = [2, 0, 1]
    a, b = two(None, soft(truth[1], 2)[:, order], labels=tuple(NAMES[one] for one in order))
    with closing(sqlite3.connect(b)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE tiles SET fid = -fid")
    assert run(a, b, "-o", tmp_path / "d.gpkg").exit_code == 0
    one, other = (pyogrio.read_dataframe(tmp_path / name, layer="change") for name in ("c.gpkg", "d.gpkg"))
    assert one.drop(columns="geometry").equals(other.drop(columns="geometry"))


def test_ranked_labels_of_all_but_one_are_enough(two: Two, tmp_path: Path) -> None:
    a, b = two(probabilities=False)  # two of three labels are ranked
    result = run(a, b, "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 0, result.stderr
    assert (pyogrio.read_dataframe(tmp_path / "c.gpkg", layer="change")["stratum"] == "change").sum() > 25


@pytest.mark.parametrize(("shift", "warned"), [(0, False), (TILE, False), (0.15 * TILE, True), (-1.2 * TILE, True)])
def test_shifted_grids(two: Two, tmp_path: Path, shift: float, warned: bool) -> None:
    """A grid that is shifted by whole tiles is the same grid; by a part of a tile it is matched with a warning."""
    a, b = two(transform=NORTH_UP @ Affine.translation(shift, 0))
    result = run(a, b, "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 0, result.stderr
    assert ("are shifted by" in result.stderr) == warned
    if warned:
        length = abs(shift - TILE * round(shift / TILE))
        assert f"{length / TILE:.2f} tiles ({10 * length:,.3g} m)" in result.stderr
    layer = pyogrio.read_dataframe(tmp_path / "c.gpkg", layer="change")
    assert len(layer) == SIDE * (SIDE - abs(round(shift / TILE)))
    first = pyogrio.read_dataframe(a, layer="tiles").set_index("tile_id")
    assert list(layer["label_before"]) == list(first.loc[layer["tile_id"], "label"])


@pytest.mark.parametrize(
    ("kw", "message", "hint"),
    [
        ({"transform": NORTH_UP @ Affine.translation(TILE / 2, 0)}, "0.50 tiles (40 m)", "rio warp y2018.tif"),
        ({"transform": NORTH_UP @ Affine.scale(1.5)}, "different sizes or orientations", "--like y2014.tif"),
        ({"transform": NORTH_UP @ Affine.rotation(90)}, "different sizes or orientations", "--like y2014.tif"),
        ({"tile": 2 * TILE}, "different sizes or orientations", "--like y2014.tif"),
        ({"crs": "EPSG:32634"}, "different CRS", "rio warp"),
        ({"transform": NORTH_UP @ Affine.translation(5000, 0)}, "do not overlap", "the same place"),
        ({"labels": ("forest", "field", "lake")}, "different labels: 'water', 'lake'", "same labels file"),
    ],
)
def test_layers_that_cannot_be_compared(two: Two, tmp_path: Path, kw: dict[str, Any], message: str, hint: str) -> None:
    a, b = two(**kw)
    result = run(a, b, "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 2 and message in result.stderr, result.stderr
    assert hint in result.stderr.split("hint:")[1] and not (tmp_path / "c.gpkg").exists()


def test_other_refusals(two: Two, make_layer: MakeLayer, truth: Any, tmp_path: Path) -> None:
    a, b = two()
    out = tmp_path / "c.gpkg"
    assert run(a, b, "-o", out).exit_code == 0
    four = make_layer(
        str(tmp_path / "y2014.tif"), labels=Labels.of([*NAMES, "town"]), name="four.gpkg", tile_size=str(TILE)
    )
    for args, message in (
        ((a, b, "-o", out), "exists"),
        ((a, a, "-o", tmp_path / "d.gpkg"), "are the same layer"),
        ((a, b, "-o", a), "is one of the layers"),
        ((a, b, "-o", tmp_path / "d.tif"), "writes a GeoPackage"),
        ((a, b, "-o", tmp_path / "d.gpkg", "--max-false", "60%"), "above 0 and below 50%"),
        ((a, b, "-o", tmp_path / "d.gpkg", "--max-false", "few"), "not a fraction"),
        ((out, b, "-o", tmp_path / "d.gpkg"), "is not a layer of labels"),
        ((four, b, "-o", tmp_path / "d.gpkg"), "holds 2 of the probabilities of its 4 labels"),
        ((a, b), "Missing option"),
    ):
        result = run(*args)
        assert result.exit_code == 2 and message in result.stderr, (message, result.stderr)
    nothing = np.full((SIDE * SIDE, 3), np.nan)
    nothing[0] = 1 / 3
    other = soft(truth[0], 1)
    other[0] = np.nan
    result = run(*two(other, nothing), "-o", tmp_path / "d.gpkg")
    assert result.exit_code == 2 and "no tile has an answer in both layers" in result.stderr
    assert not list(tmp_path.glob(".bimors_change_*"))


def test_a_layer_of_changes_is_no_source_of_examples(two: Two, tmp_path: Path) -> None:
    a, b = two()
    assert run(a, b, "-o", tmp_path / "c.gpkg").exit_code == 0
    result = CliRunner().invoke(app, ["finetune", str(tmp_path / "c.gpkg"), "-o", str(tmp_path / "adapter")])
    assert result.exit_code == 2 and "says whether tiles changed" in result.stderr


def test_differences_that_are_not_change_are_told(two: Two, make_raster: MakeRaster, tmp_path: Path) -> None:
    a, b = two(priors=None, refine=None)
    quiet = run(a, b, "-o", tmp_path / "c.gpkg")
    assert "warning" not in quiet.stderr
    # The same grid with brighter pixels, of a later date; then of another data type.
    with rasterio.open(tmp_path / "y2018.tif", "r+") as scene:
        scene.write(np.clip(scene.read().astype(int) // 3 + 160, 0, 255).astype(np.uint8))
        scene.update_tags(TIFFTAG_DATETIME="2014:07:01 10:00:00")
    with rasterio.open(tmp_path / "y2014.tif", "r+") as scene:
        scene.update_tags(TIFFTAG_DATETIME="2018:07:01 10:00:00")
    result = run(a, b, "-o", tmp_path / "d.gpkg")
    assert "the brightness of y2018.tif differs" in result.stderr and "band 1 by +" in result.stderr
    assert "exchange the two layers" in result.stderr
    with rasterio.open(tmp_path / "y2018.tif") as scene:
        pixels, transform = scene.read(), scene.transform
    (tmp_path / "y2018.tif").unlink()
    make_raster(pixels.astype(np.uint16), name="y2018.tif", transform=transform, crs="EPSG:32633")
    result = run(a, b, "-o", tmp_path / "e.gpkg")
    assert "are of different sensors" in result.stderr and "uint8" in result.stderr and "uint16" in result.stderr
    (tmp_path / "y2018.tif").unlink()
    result = run(a, b, "-o", tmp_path / "f.gpkg")
    assert "y2018.tif was not found" in result.stderr
    metadata = pyogrio.read_info(tmp_path / "f.gpkg", layer="change")["layer_metadata"]
    assert "y2018.tif was not found" in metadata["bimors_warnings"]


def test_a_displaced_image_is_told(two: Two, tmp_path: Path) -> None:
    """The georeference says that the grids are equal, but the second image shows the ground half a tile to the left."""
    random = np.random.default_rng(1)
    field = gaussian_filter(random.normal(size=(2 * SIDE, 2 * SIDE + 2)), 2.0) > 0

    def table(start: int) -> Table:
        part = field[:, start : start + 2 * SIDE].reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)).ravel()
        share = np.clip(0.05 + 0.9 * part + 0.03 * random.normal(size=part.size), 0.01, 0.98)
        return np.asarray(np.stack([share, 0.99 - share, np.full(share.size, 0.01)], axis=1))

    result = run(*two(table(0), table(0)), "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 0 and "seems displaced" not in result.stderr
    result = run(*two(table(0), table(1)), "-o", tmp_path / "d.gpkg")
    assert result.exit_code == 0 and "displaced by -0.5 tiles to the right and +0.0 tiles down" in result.stderr


def test_different_models_are_told(two: Two, truth: Any, tmp_path: Path) -> None:
    a, b = two(refine="transductive")
    result = run(a, b, "-o", tmp_path / "c.gpkg")
    assert result.exit_code == 0 and "made with different values of --refine" in result.stderr, result.stderr


def test_the_function_of_the_package(two: Two, tmp_path: Path) -> None:
    a, b = two()
    found = bimors_cli.change(a, b, tmp_path / "c.gpkg", bimors_cli.ChangeOptions(max_false="1%"))
    assert found.path == tmp_path / "c.gpkg" and found.max_false == 0.01 and found.tiles["change"] > 20
    assert found.false_change <= 0.01 and found.false_no_change <= 0.01


def test_a_shifted_scene_of_several_in_one_layer(
    make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    """A mosaic of two scenes against one scene that covers both."""
    table = soft(np.arange(SIDE * SIDE) % 3, 1)
    noise = np.random.default_rng(5).integers(1, 255, (3, SIDE * TILE, SIDE * TILE), dtype=np.uint8)
    whole = make_raster(noise, name="whole.tif", transform=NORTH_UP, crs="EPSG:32633")
    half = SIDE * TILE // 2
    left = make_raster(noise[:, :, :half], name="left.tif", transform=NORTH_UP, crs="EPSG:32633")
    right = make_raster(
        noise[:, :, half:], name="right.tif", transform=NORTH_UP @ Affine.translation(half, 0), crs="EPSG:32633"
    )
    labels = Labels.of(list(NAMES))
    kw: dict[str, Any] = {"labels": labels, "tile_size": str(TILE), "probabilities": True}
    a = make_layer(str(left), str(right), name="a.gpkg", answer=answers(table), **kw)
    b = make_layer(str(whole), name="b.gpkg", answer=answers(table), **kw)
    assert run(a, b, "-o", tmp_path / "c.gpkg").exit_code == 0
    assert run(b, a, "-o", tmp_path / "d.gpkg").exit_code == 0
    forth, back = (pyogrio.read_dataframe(tmp_path / name, layer="change") for name in ("c.gpkg", "d.gpkg"))
    assert len(forth) == len(back) == SIDE * SIDE and set(forth["scene"]) == {"left.tif", "right.tif"}
    assert forth["label_after"].notna().all() and back["label_after"].notna().all()
    assert forth.geometry.union_all().equals(back.geometry.union_all())
