"""Full disks and folders that cannot be written: one line, what to do, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import MakeRaster
from tests.hardening.disks import Disk
from tests.hardening.forks import GO, Fault, Forks, Outcome, Run
from tests.training.test_run import draw_pictures

MakeDisk = Callable[[str], Disk]
FORMATS = ["out.gpkg", "out.fgb", "out.parquet", "out.geojson", "out.geojsonl"]
# The one that most people take; the others come with the slow tests.
SOME_FORMATS = [FORMATS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in FORMATS[1:])]
TILES = 144


class Program:
    """Runs of one scene, with outputs on a disk of their own."""

    def __init__(self, forks: Forks, bundle: Bundle, scene: str, folder: Path) -> None:
        self.forks, self.bundle, self.folder = forks, bundle, folder
        (folder / "labels.txt").write_text("forest\nriver\nport\n")
        how = ["--tile-size", 8, "--batch-size", 4, "--no-captions", "--probabilities"]
        self.args = ["classify", scene, "-l", folder / "labels.txt", "--model", bundle.folder, *how]

    def start(self, *args: object, **kw: object) -> Run:
        return self.forks.start([*self.args, *args], self.folder, **kw)

    def run(self, *args: object, **kw: object) -> Outcome:
        return self.start(*args, **kw).wait()

    def finetune(self, output: Path, *args: object, **kw: object) -> Outcome:
        how = ["--shots", 2, "--epochs", 2, "--model", self.bundle.folder, "-o", output]
        return self.forks.run(["finetune", self._pictures(), "--head", "bimors", *how, *args], self.folder, **kw)

    def evaluate(self, output: Path, *args: object, **kw: object) -> Outcome:
        how = ["--shots", 2, "--epochs", 1, "--seeds", 1, "--heads", "zero-shot,coop", "--model", self.bundle.folder]
        return self.forks.run(["evaluate", self._pictures(), *how, "-o", output, *args], self.folder, **kw)

    def _pictures(self) -> Path:
        folder = self.folder / "coast"
        return (
            folder
            if folder.exists()
            else draw_pictures(folder, {"beach": 220, "forest": 60, "river": 150, "meadow": 100}, 10)
        )


@pytest.fixture
def program(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Program:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    return Program(forks, tiny_bundle, scene, tmp_path)


def assert_refused(
    ended: Outcome, says: Sequence[str] = ("No space left", "File too large", "full", "disk space")
) -> None:
    assert ended.code == 1 and ended.stdout == "", ended
    assert any(words in ended.error + ended.hint for words in says), ended.stderr


@pytest.mark.parametrize("name", SOME_FORMATS)
def test_a_disk_that_fills_up_on_the_way(program: Program, disk: MakeDisk, name: str) -> None:
    """What was finished is told, and a resumed run has all rows."""
    small = disk("2m")
    output = small.path / name
    journal = small.path / f"{name}.bimors-journal"
    run = program.start("-o", output).when(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 6)
    small.fill()
    ended = run.wait()
    assert_refused(ended)
    assert not output.exists() and not list(small.path.glob("*.tmp-*"))
    assert f"{journal.read_bytes().count(10) - 2} finished tiles" in ended.error or "--resume" in ended.stderr
    again = program.run("-o", output, "--resume")
    assert_refused(again)
    small.free()
    done = program.run("-o", output, "--resume")
    assert done.code == 0 and "by earlier runs" in done.stderr
    read = geopandas.read_parquet if name.endswith("parquet") else geopandas.read_file
    assert read(output)["tile_id"].nunique() == len(read(output)) == TILES
    assert not list(small.path.glob("*bimors-journal*"))


@pytest.mark.parametrize("name", SOME_FORMATS)
def test_a_disk_that_is_full_when_the_layer_is_built(program: Program, disk: MakeDisk, name: str) -> None:
    small = disk("2m")
    old = small.path / name
    assert program.run("-o", old, "--min-confidence", 0.9).code == 0
    before = old.read_bytes()
    run = program.start(
        "-o", old, "--overwrite", faults=[Fault("bimors_cli.pipeline.output_target:OutputTarget.write", act="wait")]
    )
    journal = small.path / f"{name}.bimors-journal"
    run.when(lambda: journal.exists() and journal.read_bytes().count(b"\n") == TILES + 2)
    small.fill()
    (program.folder / GO).touch()
    ended = run.wait()
    assert_refused(ended)
    assert "--resume" in ended.stderr
    assert old.read_bytes() == before and not list(small.path.glob("*.tmp-*"))
    small.free()
    done = program.run("-o", old, "--resume")
    assert done.code == 0 and f"{TILES} by earlier runs" in done.stderr and old.read_bytes() != before


def test_a_disk_that_is_full_from_the_start(program: Program, disk: MakeDisk) -> None:
    small = disk("1m")
    small.fill()
    for output in (small.path / name for name in FORMATS):
        assert_refused(program.run("-o", output))
        assert [path.name for path in small.path.iterdir()] == ["ballast"]


def test_no_file_may_grow(program: Program, tmp_path: Path) -> None:
    """As a quota refuses it; without a disk of its own, so everywhere."""
    before = set(tmp_path.iterdir())
    assert_refused(program.run("-o", "out.gpkg", file_limit=20_000))
    assert set(tmp_path.iterdir()) == before
    ended = program.run("-o", "out.geojsonl", file_limit=16_000)
    assert_refused(ended)
    assert "finished tiles" in ended.stderr and "--resume" in ended.hint
    done = program.run("-o", "out.geojsonl", "--resume")
    assert done.code == 0 and len(geopandas.read_file(tmp_path / "out.geojsonl")) == TILES


def test_a_label_raster_without_room(program: Program, disk: MakeDisk, tmp_path: Path) -> None:
    small = disk("1m")
    small.fill(leave=8192)
    args = ("-o", "out.gpkg", "--raster", small.path / "labels.tif", "--raster-res", "scene")
    ended = program.run(*args)
    assert_refused(ended)
    assert [path.name for path in small.path.iterdir()] == ["ballast"]
    small.free()
    done = program.run(*args, "--resume")
    assert done.code == 0
    with rasterio.open(small.path / "labels.tif") as raster:
        assert (raster.read(1) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_training_without_room(program: Program, disk: MakeDisk, command: str) -> None:
    small = disk("2m")
    run = program.finetune if command == "finetune" else program.evaluate
    small.fill(leave=12_288)
    assert_refused(run(small.path / "results"))
    small.free()
    done = run(small.path / "results", "--resume")
    assert done.code == 0, done.stderr
    assert [path.name for path in small.path.iterdir()] == ["results"]


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
@pytest.mark.parametrize("limit", [pytest.param(4_000, marks=pytest.mark.slow), 20_000])
def test_training_where_no_file_may_grow(program: Program, tmp_path: Path, command: str, limit: int) -> None:
    run = program.finetune if command == "finetune" else program.evaluate
    assert_refused(run(tmp_path / "results", file_limit=limit))
    done = run(tmp_path / "results", "--resume")
    assert done.code == 0, done.stderr


def test_a_folder_that_cannot_be_written(program: Program, disk: MakeDisk, tmp_path: Path) -> None:
    protected = disk("1m")
    (protected.path / "old.gpkg").write_bytes(b"old")
    protected.protect()
    before = {path.name for path in tmp_path.iterdir()}
    for name in FORMATS:
        assert_refused(program.run("-o", protected.path / name), ["Read-only file system"])
    assert_refused(program.run("-o", protected.path / "old.gpkg", "--overwrite"), ["Read-only file system"])
    assert_refused(program.run("--raster", protected.path / "a.tif"), ["Read-only file system"])
    for run in (program.finetune, program.evaluate):
        assert_refused(run(protected.path / "results"), ["Read-only file system"])
    assert {path.name for path in tmp_path.iterdir()} - before <= {"coast"}


@pytest.mark.parametrize("state", ["protected", "full"])
def test_a_cache_that_cannot_be_written_costs_time_alone(
    forks: Forks, program: Program, disk: MakeDisk, tmp_path: Path, state: str
) -> None:
    cache = disk("256k")
    if state == "protected":
        cache.protect()
    else:
        cache.fill()
    args = ["--tile-size" if arg == "--tile-size" else arg for arg in program.args if arg != "--no-captions"]
    done = forks.run([*args, "--tile-size", 32, "-o", "out.gpkg"], tmp_path, env={"BIMORS_CACHE": str(cache.path)})
    assert done.code == 0, done.stderr
    warning, *rest = (line for line in done.stderr.splitlines() if line.startswith("warning: "))
    assert "the caption cache is not used" in warning and not rest
    assert geopandas.read_file(tmp_path / "out.gpkg", layer="tiles")["caption"].notna().all()
