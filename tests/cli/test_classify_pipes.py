"""`bimors classify -o -` at the head of real pipes, and its other outputs from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli import classify
from bimors_cli.cli.main import app
from tests.hardening.forks import Forks

PROGRAM = [sys.executable, "-c", "from bimors_cli.cli.main import main; main()"]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell's pipes")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("forest\nriver\t#0000ff\nПорт 🌲\n", encoding="utf-8")
    return path


@pytest.fixture
def scene(make_raster: Any) -> Path:
    """A scene in UTM: nothing says that its tiles are wanted in degrees."""
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)))


@pytest.fixture
def command(scene: Path, labels: Path, tiny_bundle: Bundle) -> list[str]:
    options = ["-l", labels, "--model", tiny_bundle.folder, "--no-captions", "--batch-size", 4]
    return [*map(str, ["classify", scene, *options])]


def bimors(*args: object, cwd: Path) -> Result:
    """Run a command in this process: torch is imported once for all of them."""
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)])


def shell(command: list[str], rest: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = f"set -o pipefail; {shlex.join([*PROGRAM, *command])} {rest}"
    return subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, encoding="utf-8", check=False)


@POSIX
@pytest.mark.skipif(shutil.which("jq") is None or shutil.which("ogr2ogr") is None, reason="no jq or no ogr2ogr")
def test_jq_and_ogr2ogr_read_the_stream(command: list[str], tmp_path: Path) -> None:
    rest = "| tee all.geojsonl | jq -c 'select(.properties.col > 0)' | ogr2ogr -f GPKG piped.gpkg /vsistdin/"
    done = shell([*command, "--tile-size", "32", "-q", "-o", "-"], rest, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (name,) = pyogrio.list_layers(tmp_path / "piped.gpkg")[:, 0]
    piped = geopandas.read_file(tmp_path / "piped.gpkg", layer=name)
    written = [f["properties"] for f in records((tmp_path / "all.geojsonl").read_text("utf-8"))]
    assert [f["tile_id"] for f in written] == [f"scene/{i // 3}/{i % 3}" for i in range(9)]
    kept = [f for f in written if f["col"]]
    for column in ("tile_id", "label", "confidence"):
        assert piped[column].tolist() == [f[column] for f in kept]
    assert piped.crs == "EPSG:4326" and piped.geometry.is_valid.all()


@POSIX
def test_a_reader_that_has_enough_is_no_error(command: list[str], tmp_path: Path) -> None:
    done = shell([*command, "--tile-size", "4", "-q", "-o", "-"], "| head -n 1", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["properties"]["tile_id"] == "scene/0/0"


@POSIX
def test_lines_arrive_while_the_run_goes_on(command: list[str], tmp_path: Path, forks: Forks) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    run = forks.start([*command, "--tile-size", "4", "-o", "-"], tmp_path, out=fifo)
    with fifo.open(encoding="utf-8") as stream:
        first = stream.readline()
        # Were the lines held back to the end, this would come too late to stop anything.
        run.send(signal.SIGINT)
        rest = stream.read()
    assert run.wait().code == 130
    tiles = [json.loads(line)["properties"]["tile_id"] for line in (first + rest).splitlines()]
    assert tiles == [f"scene/{i // 24}/{i % 24}" for i in range(len(tiles))] and 4 <= len(tiles) < 24 * 24


def records(text: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in text.splitlines())


def test_separators_on_request(command: list[str], tmp_path: Path) -> None:
    plain = bimors(*command, "--tile-size", 32, "-o", "-", cwd=tmp_path)
    separated = bimors(*command, "--tile-size", 32, "-o", "-", "--rs", cwd=tmp_path)
    assert plain.exit_code == separated.exit_code == 0, separated.stderr
    assert separated.stdout == "".join(f"\x1e{line}\n" for line in plain.stdout.splitlines())
    for feature in records(plain.stdout):
        assert all(-76 < x < -74 and 41 < y < 42 for x, y in feature["geometry"]["coordinates"][0])
    assert {f["properties"]["label"] for f in records(plain.stdout)} <= {"forest", "river", "Порт 🌲"}


def test_the_stream_is_in_wgs84_and_nothing_else(command: list[str], tmp_path: Path) -> None:
    refused = bimors(*command, "-o", "-", "--dst-crs", "EPSG:3857", cwd=tmp_path)
    assert refused.exit_code == 2 and "WGS 84 only" in refused.stderr and refused.stdout == ""
    assert bimors(*command, "--tile-size", 96, "-o", "-", "--dst-crs", "EPSG:4326", cwd=tmp_path).exit_code == 0


def test_a_stream_may_have_a_raster_beside_it(command: list[str], tmp_path: Path) -> None:
    done = bimors(*command, "--tile-size", 32, "-o", "-", "--raster", "labels.tif", cwd=tmp_path)
    assert done.exit_code == 0 and "label raster: labels.tif" in done.stderr
    names = [None, "forest", "river", "Порт 🌲"]
    with rasterio.open(tmp_path / "labels.tif") as raster:
        found = [names[number] for number in raster.read(1).ravel()]
    assert found == [feature["properties"]["label"] for feature in records(done.stdout)]


def test_stdout_names_the_layer_alone(command: list[str], tmp_path: Path) -> None:
    done = bimors(*command, "--tile-size", 32, "-o", "out.fgb", "--raster", "labels.tif", cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (0, "out.fgb\n"), done.stderr
    written = {"labels.qml", "labels.tif", "labels.tif.aux.xml", "labels.txt", "out.fgb", "out.qml", "scene.tif"}
    assert {path.name for path in tmp_path.iterdir()} == written
    added = bimors(*command, "--tile-size", 32, "-o", "out.gpkg", "--append", "--layer", "x", cwd=tmp_path)
    assert (added.exit_code, added.stdout) == (0, "out.gpkg\n"), added.stderr


def test_mistakes_are_one_line_and_a_hint(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.gpkg").write_text("precious")
    (tmp_path / "out.qml").write_text("precious")
    for args in (
        ("-o", "text.gpkg", "--append"),
        ("-o", "-", "--append"),
        ("-o", "a.gpkg", "--append", "--overwrite"),
        ("-o", "a.gpkg", "--rs"),
        ("-o", "-", "-f", "FlatGeobuf"),
        ("-o", "out.fgb"),
        ("-o", "a.gpkg", "--raster", "a.png"),
        ("-o", "a.gpkg", "--raster", "scene.tif"),
        ("-o", "a.gpkg", "--raster-res", "scene"),
        ("-o", "a.gpkg", "--raster", "a.tif", "--raster-res", "fine"),
        ("-o", "a.gpkg", "--raster", "a.tif", "--dst-crs", "EPSG:4326"),
        ("-o", "a.fgb", "--raster", "a.tif"),
    ):
        result = bimors(*command, *args, cwd=tmp_path)
        lines = result.stderr.strip().splitlines()
        assert result.exit_code == 2 and result.stdout == "", (args, result.stderr)
        assert len(lines) == 2 and lines[0].startswith("error: ") and lines[1].startswith("hint: "), (args, lines)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.txt", "out.qml", "scene.tif", "text.gpkg"}
    assert (tmp_path / "out.qml").read_text() == (tmp_path / "text.gpkg").read_text() == "precious"


def test_the_examples_of_the_help_run(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("scene.tif", "labels.txt"):
        shutil.copy(EXAMPLES / name, tmp_path)
    shown = " ".join(bimors("classify", "--help", cwd=tmp_path).stdout.split())
    examples = re.findall(r": (bimors classify .+)", classify.classify.__doc__ or "")
    assert len(examples) == 5
    for example in examples:
        assert example in shown
        words = shlex.split(example.split(" | ")[0])[1:]
        done = bimors(*words, "--model", tiny_bundle.folder, "--no-captions", cwd=tmp_path)
        assert done.exit_code == 0, (example, done.stderr)
    assert {"out.gpkg", "out.fgb", "labels.tif"} <= {path.name for path in tmp_path.iterdir()}
