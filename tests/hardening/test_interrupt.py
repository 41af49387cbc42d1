"""Signals and closed pipes: what is finished is kept, and the exit code tells what happened."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import MakeRaster
from tests.hardening.forks import GO, Fault, Forks, Outcome, Run
from tests.training.test_run import draw_pictures

Start = Callable[..., Run]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
# A server that does not answer, a drive that does not wake up: the thread that reads waits.
STALLED = Fault("bimors_cli.pipeline.inference.tile_reader:read_tile", nth=20, act="wait")


@pytest.fixture
def start(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Start:
    """Start a run of 144 tiles, four at a time."""
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    common = ["-l", "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 8, "--batch-size", 4, "--no-captions"]

    def classify(*args: object, **kw: object) -> Run:
        return forks.start(["classify", scene, *common, *args], tmp_path, **kw)

    return classify


def lines(path: Path, count: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_bytes().count(b"\n") >= count


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_once_ends_after_the_batch_and_says_how_to_go_on(start: Start, tmp_path: Path, number: int, code: int) -> None:
    journal = tmp_path / "scene.gpkg.bimors-journal"
    run = start().when(lines(journal, 10))
    run.send(number)
    ended = run.wait()
    assert (ended.code, ended.stdout) == (code, "")
    kept = journal.read_bytes().count(b"\n") - 2
    assert f"{kept} finished tiles are in {journal.name}" in ended.error and "--resume" in ended.hint
    assert "again to stop at once" in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"labels.txt", "scene.tif", journal.name}
    done = start("--resume").wait()
    assert done.code == 0 and f"{kept} by earlier runs" in done.stderr


def test_a_terminal_that_is_closed_does_not_end_a_run_under_nohup(start: Start, tmp_path: Path) -> None:
    run = start(ignored=[signal.SIGHUP], faults=[STALLED]).when(lines(tmp_path / "scene.gpkg.bimors-journal", 6))
    run.send(signal.SIGHUP)
    (tmp_path / GO).touch()
    assert run.wait().code == 0 and (tmp_path / "scene.gpkg").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_twice_ends_at_once_even_while_a_thread_waits_for_a_dead_server(
    start: Start, tmp_path: Path, number: int
) -> None:
    journal = tmp_path / "scene.gpkg.bimors-journal"
    run = start(faults=[STALLED]).when(lines(journal, 6))
    run.send(number)
    run.when(lambda: "again to stop" in run.err.read_text())
    run.send(number)
    # Ended by the signal itself: a shell shows 130 and 143.
    assert run.wait(timeout=2).code == -number
    kept = journal.read_bytes().count(b"\n") - 2
    done = start("--resume").wait()
    assert done.code == 0 and f"{kept} by earlier runs" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"labels.txt", "scene.tif", "scene.gpkg"}


def test_a_second_one_of_the_other_kind_counts(start: Start, tmp_path: Path) -> None:
    run = start(faults=[STALLED]).when(lines(tmp_path / "scene.gpkg.bimors-journal", 6))
    run.send(signal.SIGINT)
    run.when(lambda: "again to stop" in run.err.read_text())
    run.send(signal.SIGTERM)
    assert run.wait(timeout=2).code == -signal.SIGTERM


def test_ctrl_c_while_the_layer_is_built(start: Start, tmp_path: Path) -> None:
    """The journal holds all tiles; the layer is left for the next run."""
    ended = start(faults=[Fault("bimors_cli.pipeline.output_target:OutputTarget.write", act="SIGINT")]).wait()
    assert ended.code == 130 and "144 finished tiles" in ended.error
    assert not (tmp_path / "scene.gpkg").exists() and not list(tmp_path.glob("*.tmp-*"))
    done = start("--resume").wait()
    assert done.code == 0 and "144 by earlier runs" in done.stderr and "loading the model" not in done.stderr


def test_ctrl_c_before_the_run_has_begun(start: Start, tmp_path: Path) -> None:
    """Nothing is finished, so nothing is left."""
    ended = start(faults=[Fault("bimors_cli.options.classify:ClassifyOptions.__post_init__", act="SIGINT")]).wait()
    assert ended.code == 130 and ended.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"labels.txt", "scene.tif"}


def test_what_a_shell_runs_in_the_background_does_not_hear_ctrl_c(start: Start, tmp_path: Path) -> None:
    run = start(ignored=[signal.SIGINT]).when(lines(tmp_path / "scene.gpkg.bimors-journal", 6))
    run.send(signal.SIGINT)
    assert run.wait().code == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_training_keeps_whole_epochs(forks: Forks, tiny_bundle: Bundle, tmp_path: Path, number: int, code: int) -> None:
    draw_pictures(tmp_path / "coast", {"beach": 220, "forest": 60})
    how = ["--head", "bimors", "--shots", 2, "--epochs", 4, "--model", tiny_bundle.folder]
    args = ["finetune", "coast", *how, "-o", "adapter"]
    second = Fault("bimors_cli.training.checkpoint:TrainingCheckpoint.save", nth=2, act="wait")
    run = forks.start(args, tmp_path, faults=[second])
    run.when((tmp_path / "adapter.training" / "checkpoint.safetensors").exists).send(number)
    (tmp_path / GO).touch()
    ended = run.wait()
    assert ended.code == code and "of 4, checkpoint in" in ended.error and "--resume" in ended.hint


def stream(run: Run, fifo: Path, read: Callable[[int], bytes]) -> tuple[bytes, Outcome]:
    """Read from a pipe as `head -1` does, and go."""
    reader = os.open(fifo, os.O_RDONLY)
    got = read(reader)
    os.close(reader)
    return got, run.wait()


def test_a_reader_that_has_enough_is_no_error(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    got, ended = stream(start("-o", "-", out=fifo), fifo, lambda reader: os.read(reader, 64))
    assert json.loads(got.split(b'"properties"')[0].rstrip(b", ") + b"}")["type"] == "Feature"
    assert ended.code == 0 and "error" not in ended.stderr


def test_messages_that_nobody_reads_do_not_end_a_run(start: Start, tmp_path: Path) -> None:
    """`bimors … 2>&1 | tee log`, and tee is killed."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    _, ended = stream(start("-v", err=fifo), fifo, lambda reader: b"")
    assert (ended.code, ended.stdout) == (0, "scene.gpkg\n") and (tmp_path / "scene.gpkg").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_messages_for_a_full_disk_do_not_end_a_run(start: Start, tmp_path: Path) -> None:
    ended = start("-v", err=Path("/dev/full")).wait()
    assert (ended.code, ended.stdout) == (0, "scene.gpkg\n") and (tmp_path / "scene.gpkg").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_rows_for_a_full_disk_are_an_error(start: Start) -> None:
    ended = start("-o", "-", out=Path("/dev/full")).wait()
    assert ended.code == 1 and "No space left" in ended.error
