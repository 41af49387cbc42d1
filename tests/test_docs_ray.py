"""What `docs/cluster.md` says of Ray: its commands run, its files are well-formed, its figures follow from formulas."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import pytest
import typer
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.pipeline.checkpoint.parquet_part import LEAST_TILES, MOST_TILES
from bimors_cli.pipeline.checkpoint.parquet_store import ATTEMPTS
from bimors_cli.pipeline.engines import ray_worker as worker
from bimors_cli.pipeline.engines import worker_spec

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "cluster.md").read_text().partition("## Ray")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.M | re.S)


def row(name: str) -> list[float]:
    """The numbers of a row of the table of plans."""
    *_, line = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", TEXT, flags=re.M)
    numbers = [re.search(r"\d[\d.,]*(?:e\d+)?", cell) for cell in line.split("|")]
    return [float(number[0].replace(",", "")) for number in numbers if number is not None]


def test_the_plans_follow_from_the_formulas() -> None:
    (rate,) = {float(found) for found in re.findall(r"r = (\d+)", TEXT)}
    (block,) = re.findall(r"^\| blocks \| (\d+) bytes per tile", TEXT, flags=re.M)
    (layer,) = re.findall(r"^\| layer, a GeoPackage \| (\d+) bytes per tile", TEXT, flags=re.M)
    (memory,) = re.findall(r"^\| memory of the main process \| (\d+) bytes per tile", TEXT, flags=re.M)
    for column, pixels in enumerate(row("pixels")):
        tiles = pixels / 224**2
        for name, expected in {
            "tiles": tiles / 1e6,
            f"worker-hours, `mini` on two cores (r = {rate:.0f})": tiles / rate / 3600,
            "GPU-hours, your bundle on your GPU": tiles / 3600,
            "blocks": tiles * int(block) / 1e9,
            "layer": tiles * int(layer) / 1e9,
            "network read, uncompressed": 3 * pixels / 1e12,
            "memory of the main process": tiles * int(memory) / 1e9,
        }.items():
            assert row(name)[column] == pytest.approx(expected, rel=0.03), name


def test_what_it_tells_of_the_program() -> None:
    text = " ".join(TEXT.split())
    assert f"blocks of {LEAST_TILES} to {MOST_TILES:,} neighbours" in text
    assert f"every {worker.WRITE_SECONDS:.0f} seconds" in text and ATTEMPTS == 5 and "five workers" in text
    sent = text.partition("**Environment variables.**")[2].partition("except those that set")[0]
    assert {f"{name}_" for name in re.findall(r"`([A-Z_]+)_\*`", sent)} == {*worker_spec._FORWARDED}


def test_options_exist() -> None:
    def options(command: Any) -> set[str]:
        inner = getattr(command, "commands", {}).values()
        return {o for p in command.params for o in p.opts}.union(*map(options, inner))

    commands = [line for block in [*blocks("sh"), *blocks("bash"), *blocks("yaml")] for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S)
    named = {o for line in [*commands, prose] if "ray start" not in line and "srun" not in line and "SBATCH" not in line
             for o in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}  # fmt: skip
    assert named <= options(typer.main.get_command(app)), named


def test_the_plan_of_the_reader_runs(tmp_path: Path) -> None:
    (command,) = [line for block in blocks("sh") for line in block.splitlines() if "bench" in line]
    result = CliRunner().invoke(app, [*shlex.split(command.partition(" > ")[0])[1:], "--tiles", "4"])
    assert result.exit_code == 0, result.stderr
    (tmp_path / "bench.json").write_text(result.stdout)
    (plan,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", plan], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("19.9 million tiles") and "layer 7.7 GB, read 3.0 TB" in done.stdout


def test_the_files_for_clusters_are_well_formed() -> None:
    yaml = pytest.importorskip("yaml")
    up, kube = map(yaml.safe_load, blocks("yaml"))
    assert kube["kind"] == "RayJob" and kube["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"]
    (script,) = blocks("bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    ray = pytest.importorskip("ray")
    import jsonschema

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(up, schema)


@pytest.mark.slow
def test_the_command_for_one_machine_runs(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = blocks("sh")[0]
    for name in ("scene.tif", "labels.txt"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    program = f"import sys; sys.argv = {shlex.split(command)!r}\nfrom bimors_cli.cli.main import main\nmain()"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "out.gpkg\n", done.stderr
    assert len(geopandas.read_file(tmp_path / "out.gpkg", layer="tiles")) > 100
