"""A run by several devices: processes that die, are stopped, or lose the one that started them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster
from tests.hardening.disks import Disk
from tests.hardening.forks import GO, Fault, Forks, Outcome, Run, Setting

TILES = 144
# The program spawns its processes, which import torch for seconds; here they are forks, and faults are theirs as well.
FORKED = Setting("bimors_cli.pipeline.engines.multi_device:START_METHOD", "fork")
READ = "bimors_cli.pipeline.inference.tile_reader:read_tile"
JOURNAL = "out.gpkg.bimors-journal"


class Program:
    """Runs of 144 tiles, of which the second of two devices has the rows 6 to 11."""

    def __init__(self, forks: Forks, bundle: Bundle, scene: str, folder: Path) -> None:
        self.forks, self.folder = forks, folder
        (folder / "labels.txt").write_text("forest\nriver\nport\n")
        how = ["--tile-size", 8, "--batch-size", 4, "--no-captions", "-v"]
        self.args = ["classify", scene, "-l", "labels.txt", "--model", bundle.folder, *how]
        self.journal = folder / JOURNAL

    def start(
        self, *args: object, device: str = "cpu,cpu", faults: tuple[Fault | Setting, ...] = (FORKED,), **kw: object
    ) -> Run:
        told = [*self.args, "-o", "out.gpkg", "--device", device, *args]
        return self.forks.start(told, self.folder, faults=faults, **kw)

    def run(self, *args: object, **kw: object) -> Outcome:
        return self.start(*args, **kw).wait()

    def kept(self) -> int:
        return self.journal.read_bytes().count(b",null,[[") if self.journal.exists() else 0

    def rows(self) -> geopandas.GeoDataFrame:
        return geopandas.read_file(self.folder / "out.gpkg", layer="tiles")


@pytest.fixture
def program(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Program:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    return Program(forks, tiny_bundle, scene, tmp_path)


def children(run: Run) -> list[int]:
    """The processes of a run, by Linux's word."""
    listed = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
    if not listed.exists():
        pytest.skip("no /proc here")
    return [int(pid) for pid in listed.read_text().split()]


def are_gone(pids: list[int], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_rows_are_those_of_one_device(program: Program) -> None:
    assert program.run(device="cpu").code == 0
    one = program.rows()
    done = program.run("--overwrite", device="cpu,cpu,cpu")
    assert (done.code, done.stdout) == (0, "out.gpkg\n") and f"{TILES} of {TILES} tiles labelled" in done.stderr
    numbers = ["confidence", "confidence_2"]
    assert_geodataframe_equal(program.rows().drop(columns=numbers), one.drop(columns=numbers))
    np.testing.assert_allclose(program.rows()[numbers], one[numbers], atol=1.01e-4)
    assert done.stderr.count("to the adapter untrained: port") == 1
    assert not program.journal.exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_all_processes_of_a_terminal_are_asked_to_end(program: Program, number: int, code: int) -> None:
    run = program.start().when(lambda: program.kept() >= 8)
    pids = children(run)
    assert len(pids) == 2
    for pid in (*pids, run.process.pid):  # Ctrl-C goes to all of them, in any order
        os.kill(pid, number)
    clock = time.monotonic()
    ended = run.wait()
    assert ended.code == code and time.monotonic() - clock < 5 and are_gone(pids)
    assert f"{program.kept()} finished tiles are in {JOURNAL}" in ended.error and "--resume" in ended.hint
    done = program.run("--resume", device="cpu")  # one device goes on with what two have begun
    assert done.code == 0 and "by earlier runs" in done.stderr and len(program.rows()) == TILES


def test_they_may_be_asked_while_they_start(program: Program) -> None:
    """Spawned processes import for seconds; they say nothing of it, and nothing is left."""
    run = program.start(faults=())
    run.when(lambda: len(children(run)) >= 2)
    pids = children(run)
    time.sleep(0.5)  # into the imports
    for pid in (*pids, run.process.pid):
        os.kill(pid, signal.SIGINT)
    ended = run.wait()
    assert ended.code == 130 and "0 finished tiles" in ended.error and len(ended.stderr.splitlines()) == 3
    assert are_gone(pids) and not program.journal.exists()


def test_a_process_that_waits_for_a_dead_server_ends_as_well(program: Program) -> None:
    """It hands nothing on, so it is ended after a second."""
    run = program.start(
        faults=(
            FORKED,
            Fault(READ, act="wait", about="row=7"),
        )
    ).when(lambda: program.kept() >= 72)
    pids = children(run)
    clock = time.monotonic()
    run.send(signal.SIGINT)
    assert run.wait().code == 130 and time.monotonic() - clock < 5 and are_gone(pids)


def test_a_process_that_dies(program: Program) -> None:
    """It is named; the other ends; what is finished is kept; and three devices go on with it."""
    ended = program.run(
        faults=(
            FORKED,
            Fault(READ, act="kill", about="row=8"),
        )
    )
    assert ended.code == 1 and "cpu: its process was killed by signal 9" in ended.error
    assert "is there enough memory?" in ended.hint and f"finished tiles are in {JOURNAL}" in ended.hint
    before = program.kept()
    assert before >= 4
    done = program.run("--resume", device="cpu,cpu,cpu")
    assert done.code == 0 and f"{before} by earlier runs" in done.stderr and len(program.rows()) == TILES


def test_the_run_itself_dies(program: Program) -> None:
    """Its processes do not outlive it, even those that wait for something else."""
    run = program.start(
        faults=(
            FORKED,
            Fault(READ, act="wait", about="row=7"),
        )
    ).when(lambda: program.kept() >= 60)
    pids = children(run)
    assert pids
    run.process.kill()
    run.process.join()
    assert are_gone(pids)
    (program.folder / GO).touch()
    done = program.run("--resume")
    assert done.code == 0 and "by earlier runs" in done.stderr and len(program.rows()) == TILES


def test_an_error_of_a_process_is_that_of_the_run(program: Program) -> None:
    """The same line, hint and exit code as with one device; nothing finished, so nothing is left."""
    for device in ("cpu", "cpu,cpu"):
        long = program.folder / "long.txt"
        long.write_text("forest\n" + "very " * 90 + "long\n")
        ended = program.run("-l", long, device=device)
        assert ended.code == 2 and "long.txt, line 2" in ended.error, ended.stderr
        assert not program.journal.exists() and not (program.folder / "out.gpkg").exists()


def test_a_fault_of_the_program_is_told_once(program: Program) -> None:
    run = program.start(
        faults=(
            FORKED,
            Fault("bimors_cli.pipeline.inference.predict:_classify", act="ENOTTY"),
        )
    )
    run.process.join(60)
    told = run.err.read_text()
    assert run.process.exitcode == 1 and "Traceback" not in told
    assert "internal error" in told and "on cpu: OSError" in told


@pytest.mark.slow
def test_a_disk_that_fills_up(program: Program, disk: object) -> None:
    small: Disk = disk("2m")  # type: ignore[operator]
    output = small.path / "out.gpkg"
    program.journal = small.path / JOURNAL
    run = program.start("-o", output).when(lambda: program.kept() >= 4)
    small.fill()
    pids = children(run)
    ended = run.wait()
    assert ended.code == 1 and "finished tiles" in ended.stderr and are_gone(pids)
    small.free()
    assert program.run("-o", output, "--resume").code == 0


def test_a_shard_by_several_devices(program: Program) -> None:
    for number in (1, 2):
        assert program.run("--shard", f"{number}/2").code == 0
    told = ["merge", "out.gpkg", "out.gpkg.*-of-2.bimors-journal"]
    assert program.forks.run(told, program.folder).code == 0 and len(program.rows()) == TILES


def test_devices_that_cannot_be_asked(program: Program) -> None:
    for device, says in (("cuda:0,0", "twice"), ("cpu,cuda:77", "CUDA devices"), ("cpu,abacus", "abacus")):
        ended = program.run(device=device)
        assert ended.code == 2 and says in ended.error
    streamed = program.run("-o", "-")
    assert streamed.code == 2 and "do not support standard output" in streamed.error


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda:0,cpu", "cuda:0,1"])
def test_gpus(tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path, device: str) -> None:
    import torch

    if torch.cuda.device_count() < (1 if "cpu" in device else 2):
        pytest.skip("fewer GPUs here")
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    args = ["caption", scene, "-o", tmp_path / "out.gpkg", "--model", tiny_bundle.folder, "--tile-size", 16]
    result = CliRunner().invoke(app, [*map(str, args), "--device", device, "--no-caption-cache"])
    assert result.exit_code == 0 and "16 of 16 tiles captioned" in result.stderr, result.stderr


def test_processes_are_spawned(tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> None:
    """As the program does it, without a fork; caption does it too, and they share the cache."""
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    args = ["caption", scene, "-o", tmp_path / "out.gpkg", "--model", tiny_bundle.folder, "--tile-size", 16]
    result = CliRunner().invoke(app, [*map(str, args), "--device", "cpu,cpu"])
    assert result.exit_code == 0 and "16 of 16 tiles captioned" in result.stderr, result.stderr
    assert geopandas.read_file(tmp_path / "out.gpkg", layer="captions")["caption"].notna().all()
    again = CliRunner().invoke(app, [*map(str, args), "--overwrite", "--device", "cpu"])
    assert "16 of 16 captions were known, from the cache or an equal tile" in again.stderr
