"""Shards and their merge, killed, stopped and started twice."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import MakeRaster
from tests.hardening.disks import Disk
from tests.hardening.forks import GO, Fault, Forks, Outcome, Run

KILLED = -9
TILES = 36
WRITE = "bimors_cli.pipeline.output_target:OutputTarget.write"
# Where a merge spends its life, from the reading of the journals to the removal of the last of them.
MOMENTS = (
    Fault("bimors_cli.pipeline.checkpoint.shard_journals:ShardJournals.read", act="kill after"),
    Fault("bimors_cli.pipeline.checkpoint.shard_journals:ShardJournals.write_state"),
    Fault("bimors_cli.pipeline.checkpoint.shard_journals:ShardJournals.write_state", act="kill after"),
    Fault("pyogrio.raw:write", nth=2, act="kill after"),
    Fault("os:replace", nth=1, about="out.gpkg"),
    Fault("os:replace", nth=1, act="kill after", about="out.gpkg"),
    Fault("bimors_cli.pipeline.checkpoint.shard_journals:delete_journals"),
    Fault("os:unlink", nth=1, act="kill after", about="2-of-2.bimors-journal"),
)


class Program:
    def __init__(self, forks: Forks, bundle: Bundle, folder: Path) -> None:
        self.forks, self.folder = forks, folder
        (folder / "labels.txt").write_text("forest\nriver\nport\n")
        self.args = [
            "-l",
            "labels.txt",
            "--model",
            bundle.folder,
            "--tile-size",
            16,
            "--batch-size",
            4,
            "--no-captions",
        ]

    def start(self, *args: object, output: str = "out.gpkg", **kw: object) -> Run:
        return self.forks.start(["classify", "scene.tif", *self.args, "-o", output, *args], self.folder, **kw)

    def shard(self, number: int, *args: object, count: int = 2, **kw: object) -> Outcome:
        return self.start("--shard", f"{number}/{count}", *args, **kw).wait()

    def merge(self, *args: object, faults: Sequence[Fault] = (), output: str = "out.gpkg") -> Outcome:
        told = ["merge", output, "out.gpkg.*-of-2.bimors-journal", *args]
        return self.forks.run(told, self.folder, faults=faults)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"labels.txt", "scene.tif", GO.name}

    def rows(self, name: str = "out.gpkg") -> geopandas.GeoDataFrame:
        return geopandas.read_file(self.folder / name, layer="tiles")


@pytest.fixture
def program(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Program:
    make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    return Program(forks, tiny_bundle, tmp_path)


def journal(number: int, count: int = 2) -> str:
    return f"out.gpkg.{number}-of-{count}.bimors-journal"


def test_a_shard_killed_and_resumed(program: Program) -> None:
    """Killed twice, once in the middle of a line, each time a little further; merged, it is the undisturbed run."""
    assert program.start(output="calm.gpkg").wait().code == 0
    append = Fault("bimors_cli.pipeline.checkpoint.journal:Journal.append", nth=3, act="kill after")
    half = Fault("os:write", nth=2, act="half", about="null,[[")
    assert program.shard(1, faults=[append]).code == KILLED
    refused = program.shard(1)
    assert refused.code == 2 and "shard 1/2 of this output was not finished" in refused.error
    assert "--resume" in refused.hint
    assert program.shard(1, "--resume", faults=[half]).code == KILLED
    done = program.shard(1, "--resume")
    assert (done.code, done.stdout) == (0, f"{journal(1)}\n")
    assert re.search(r"18 of 18 tiles labelled, 1[3-7] by earlier", done.stderr)
    assert "bimors merge out.gpkg out.gpkg.*-of-2.bimors-journal" in done.stderr
    assert program.shard(1, "--resume").code == 0  # nothing to do
    assert program.shard(2).code == 0
    merged = program.merge()
    assert (merged.code, merged.stdout) == (0, "out.gpkg\n") and "36 of 36 tiles labelled" in merged.stderr
    assert program.names() == {"out.gpkg", "calm.gpkg"}
    numbers = ["confidence", "confidence_2"]
    assert_geodataframe_equal(program.rows().drop(columns=numbers), program.rows("calm.gpkg").drop(columns=numbers))
    np.testing.assert_allclose(program.rows()[numbers], program.rows("calm.gpkg")[numbers], atol=1.01e-4)
    again = program.shard(1, "--resume")
    assert again.code == 0 and "is already complete" in again.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_shard_that_is_asked_to_end(program: Program, number: int, code: int) -> None:
    path = program.folder / journal(2)
    run = program.start("--shard", "2/2").when(lambda: path.exists() and path.read_bytes().count(b"\n") >= 4)
    run.send(number)
    ended = run.wait()
    assert (ended.code, ended.stdout) == (code, "")
    assert f"finished tiles are in {journal(2)}" in ended.error and "--resume" in ended.hint


def test_one_shard_twice_and_two_at_once(program: Program) -> None:
    stall = Fault("bimors_cli.pipeline.run:_summarize_shard", act="wait")
    first = program.start("--shard", "1/2", faults=[stall])
    path = program.folder / journal(1)
    first.when(lambda: path.exists() and path.read_bytes().count(b"\n") == TILES // 2 + 2)
    twice = program.shard(1, "--resume")
    assert (
        twice.code == 1
        and f"another run is writing shard 1/2 of this output (process {first.process.pid}" in twice.error
    )
    assert program.shard(2).code == 0
    early = program.merge()
    assert early.code == 1 and f"shard 1/2 is still running (process {first.process.pid}" in early.error
    anew = program.start("--overwrite").wait()
    assert anew.code == 1 and "another run is writing" in anew.error
    (program.folder / GO).touch()
    assert first.wait().code == 0
    assert program.merge().code == 0 and len(program.rows()) == TILES


def test_all_shards_begin_at_once(program: Program) -> None:
    """As an array job does; each would remove what an earlier run has left."""
    assert program.shard(1, count=5).code == 0
    runs = [program.start("--shard", f"{number}/2", "--overwrite") for number in (1, 2)]
    assert [run.wait().code for run in runs] == [0, 0]
    assert program.names() == {journal(1), journal(2)} and program.merge().code == 0


def test_tiles_that_cannot_be_read(program: Program) -> None:
    """Exit code 3 of the shard and of the merge; the shard tries them again, and so does the merge."""
    failing = Fault("bimors_cli.pipeline.inference.tile_reader:read_tile", nth=10, act="ReadError")
    failed = program.shard(2, faults=[failing])
    assert (failed.code, failed.stdout) == (3, f"{journal(2)}\n") and "--resume to try them again" in failed.stderr
    assert program.shard(1).code == 0
    merged = program.merge()
    assert merged.code == 3 and "9 tiles failed, in shards 2/2" in merged.stderr
    assert program.names() == {"out.gpkg", journal(1), journal(2)}
    assert program.shard(2, "--resume").code == 0
    assert program.merge().code == 0 and program.rows()["label"].notna().all() and program.names() == {"out.gpkg"}


def test_a_merge_killed_again_and_again(program: Program) -> None:
    """At eight moments one after the other, always the same command."""
    for number in (1, 2):
        assert program.shard(number).code == 0
    for fault in MOMENTS:
        ended = program.merge(faults=[fault])
        assert ended.code == KILLED, (str(fault), ended.stderr)
        if "out.gpkg" in program.names():
            assert len(program.rows()) == TILES
    done = program.merge()
    assert done.code == 0 and "is already complete" in done.stderr, done.stderr
    assert program.names() - {journal(1) + ".lock", journal(2) + ".lock"} == {"out.gpkg"}
    assert len(program.rows()) == TILES


@pytest.mark.slow
@pytest.mark.parametrize("target", ["os:fsync", "os:replace", "os:unlink", "os:open", "pyogrio.raw:write"])
def test_a_merge_killed_at_every_call_there_is(program: Program, target: str) -> None:
    for number in (1, 2):
        assert program.shard(number).code == 0
    kept = {number: (program.folder / journal(number)).read_bytes() for number in (1, 2)}
    for nth in range(1, 100):
        (program.folder / "out.gpkg").unlink(missing_ok=True)
        for number, content in kept.items():
            (program.folder / journal(number)).write_bytes(content)
        ended = program.merge(faults=[Fault(target, nth, ("kill", "kill after")[nth % 2])])
        if ended.code == 0:
            break
        assert ended.code == KILLED
        if any(name.endswith("-journal") for name in program.names()):
            assert program.merge().code == 0
        assert len(program.rows()) == TILES
        assert not any(name.endswith("-journal") for name in program.names())
    assert 1 <= nth < 99


def test_two_merges_at_once(program: Program) -> None:
    for number in (1, 2):
        assert program.shard(number).code == 0
    told = ["merge", "out.gpkg", journal(1), journal(2)]
    first = program.forks.start(told, program.folder, faults=[Fault(WRITE, act="wait")])
    first.when((program.folder / "out.gpkg.bimors-journal.lock").exists)
    second = program.merge()
    assert second.code == 1 and "another run is writing this output" in second.error
    whole = program.start("--overwrite").wait()
    assert whole.code == 1 and "another run is writing this output" in whole.error
    (program.folder / GO).touch()
    assert first.wait().code == 0 and program.names() == {"out.gpkg"}


def test_ctrl_c_while_the_shards_are_merged(program: Program) -> None:
    for number in (1, 2):
        assert program.shard(number).code == 0
    ended = program.merge(faults=[Fault(WRITE, act="SIGINT")])
    assert ended.code == 130 and f"{TILES} finished tiles are in out.gpkg.*-of-2.bimors-journal" in ended.error
    assert ended.hint == "hint: run the same command again to continue" and program.names() == {journal(1), journal(2)}
    assert program.merge().code == 0


def test_a_merge_without_room(program: Program, disk: Callable[[str], Disk]) -> None:
    for number in (1, 2):
        assert program.shard(number).code == 0
    small = disk("1m")
    small.fill()
    output = str(small.path / "out.gpkg")
    ended = program.merge(output=output)
    assert ended.code == 1 and {journal(1), journal(2)} <= program.names()
    small.free()
    assert program.merge(output=output).code == 0 and not {journal(1), journal(2)} & program.names()


def test_what_engines_left_of_an_output(program: Program) -> None:
    """A run beside it is refused and told how to go on; --overwrite removes all but the other shards of its own run."""
    for args in (["--shard", "1/2"], ["--shard", "1/3"]):
        assert program.start(*args, "--overwrite").wait().code == 0
    assert program.names() == {journal(1, 3)}
    for args in ([], ["--resume"]):
        refused = program.start(*args).wait()
        assert refused.code == 2 and "shard 1/3 of this output was not merged" in refused.error
        assert "bimors merge out.gpkg out.gpkg.*-of-3.bimors-journal" in refused.hint
        other = program.shard(2, *args)
        assert other.code == 2 and "shard 1/3 of this output" in other.error
    assert program.shard(2, count=3).code == 0 and program.shard(1, "--overwrite", count=3).code == 0
    assert program.names() == {journal(1, 3), journal(2, 3)}
    blocks = program.folder / "out.gpkg.bimors-blocks"
    blocks.mkdir()
    (blocks / "run.json").write_text("{}")
    killed = program.start("--overwrite", faults=[Fault(WRITE)]).wait()
    assert killed.code == KILLED and program.names() - {"out.gpkg.bimors-journal.lock"} == {"out.gpkg.bimors-journal"}
    for args in ([], ["--resume"]):
        refused = program.shard(1, *args)
        assert refused.code == 2 and "a run of this output was not finished" in refused.error
        assert "--resume, without --shard" in refused.hint
    (program.folder / "out.gpkg.bimors-journal").unlink()
    blocks.mkdir()
    for args in ([], ["--resume"], ["--shard", "1/2"]):
        refused = program.start(*args).wait()
        assert refused.code == 2 and "a run with --engine ray of this output was not finished" in refused.error
        assert "--engine ray --resume" in refused.hint
    assert program.start("--overwrite").wait().code == 0 and program.names() == {"out.gpkg"}
