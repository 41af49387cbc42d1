"""`bimors classify --keep-features` and `bimors search` from outside."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import torch
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import CLIP, Bundle
from bimors_cli.cli import search
from bimors_cli.cli.main import app
from bimors_cli.errors import Interrupted
from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.image_features import read_features
from bimors_cli.pipeline.run import run
from bimors_cli.provenance import read_run
from bimors_cli.results.search_query import UNLIKE_WEIGHT
from tests.bundles import make_bundle
from tests.cli.test_caption import StopAfter
from tests.conftest import NORTH_UP

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TILES = [f"scene/{row}/{col}" for row in range(4) for col in range(4)]


def write_scene(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8)
    noise[:, :32, 32:64] = 0
    noise[:, 96:, 96:] = noise[:, :32, :32]
    size = {"count": 3, "height": 128, "width": 128, "dtype": "uint8"}
    path = folder / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32618", transform=NORTH_UP, nodata=0, **size) as dataset:
        dataset.write(noise)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Sixteen tiles of 32 pixels, of which one has no data and two are equal."""
    return write_scene(tmp_path)


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def classify(scene: Path, bundle: Bundle, *args: object, cwd: Path) -> Result:
    (cwd / "labels.txt").write_text("forest\nriver\nport\n")
    fixed = ["-l", "labels.txt", "--model", bundle.folder, "--tile-size", 32, "--keep-features", "-o", "out.gpkg"]
    return bimors("classify", scene, *fixed, *args, cwd=cwd)


def find(bundle: Bundle, *args: object, cwd: Path) -> Result:
    return bimors("search", "out.gpkg", *args, "--model", bundle.folder, cwd=cwd)


@pytest.fixture(scope="module")
def classified(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``out.gpkg``, made with features."""
    folder = tmp_path_factory.mktemp("classified")
    result = classify(write_scene(folder), tiny_bundle, cwd=folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def folder(classified: Path, tmp_path: Path) -> Path:
    """A copy of it, for one test."""
    shutil.copytree(classified, tmp_path, dirs_exist_ok=True)
    return tmp_path


def kept(path: Path, layer: str = "tiles") -> dict[str, npt.NDArray[Any]]:
    return {name: row for ids, rows in read_features(path, layer) for name, row in zip(ids, rows, strict=True)}


def test_scores_are_cosines_of_what_clip_sees_and_reads(folder: Path, tiny_bundle: Bundle) -> None:
    result = find(tiny_bundle, "river", "--json", cwd=folder)
    assert result.exit_code == 0, result.stderr
    hits = json.loads(result.stdout)
    with rasterio.open(folder / "scene.tif") as dataset:
        pixels = dataset.read()
    pictures = {
        f"scene/{row}/{col}": torch.from_numpy(pixels[:, 32 * row : 32 * row + 32, 32 * col : 32 * col + 32].copy())
        for row in range(4)
        for col in range(4)
        if (row, col) != (0, 1)
    }
    clip = Clip.load(tiny_bundle.part(CLIP))
    features, _ = clip.encode_image(torch.stack(list(pictures.values())))
    wanted = dict(zip(pictures, (features @ clip.encode_text(["a photo of a river."])[0]).tolist(), strict=True))
    assert {hit["tile_id"] for hit in hits} == set(pictures)  # and not the tile without data
    assert [hit["rank"] for hit in hits] == list(range(1, 16))
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, [wanted[hit["tile_id"]] for hit in hits], atol=2e-3)
    # Of equal tiles the earlier one is first.
    places = [hit["tile_id"] for hit in hits]
    assert places.index("scene/3/3") == places.index("scene/0/0") + 1


def test_features_are_normalised_halves(folder: Path) -> None:
    features = kept(folder / "out.gpkg")
    assert list(features) == [name for name in TILES if name != "scene/0/1"]
    assert {(row.dtype.str, row.shape) for row in features.values()} == {("<f2", (32,))}
    np.testing.assert_allclose(np.linalg.norm([row.astype(float) for row in features.values()], axis=1), 1, atol=2e-3)


def test_the_table_is_for_pipes(folder: Path, tiny_bundle: Bundle) -> None:
    result = find(tiny_bundle, "many green trees", "--top", 3, cwd=folder)
    head, *lines = result.stdout.splitlines()
    assert head.split("\t") == ["rank", "score", "tile_id", "label", "caption"] and len(lines) == 3
    layer = geopandas.read_file(folder / "out.gpkg", layer="tiles").set_index("tile_id")
    for number, line in enumerate(lines, start=1):
        rank, score, tile_id, label, caption = line.split("\t")
        assert int(rank) == number and -1 <= float(score) <= 1
        assert label == layer.loc[tile_id, "label"] and caption == " ".join(layer.loc[tile_id, "caption"].split())
    assert "3 tiles found" in result.stderr


@pytest.mark.parametrize("name", ["best.gpkg", "best.fgb", "best.geojson", "best.parquet"])
def test_the_best_tiles_become_a_layer(folder: Path, tiny_bundle: Bundle, name: str) -> None:
    result = find(tiny_bundle, "river", "--top", 5, "-o", name, cwd=folder)
    assert (result.exit_code, result.stdout) == (0, f"{name}\n"), result.stderr
    if name.endswith("parquet"):
        found = geopandas.read_parquet(folder / name)
    else:
        found = geopandas.read_file(folder / name, layer="found" if name == "best.gpkg" else None)
    columns = ["tile_id", "scene", "row", "col", "rank", "score", "label", "caption"]
    assert [column for column in found if column != "id"] == [*columns[:6], "accept", *columns[6:], "geometry"]
    assert found["accept"].isna().all()
    found = found.sort_values("rank")  # a FlatGeobuf is in the order of space
    hits = json.loads(find(tiny_bundle, "river", "--top", 5, "--json", cwd=folder).stdout)
    for column in columns:
        assert found[column].tolist() == [hit[column] for hit in hits]
    tiles = geopandas.read_file(folder / "out.gpkg", layer="tiles").set_index("tile_id")
    tiles = tiles.to_crs(found.crs).loc[found["tile_id"]]
    assert found.geometry.reset_index(drop=True).geom_equals_exact(tiles.geometry.reset_index(drop=True), 1e-5).all()
    if name == "best.gpkg":
        (style,) = pyogrio.read_dataframe(folder / name, layer="layer_styles")["styleQML"]
        assert '"accept" = 1' in style.replace("&quot;", '"') and 'fieldName="rank"' in style
    again = find(tiny_bundle, "port", "-o", name, cwd=folder)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    assert find(tiny_bundle, "port", "-o", name, "--overwrite", cwd=folder).exit_code == 0


def test_the_stream_is_of_features(folder: Path, tiny_bundle: Bundle) -> None:
    result = find(tiny_bundle, "river", "--top", 2, "-o", "-", cwd=folder)
    assert [json.loads(line)["properties"]["rank"] for line in result.stdout.splitlines()] == [1, 2]


def test_a_tile_that_was_deleted_is_no_hit(folder: Path, tiny_bundle: Bundle) -> None:
    before = json.loads(find(tiny_bundle, "river", "--top", 2, "--json", cwd=folder).stdout)
    best, second = (hit["tile_id"] for hit in before)
    with contextlib.closing(sqlite3.connect(folder / "out.gpkg")) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("DELETE FROM tiles WHERE tile_id = ?", (best,))
    hits = json.loads(find(tiny_bundle, "river", "--top", 2, "--json", cwd=folder).stdout)
    assert [(hit["rank"], hit["tile_id"]) for hit in hits] == [(1, second)]


def test_features_do_not_depend_on_batches_or_the_cache(folder: Path, scene: Path, tiny_bundle: Bundle) -> None:
    first = kept(folder / "out.gpkg")
    for args in (["--batch-size", 3], ["--no-caption-cache"], ["--no-captions"], ["--head", "zero-shot"]):
        assert classify(scene, tiny_bundle, "--overwrite", *args, cwd=folder).exit_code == 0
        other = kept(folder / "out.gpkg")
        assert list(other) == list(first)
        np.testing.assert_allclose(np.stack(list(other.values())), np.stack(list(first.values())), atol=1e-3)


def test_features_survive_an_interruption(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    options = {
        "scenes": (str(scene),),
        "labels": Labels.of(["forest", "river", "port"]),
        "model": str(tiny_bundle.folder),
        "tile_size": "32",
        "batch_size": 2,
        "caption_cache": False,
        "device": "cpu",
    }
    output = str(tmp_path / "out.gpkg")
    stop = StopAfter(4)
    with pytest.raises(Interrupted):
        run(ClassifyOptions(**options, output=output, keep_features=True), progress=stop, stop=stop)  # type: ignore[arg-type]
    journal = tmp_path / "out.gpkg.bimors-journal"
    # A kill in the middle of a line: that tile is done again.
    journal.write_bytes(journal.read_bytes()[:-20])
    with pytest.raises(Exception, match="other options: features"):
        run(ClassifyOptions(**options, output=output, resume=True))  # type: ignore[arg-type]
    summary = run(ClassifyOptions(**options, output=output, keep_features=True, resume=True))  # type: ignore[arg-type]
    assert 0 < summary.resumed < 16
    whole = str(tmp_path / "whole.gpkg")
    run(ClassifyOptions(**options, output=whole, keep_features=True))  # type: ignore[arg-type]
    found, wanted = kept(Path(output)), kept(Path(whole))
    assert list(found) == list(wanted)
    np.testing.assert_allclose(np.stack(list(found.values())), np.stack(list(wanted.values())), atol=1e-3)
    again = run(ClassifyOptions(**options, output=output, keep_features=True, resume=True))  # type: ignore[arg-type]
    assert again.finished_before


def test_layers_of_one_file_are_searched_apart(folder: Path, scene: Path, tiny_bundle: Bundle) -> None:
    added = classify(scene, tiny_bundle, "--append", "--layer", "fine", "--tile-size", 64, cwd=folder)
    assert added.exit_code == 0, added.stderr
    unclear = find(tiny_bundle, "river", cwd=folder)
    assert unclear.exit_code == 2 and "--layer" in unclear.stderr
    for layer, count in (("fine", 4), ("tiles", 15)):
        assert len(json.loads(find(tiny_bundle, "river", "--layer", layer, "--json", cwd=folder).stdout)) == count


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("other") / "tiny", seed=1)


def test_features_of_another_bundle_are_refused(folder: Path, other_bundle: Bundle) -> None:
    unknown = bimors("search", "out.gpkg", "river", cwd=folder)
    assert unknown.exit_code == 2 and "need the bundle tiny" in unknown.stderr and "--model DIR" in unknown.stderr
    wrong = find(other_bundle, "river", cwd=folder)
    assert wrong.exit_code == 2 and "with another bundle tiny" in wrong.stderr and "hint: " in wrong.stderr


def test_a_layer_without_features_is_refused(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    plain = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 64, "-o", "out.gpkg"]
    assert bimors("classify", scene, *plain, cwd=tmp_path).exit_code == 0
    result = find(tiny_bundle, "river", cwd=tmp_path)
    assert result.exit_code == 2 and "--keep-features" in result.stderr and "Traceback" not in result.stderr
    assert "features" not in bimors("info", "out.gpkg", cwd=tmp_path).stdout


def test_mistakes_are_one_line_and_a_hint(folder: Path, scene: Path, tiny_bundle: Bundle) -> None:
    for args in (
        ["search", "none.gpkg", "river"],
        ["search", "scene.tif", "river"],
        ["search", "out.gpkg", " "],
        ["search", "out.gpkg", "river", "--top", "0"],
        ["search", "out.gpkg", "river", "--layer", "none"],
        ["search", "out.gpkg", "river", "-o", "best.xyz"],
        ["search", "out.gpkg", "river", "-f", "GPKG"],
        ["search", "out.gpkg", "river", "-o", "out.gpkg", "--overwrite"],
        ["search", "out.gpkg", "river", "-o", "best.gpkg", "--json"],
        ["search", "out.gpkg", "river " * 100, "--model", tiny_bundle.folder],
        ["classify", scene, "-l", "labels.txt", "--keep-features", "-o", "x.fgb"],
        ["classify", scene, "-l", "labels.txt", "--keep-features", "-o", "-"],
    ):
        result = bimors(*args, cwd=folder)
        assert result.exit_code == 2 and result.stdout == "", (args, result.stderr)
        lines = result.stderr.strip().splitlines()
        assert 1 <= len(lines) <= 2 and lines[0].startswith("error: "), (args, result.stderr)
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "out.gpkg", "scene.tif"]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example scene, classified zero-shot by the embedded bundle."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copy(EXAMPLES / "scene.tif", folder)
    (folder / "labels.txt").write_text("river\nfarmland\nforest\nbare land\ndense residential\n")
    options = ["--head", "zero-shot", "--keep-features", "--probabilities", "--no-captions", "--tile-size", 100]
    result = bimors("classify", "scene.tif", "-l", "labels.txt", *options, "-o", "out.gpkg", cwd=folder)
    assert result.exit_code == 0, result.stderr
    return folder


def test_the_example_of_the_help_runs(example: Path) -> None:
    result = bimors(*shlex.split(search.EXAMPLE.removeprefix("Example: bimors ")), cwd=example)
    assert (result.exit_code, result.stdout) == (0, "found.gpkg\n"), result.stderr
    assert len(geopandas.read_file(example / "found.gpkg", layer="found")) == 20


@pytest.mark.parametrize("query", ["river", "farmland"])
def test_the_best_tiles_of_a_word_are_likely_of_that_class(example: Path, query: str) -> None:
    layer = geopandas.read_file(example / "out.gpkg", layer="tiles").set_index("tile_id")
    hits = json.loads(bimors("search", "out.gpkg", query, "--top", 10, "--json", cwd=example).stdout)
    share = layer[f"p_{query}"]
    best, rest = share.loc[[hit["tile_id"] for hit in hits]], share.median()
    assert len(hits) == 10 and best.mean() > rest and (best > rest).mean() >= 0.8
    found = layer["label"].loc[[hit["tile_id"] for hit in hits]]
    assert (found == query).mean() >= max(0.6, (layer["label"] == query).mean())


LIKE_ERROR = "layer 'tiles' has no features of a tile 'scene/0/1'"


def units(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any]]:
    """The features of all tiles with a length of 1, relative to their mean and again with a length of 1; the mean."""
    features = {
        name: row.astype(float) / np.linalg.norm(row.astype(float)) for name, row in kept(folder / "out.gpkg").items()
    }
    centre = np.mean(list(features.values()), axis=0)
    return {name: unit(row - centre) for name, row in features.items()}, centre


def unit(vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("like", "unlike"),
    [
        (["scene/0/0"], []),
        (["scene/1/0", "scene/2/3"], []),
        (["scene/1/0"], ["scene/2/0"]),
        (["scene/1/0", "scene/2/3", "scene/0/0"], ["scene/2/0", "scene/1/1"]),
    ],
)
def test_tiles_like_others(folder: Path, like: list[str], unlike: list[str]) -> None:
    """The score is the cosine with Rocchio's query, relative to the mean of all; given tiles are left out."""
    vectors, _ = units(folder)
    mean = np.mean([vectors[name] for name in like], axis=0)
    if unlike:
        mean = mean - UNLIKE_WEIGHT * np.mean([vectors[name] for name in unlike], axis=0)
    wanted = {name: row @ unit(mean) for name, row in vectors.items() if name not in (*like, *unlike)}
    repeated = [word for name in like for word in ("--like", name)] + [
        word for name in unlike for word in ("--unlike", name)
    ]
    joined = ["--like", ",".join(like)] + (["--unlike", ", ".join(unlike)] if unlike else [])
    for asked in (repeated, joined):
        result = bimors("search", "out.gpkg", *asked, "--json", cwd=folder)
        assert result.exit_code == 0, result.stderr
        hits = json.loads(result.stdout)
        assert {hit["tile_id"] for hit in hits} == set(wanted)
        np.testing.assert_allclose([hit["score"] for hit in hits], sorted(wanted.values(), reverse=True), atol=1e-3)


def test_an_equal_tile_is_found_first(folder: Path) -> None:
    first, *_ = json.loads(bimors("search", "out.gpkg", "--like", "scene/0/0", "--json", cwd=folder).stdout)
    assert (first["tile_id"], first["score"]) == ("scene/3/3", 1.0)


def test_a_tile_of_another_kind_lowers_its_like(folder: Path) -> None:
    """scene/3/3 is equal to scene/0/0."""

    def score(*asked: str) -> float:
        hits = json.loads(bimors("search", "out.gpkg", "--like", "scene/1/1", *asked, "--json", cwd=folder).stdout)
        return float(next(hit["score"] for hit in hits if hit["tile_id"] == "scene/3/3"))

    assert score("--unlike", "scene/0/0") < score() - 0.05


def test_a_text_and_tiles_are_one_query(folder: Path, tiny_bundle: Bundle) -> None:
    vectors, centre = units(folder)
    text = Clip.load(tiny_bundle.part(CLIP)).encode_text(["a photo of a river."])[0].numpy().astype(float)
    along = unit(centre)
    query = unit(vectors["scene/1/0"] + unit(text - (text @ along) * along))
    result = find(tiny_bundle, "river", "--like", "scene/1/0", "--json", cwd=folder)
    assert result.exit_code == 0, result.stderr
    hits = json.loads(result.stdout)
    wanted = {name: row @ query for name, row in vectors.items() if name != "scene/1/0"}
    assert [hit["tile_id"] for hit in hits[:3]] == sorted(wanted, key=lambda name: -wanted[name])[:3]
    np.testing.assert_allclose([hit["score"] for hit in hits], sorted(wanted.values(), reverse=True), atol=2e-3)


def test_tiles_like_others_become_a_layer(folder: Path) -> None:
    asked = ["--like", "scene/0/0, scene/2/3", "--top", 3, "-o", "like.gpkg"]
    result = bimors("search", "out.gpkg", *asked, cwd=folder)
    assert (result.exit_code, result.stdout) == (0, "like.gpkg\n"), result.stderr
    found = geopandas.read_file(folder / "like.gpkg", layer="found")
    assert found["rank"].tolist() == [1, 2, 3]
    run = read_run(folder / "like.gpkg", "found")
    assert (run.query, run.like, run.unlike, run.accepted_as) == (None, ("scene/0/0", "scene/2/3"), None, None)
    assert run.query_bundle is not None and run.query_bundle["name"] == "tiny"


def test_like_imports_no_torch(folder: Path) -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from bimors_cli.cli.main import app;"
        "result = CliRunner().invoke(app, ['search', 'out.gpkg', '--like', 'scene/0/0']);"
        "assert result.exit_code == 0, result.stderr;"
        "heavy = {'torch', 'transformers', 'open_clip'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("args", "problem", "hint"),
    [
        ([], "nothing to search for", "--like TILE_ID"),
        (["--unlike", "scene/0/0"], "--unlike needs --like", "add --like TILE_ID"),
        (["river", "--unlike", "scene/0/0"], "--unlike needs --like", "add --like TILE_ID"),
        (["--like", "scene/0/0", "--unlike", "scene/0/2,scene/0/0"], "both have the tile scene/0/0", "one of them"),
        (["--like", "scene/0/0", "--unlike", "scene/9/0"], "no features of a tile 'scene/9/0'", "tile_id"),
        (["--like", "scene/0/0", "--as", "pond"], "--as needs --output", "add -o FILE"),
        (["--like", "scene/0/0", "--as", " ", "-o", "x.gpkg"], "the name of the class is empty", "--as"),
        (["--from", "none.gpkg"], "none.gpkg does not exist", "bimors search"),
        (["--from", "out.gpkg"], "was not written by bimors search", "bimors search"),
        (["--like", "scene/0/0", "--model", "mini"], "--like loads no model", "--model"),
        (["--like", "scene/0/0,scene/0/1"], LIKE_ERROR, "tile_id"),  # the tile without data
        (["--like", "scene/9/9"], "no features of a tile 'scene/9/9'", "tile_id"),
    ],
)
def test_mistakes_with_like(folder: Path, args: list[str], problem: str, hint: str) -> None:
    result = bimors("search", "out.gpkg", *args, cwd=folder)
    assert result.exit_code == 2 and result.stdout == ""
    error, advice = result.stderr.strip().splitlines()
    assert error.startswith("error: ") and problem in error and advice.startswith("hint: ") and hint in advice


def test_like_needs_features(scene: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    plain = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 64, "-o", "out.gpkg"]
    assert bimors("classify", scene, *plain, cwd=tmp_path).exit_code == 0
    result = bimors("search", "out.gpkg", "--like", "scene/0/0", cwd=tmp_path)
    assert result.exit_code == 2 and "has no image features" in result.stderr and "--keep-features" in result.stderr
