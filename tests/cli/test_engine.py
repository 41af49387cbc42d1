"""`--engine` and what goes with it: what is refused before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster


@pytest.fixture
def command(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> list[str]:
    scene = make_raster(np.ones((3, 64, 64), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\n")
    labels = ["-l", str(tmp_path / "labels.txt"), "--model", str(tiny_bundle.folder), "--tile-size", "32"]
    return ["classify", scene, *labels, "-o", str(tmp_path / "out.gpkg")]


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        (["--engine", "spark"], "--engine spark: unknown value", "local, ray"),
        (["--workers", "2"], "--workers needs --engine ray", "add --engine ray"),
        (["--ray-address", "auto"], "--ray-address needs --engine ray", "add --engine ray"),
        (["--blocks", "s3://b/run"], "--blocks needs --engine ray", "add --engine ray"),
        (["--engine", "ray", "--workers", "0"], "--workers 0: must be at least 1", None),
        (["--engine", "ray", "-o", "-"], "--engine ray does not support standard output", "-o FILE"),
        (["--engine", "ray", "--device", "mps"], "--device mps: not supported with --engine ray", "auto, cpu or cuda"),
        (
            ["--engine", "ray", "--device", "cuda:0,1"],
            "--device cuda:0,1: not supported with --engine ray",
            "auto, cpu or cuda",
        ),
        (["--engine", "ray", "--shard", "1/2"], "--shard 1/2: not supported with --engine ray", "leave out"),
        (["--engine", "ray", "--blocks", "nonsense://x"], "--blocks nonsense://x: ", "use a folder, or a URL"),
        (["--engine", "ray", "--ray-address", "ray://h:1"], "Ray Client is not supported", "on a node of the cluster"),
        (["--engine", "ray", "--ray-address", "here"], "--ray-address here: invalid address", "HOST:PORT"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:99999"], "127.0.0.1:99999: no cluster found", "ray status"),
    ],
)
def test_what_cannot_be(command: list[str], tmp_path: Path, options: list[str], said: str, hint: str | None) -> None:
    if "--ray-address" in options and "--engine" in options:
        pytest.importorskip("ray")
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert f"error: {said}" in " ".join(lines) or said in " ".join(lines), result.stderr
    assert hint is None or (lines[-1].startswith("hint: ") and hint in lines[-1])
    assert not list(tmp_path.glob("out.gpkg*"))


@pytest.mark.parametrize("missing", ["ray", "pyarrow"])
def test_ray_is_not_installed(
    command: list[str], tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    result = CliRunner().invoke(app, [*command, "--engine", "ray"])
    assert (
        result.exit_code == 2
        and f"--engine ray needs Ray Data, but the package {missing} is not installed" in result.stderr
    )
    assert "hint: pip install 'bimors-cli[ray]'" in result.stderr and not list(tmp_path.glob("out.gpkg*"))


def test_one_engine_does_not_go_on_with_what_the_other_began(command: list[str], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    journal = tmp_path / "out.gpkg.bimors-journal"
    journal.write_text("")
    for more in (["--resume"], []):
        result = CliRunner().invoke(app, [*command, "--engine", "ray", *more])
        assert result.exit_code == 2 and journal.name in result.stderr and "hint: " in result.stderr
    journal.unlink()
    blocks = tmp_path / "out.gpkg.bimors-blocks"
    blocks.mkdir()
    for more in (["--resume"], []):
        result = CliRunner().invoke(app, [*command, *more])
        assert result.exit_code == 2 and blocks.name in result.stderr and "--engine ray --resume" in result.stderr
