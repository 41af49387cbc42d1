"""The loop of search, accept and reject, search again or finetune, classify, from outside."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.provenance import read_run
from tests.conftest import NORTH_UP
from tests.found import edited, judge

SIDE = 8
# Of 64 tiles of 16 pixels, every third is bright and striped; of the others some are grey and the rest dark.
WANTED = {(row, col) for row in range(SIDE) for col in range(SIDE) if (row + 2 * col) % 3 == 0}


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def tile_id(row: int, col: int) -> str:
    return f"scene/{row}/{col}"


IDS = {tile_id(*place) for place in WANTED}


@pytest.fixture(scope="module")
def classified(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scene.tif, labels.txt and the layer out.gpkg, with features."""
    folder = tmp_path_factory.mktemp("classified")
    random = np.random.default_rng(0)
    pixels = random.normal(70, 12, (3, 16 * SIDE, 16 * SIDE))
    for row in range(SIDE):
        for col in range(SIDE):
            window = pixels[:, 16 * row : 16 * row + 16, 16 * col : 16 * col + 16]
            if (row, col) in WANTED:
                window += np.where(np.arange(16) % 4 < 2, 150, 60)
            elif (row + col) % 2:
                window += 60
    profile = {"count": 3, "height": 16 * SIDE, "width": 16 * SIDE, "crs": "EPSG:32618", "transform": NORTH_UP}
    with rasterio.open(folder / "scene.tif", "w", driver="GTiff", dtype="uint8", **profile) as dataset:
        dataset.write(np.clip(pixels, 1, 255).astype(np.uint8))
    (folder / "labels.txt").write_text("forest\nriver\nport\n")
    how = ("-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 16, "--no-captions", "--keep-features")
    result = bimors("classify", "scene.tif", *how, "-o", "out.gpkg", cwd=folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def folder(classified: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classified, tmp_path / "work"))


def found(path: Path) -> list[str]:
    layer = geopandas.read_file(path, layer="found").sort_values("rank")
    return [str(name) for name in layer["tile_id"]]


def search(folder: Path, *args: object) -> Result:
    result = bimors("search", "out.gpkg", *args, cwd=folder)
    assert result.exit_code == 0, result.stderr
    return result


def test_from_a_search_to_a_map(folder: Path, tiny_bundle: Bundle) -> None:
    """Search, accept, finetune, classify: the tiles that were accepted and others of their kind get the class."""
    search(folder, "--like", tile_id(0, 0), "--as", "solar farm", "--top", 60, "-o", "found.gpkg")
    judge(folder / "found.gpkg", {name: int(name in IDS) for name in found(folder / "found.gpkg")[::2]})
    result = bimors("finetune", "found.gpkg", "--model", tiny_bundle.folder, "-o", "solar", cwd=folder)
    assert (result.exit_code, result.stdout) == (0, "solar\n"), result.stderr
    shown = json.loads(bimors("adapters", "show", "solar", "--json", cwd=folder).stdout)
    assert shown["labels"] == ["solar farm", "other"]
    (folder / "solar.txt").write_text("solar farm\nother\n")
    how = ("-l", "solar.txt", "--model", tiny_bundle.folder, "--adapter", "solar", "--tile-size", 16)
    result = bimors("classify", "scene.tif", *how, "-o", "map.gpkg", cwd=folder)
    assert result.exit_code == 0, result.stderr
    label = geopandas.read_file(folder / "map.gpkg", layer="tiles").set_index("tile_id")["label"]
    correct = [(label[name] == "solar farm") == (name in IDS) for name in label.index]
    assert len(label) == SIDE * SIDE and np.mean(correct) > 0.95


def test_judgements_as_a_program_writes_them(folder: Path, tiny_bundle: Bundle) -> None:
    """pyogrio rewrites the whole layer in place; the provenance stays."""
    search(folder, "--like", tile_id(0, 0), "--as", "solar farm", "-o", "found.gpkg")
    frame = pyogrio.read_dataframe(folder / "found.gpkg", layer="found")
    frame["accept"] = frame["tile_id"].isin(IDS).astype(int)
    metadata = pyogrio.read_info(folder / "found.gpkg", layer="found")["layer_metadata"]
    pyogrio.write_dataframe(frame, folder / "found.gpkg", layer="found", layer_metadata=metadata)
    result = bimors("finetune", "found.gpkg", "--model", tiny_bundle.folder, "-o", "solar", cwd=folder)
    assert result.exit_code == 0, result.stderr


def test_search_again_from_what_was_judged(folder: Path) -> None:
    search(folder, "--like", tile_id(0, 0), "--as", "solar farm", "--top", 12, "-o", "found.gpkg")
    first = found(folder / "found.gpkg")
    judge(folder / "found.gpkg", {first[0]: 1, first[1]: 1, first[2]: 0})
    asked = ["--like", tile_id(0, 0), "--like", first[0], "--like", first[1], "--unlike", first[2], "--json"]
    wanted = json.loads(search(folder, *asked).stdout)
    assert json.loads(search(folder, "--from", "found.gpkg", "--json").stdout) == wanted
    search(folder, "--from", "found.gpkg", "-o", "again.gpkg")
    run = read_run(folder / "again.gpkg", "found")
    assert (run.like, run.unlike) == ((tile_id(0, 0), first[0], first[1]), (first[2],))
    assert run.accepted_as == "solar farm"  # as in the layer before
    again = found(folder / "again.gpkg")
    assert not {tile_id(0, 0), *first[:3]} & set(again)
    judge(folder / "again.gpkg", {again[0]: 1})
    # What the first search was given and what was judged in it counts in the third one too.
    search(folder, "--from", "again.gpkg", "--as", "roof", "-o", "third.gpkg")
    run = read_run(folder / "third.gpkg", "found")
    assert (run.like, run.unlike) == ((tile_id(0, 0), first[0], first[1], again[0]), (first[2],))
    assert run.accepted_as == "roof"


def test_rejections_alone_are_enough_for_tiles(folder: Path) -> None:
    search(folder, "--like", tile_id(0, 0), "-o", "found.gpkg")
    worst = found(folder / "found.gpkg")[-1]
    judge(folder / "found.gpkg", {worst: 0})
    hits = json.loads(search(folder, "--from", "found.gpkg", "--json").stdout)
    assert worst not in [hit["tile_id"] for hit in hits] and hits == json.loads(
        search(folder, "--like", tile_id(0, 0), "--unlike", worst, "--json").stdout
    )


def refused(folder: Path, *args: object) -> tuple[str, str]:
    result = bimors(*args, cwd=folder)
    assert result.exit_code == 2 and result.stdout == "", result.stderr
    error, hint = result.stderr.strip().splitlines()
    assert error.startswith("error: ") and hint.startswith("hint: ")
    return error, hint


def test_what_cannot_be_searched_again(folder: Path, tiny_bundle: Bundle) -> None:
    search(folder, "river", "--model", tiny_bundle.folder, "-o", "found.gpkg")
    error, hint = refused(folder, "search", "out.gpkg", "--from", "found.gpkg")
    assert "found.gpkg: no tile is accepted" in error and "accept to yes" in hint
    first, second, *_ = found(folder / "found.gpkg")
    judge(folder / "found.gpkg", {first: 1})
    error, hint = refused(folder, "search", "out.gpkg", "--from", "found.gpkg", "--unlike", first)
    assert f"the tile {first} is both" in error
    search(folder, "--like", second, "--as", "pond", "-o", "other.gpkg")
    both = ("--from", "found.gpkg", "--from", "other.gpkg")
    error, hint = refused(folder, "search", "out.gpkg", *both, "-o", "x.gpkg")
    assert "several classes: pond, river" in error and "--as NAME" in hint
    search(folder, *both, "--as", "pond", "-o", "x.gpkg")
    error, hint = refused(folder, "search", "out.gpkg", "--from", "x.gpkg", "--overwrite", "-o", "x.gpkg")
    assert "x.gpkg is read with --from" in error and "another -o" in hint
    error, hint = refused(folder, "search", "found.gpkg", "--like", second)
    assert "no layer of bimors classify" in error


def test_a_search_of_other_tiles_is_refused(folder: Path, tiny_bundle: Bundle) -> None:
    search(folder, "--like", tile_id(0, 0), "-o", "found.gpkg")
    judge(folder / "found.gpkg", {tile_id(3, 0): 1})
    how = ("-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 32, "--no-captions", "--keep-features")
    assert bimors("classify", "scene.tif", *how, "-o", "coarse.gpkg", cwd=folder).exit_code == 0
    error, _ = refused(folder, "search", "coarse.gpkg", "--from", "found.gpkg")
    assert "found.gpkg and coarse.gpkg have different tiles of the scene scene.tif" in error


def test_what_cannot_be_learned(folder: Path, tiny_bundle: Bundle) -> None:
    search(folder, "--like", tile_id(0, 0), "-o", "found.gpkg")
    how = ("--model", tiny_bundle.folder, "-o", "solar")
    error, hint = refused(folder, "finetune", "found.gpkg", *how)
    assert "does not say of what class" in error and "--as NAME" in hint
    error, hint = refused(folder, "finetune", "found.gpkg", "--as", "solar farm", *how)
    assert "no tile of found is accepted" in error and "accept tiles in QGIS" in hint
    judge(folder / "found.gpkg", {tile_id(3, 0): 1})
    error, hint = refused(folder, "finetune", "found.gpkg", "--as", "solar farm", *how)
    assert "only the class 'solar farm' found" in error and "reject some tiles" in hint
    error, hint = refused(folder, "finetune", "out.gpkg", "--as", "solar farm", *how)
    assert "--as has no effect with out.gpkg" in error and "bimors search" in hint
    judge(folder / "found.gpkg", {tile_id(0, 1): 0})
    with edited(folder / "found.gpkg") as database:
        database.execute("UPDATE gpkg_metadata SET metadata = replace(metadata, 'scene.tif', 'gone.tif')")
    error, hint = refused(folder, "finetune", "found.gpkg", "--as", "solar farm", *how)
    assert "gone.tif: the scene of found.gpkg does not exist" in error and "restore it" in hint
