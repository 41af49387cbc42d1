"""Outputs that somebody else holds: another program, another run, or the run's own input."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.output.atomic import scratch
from tests.conftest import MakeRaster
from tests.hardening.forks import GO, Fault, Forks, Outcome, Run
from tests.training.test_run import draw_pictures

Start = Callable[..., Run]
TILES = 36
FUNCTIONS = ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")


@pytest.fixture
def start(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Start:
    make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    common = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 16, "--batch-size", 4, "--no-captions"]

    def classify(*args: object, **kw: object) -> Run:
        return forks.start(["classify", "scene.tif", *common, *args], tmp_path, **kw)

    return classify


def waiting(start: Start, tmp_path: Path, name: str, *args: object) -> Run:
    """A run that has classified all tiles and builds its layer when it is told to."""
    stall = Fault("bimors_cli.pipeline.output_target:OutputTarget.write", act="wait")
    journal = tmp_path / f"{name}.bimors-journal"
    run = start("-o", name, *args, faults=[stall])
    return run.when(lambda: journal.exists() and journal.read_bytes().count(b"\n") == TILES + 2)


def assert_refused(ended: Outcome, code: int, *says: str) -> None:
    assert ended.code == code and ended.stdout == "", ended
    for words in says:
        assert words in ended.error or words in ended.hint, ended.stderr


def rows(path: Path) -> int:
    return len(geopandas.read_file(path, layer="tiles"))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_output_that_another_program_writes(start: Start, tmp_path: Path, mode: str) -> None:
    """As QGIS does while a layer is edited: refused before anything is computed, and free afterwards."""
    output = tmp_path / "out.gpkg"
    assert start("-o", "out.gpkg").wait().code == 0
    with closing(sqlite3.connect(output, isolation_level=None)) as editor:
        for name in FUNCTIONS:  # of the triggers of a spatial index
            editor.create_function(name, 1, lambda _geometry: 0)
        editor.execute(f"PRAGMA journal_mode = {mode}")
        editor.execute("BEGIN IMMEDIATE")
        editor.execute("UPDATE tiles SET label = 'edited'")
        for args in (["--overwrite"], ["--append", "--layer", "more"]):
            ended = start("-o", "out.gpkg", *args).wait()
            assert_refused(ended, 1, "open in another program", "close the layer in QGIS")
        assert "load" not in ended.stderr
        editor.execute("COMMIT")
    assert set(geopandas.read_file(output, layer="tiles")["label"]) == {"edited"}
    assert start("-o", "out.gpkg", "--overwrite").wait().code == 0
    assert "edited" not in set(geopandas.read_file(output, layer="tiles")["label"])


def test_an_output_that_is_opened_while_the_run_goes_on(start: Start, tmp_path: Path) -> None:
    """It stays as it is, and all tiles are in the journal."""
    output = tmp_path / "out.gpkg"
    assert start("-o", "out.gpkg", "--min-confidence", 0.999).wait().code == 0
    run = waiting(start, tmp_path, "out.gpkg", "--overwrite")
    with closing(sqlite3.connect(output, isolation_level=None)) as editor:
        editor.execute("PRAGMA journal_mode = wal")
        editor.execute("CREATE TABLE notes (note)")
        (tmp_path / GO).touch()
        ended = run.wait()
        assert_refused(ended, 1, "open in another program", "close the layer in QGIS")
        assert f"{TILES} finished tiles are in" in ended.hint and ended.hint.endswith("--resume")
        editor.execute("INSERT INTO notes VALUES ('mine')")
    with closing(sqlite3.connect(output)) as editor:
        assert editor.execute("SELECT note FROM notes").fetchall() == [("mine",)]
    done = start("-o", "out.gpkg", "--resume").wait()
    assert done.code == 0 and f"{TILES} by earlier runs" in done.stderr and rows(output) == TILES


def test_an_output_that_another_program_reads(start: Start, tmp_path: Path) -> None:
    """It is replaced; whoever reads goes on with what was there."""
    assert start("-o", "out.gpkg").wait().code == 0
    uri = f"{(tmp_path / 'out.gpkg').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM tiles").fetchone() == (TILES,)
        done = start("-o", "out.gpkg", "--overwrite", "--tile-size", 32).wait()
        assert done.code == 0, done.stderr
        assert reader.execute("SELECT count(*) FROM tiles").fetchone() == (TILES,)
    assert rows(tmp_path / "out.gpkg") == 9


@pytest.mark.parametrize("args", [(), ("--overwrite",), ("--resume",)])
def test_two_runs_of_one_output(start: Start, tmp_path: Path, args: tuple[object, ...]) -> None:
    """The second is refused, and told who has it; the first does not notice."""
    first = waiting(start, tmp_path, "out.gpkg")
    second = start("-o", "out.gpkg", *args).wait()
    if args:
        assert_refused(
            second, 1, f"another run is writing this output (process {first.process.pid} on ", "wait until it ends"
        )
    else:
        assert_refused(second, 2, "a run of this output was not finished", "--resume")
    (tmp_path / GO).touch()
    assert first.wait().code == 0 and rows(tmp_path / "out.gpkg") == TILES
    assert {path.name for path in tmp_path.iterdir()} == {"go", "labels.txt", "out.gpkg", "scene.tif"}


def test_many_runs_of_one_output_at_once(start: Start, tmp_path: Path) -> None:
    """Whoever comes first writes it; the others are refused before they have computed a tile."""
    ended = [run.wait() for run in [start("-o", "out.gpkg", "--overwrite") for _ in range(5)]]
    assert sorted({each.code for each in ended}) in ([0], [0, 1])
    for each in ended:
        assert each.code == 0 or "another run is writing" in each.error
    assert rows(tmp_path / "out.gpkg") == TILES
    assert {path.name for path in tmp_path.iterdir()} == {"labels.txt", "out.gpkg", "scene.tif"}


def test_a_journal_of_another_run(start: Start, tmp_path: Path) -> None:
    fault = Fault("bimors_cli.pipeline.output_target:OutputTarget.write")
    assert start("-o", "out.gpkg", faults=[fault]).wait().code == -9
    kept = (tmp_path / "out.gpkg.bimors-journal").read_bytes()
    assert_refused(start("-o", "out.gpkg").wait(), 2, "was not finished", "--resume")
    other = start("-o", "out.gpkg", "--resume", "--tile-size", 32).wait()
    assert_refused(other, 2, 'tile size ("16", now "32")', "resume with the same options")
    assert (tmp_path / "out.gpkg.bimors-journal").read_bytes() == kept
    (tmp_path / "out.gpkg.bimors-journal").write_bytes(b"a diary\n")
    assert_refused(start("-o", "out.gpkg", "--resume").wait(), 1, "not a journal", "remove it")
    assert (tmp_path / "out.gpkg.bimors-journal").read_bytes() == b"a diary\n"


def test_a_journal_is_kept_for_what_failed(start: Start, tmp_path: Path) -> None:
    """All tiles failed, and so does the run that tries again: the third still knows that there is work to do."""
    failing = Fault("bimors_cli.pipeline.inference.tile_reader:read_tile", act="ReadError")
    assert start("-o", "out.gpkg", faults=[failing]).wait().code == 3
    ended = start(
        "-o", "out.gpkg", "--resume", faults=[Fault("bimors_cli.pipeline.inference.load:load_models", act="EIO")]
    )
    assert ended.process.join() is None and ended.process.exitcode == 1
    done = start("-o", "out.gpkg", "--resume").wait()
    assert done.code == 0 and f"{TILES} of {TILES} tiles labelled" in done.stderr


@pytest.mark.parametrize("option", ["--raster", "-o", "--aoi"])
def test_an_output_that_is_an_input(start: Start, tmp_path: Path, option: str) -> None:
    """Refused under every name that the file has."""
    geopandas.GeoDataFrame(geometry=[shapely.box(499_000, 4_590_000, 501_000, 4_601_000)], crs=32618).to_file(
        tmp_path / "area.gpkg"
    )
    source = tmp_path / {"--raster": "scene.tif", "-o": "labels.txt", "--aoi": "area.gpkg"}[option]
    link, hard_link = (source.with_name(f"{kind}{source.suffix}") for kind in ("link", "hard"))
    link.symlink_to(source)
    os.link(source, hard_link)
    before = source.read_bytes()
    for other in (source, tmp_path / ".." / tmp_path.name / source.name, link, hard_link):
        given = {
            "--raster": ["-o", "out.gpkg", "--raster", other],
            "-o": ["-o", other, "-f", "GeoJSONSeq"],
            "--aoi": ["--aoi", source, "-o", other],
        }[option]
        assert_refused(start(*given, "--overwrite").wait(), 2, other.name, "another output name")
        assert source.read_bytes() == before and not (tmp_path / "out.gpkg").exists()


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_two_trainings_of_one_output(forks: Forks, tiny_bundle: Bundle, tmp_path: Path, command: str) -> None:
    draw_pictures(tmp_path / "coast", {"beach": 220, "forest": 60, "river": 150, "meadow": 100}, count=10)
    how = ["--shots", 2, "--epochs", 1, "--model", tiny_bundle.folder, "-o", "results"]
    more = ["--head", "bimors"] if command == "finetune" else ["--seeds", 1, "--heads", "zero-shot,coop"]
    args = [command, "coast", *how, *more]
    target = {"finetune": "training.run:_train", "evaluate": "evaluation.run_trials:run_trials"}[command]
    first = forks.start(args, tmp_path, faults=[Fault(f"bimors_cli.{target}", act="wait")])
    begun = tmp_path / ("results.training/evidence.safetensors" if command == "finetune" else "results/trials.jsonl")
    first.when(begun.exists)
    for option in ("--resume", "--overwrite"):
        second = forks.run([*args, option], tmp_path)
        assert_refused(second, 1, "another run is writing", "another -o")
    (tmp_path / GO).touch()
    assert first.wait().code == 0


def test_an_output_is_never_a_source_of_training(forks: Forks, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "coast", {"beach": 220, "forest": 60, "river": 150, "meadow": 100}, count=10)
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    (tmp_path / "link").symlink_to(folder)
    for command, name in (("finetune", "coast"), ("finetune", "link"), ("evaluate", "coast"), ("evaluate", "link")):
        ended = forks.run([command, "coast", "--overwrite", "--model", tiny_bundle.folder, "-o", name], tmp_path)
        assert_refused(ended, 2, "exists and ", "another")
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


def test_only_folders_of_runs_that_are_gone_are_swept(tmp_path: Path) -> None:
    target = tmp_path / "out.gpkg"
    other = tmp_path / "out.gpkg.tmp-holiday1"
    other.mkdir()
    (other / "photo.jpg").touch()
    with scratch(target) as one, scratch(target) as two:
        two.touch()
        assert one.parent != two.parent and one.parent.exists()
        left = tmp_path / "out.gpkg.tmp-abcd1234"
        shutil.copytree(two.parent, left)  # as a kill leaves it: nobody holds its lock
        with scratch(target):
            assert not left.exists() and one.parent.exists() and two.exists()
    assert list(tmp_path.iterdir()) == [other] and (other / "photo.jpg").exists()
