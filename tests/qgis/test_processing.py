"""The plugin in the real QGIS: as the dialog runs it, with a stand-in for the program, and by `qgis_process`."""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pyogrio
import pytest

from bimors_cli.labels import read_labels
from tests.evaluation.accuracy.map_files import LABELS, tile, write_layer, write_reference
from tests.qgis.conftest import BIMORS, InQgis, QgisProcess
from tests.qgis.plugin import EXAMPLES, FOLDER, part
from tests.qgis.test_process import Feedback

pytestmark = pytest.mark.qgis

TILES = "400"  # pixels: six tiles
FOREST, RIVER, BARE = LABELS


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """A program that takes the place of bimors: tells its progress, waits if its labels say so, copies a layer."""
    layer = write_layer(tmp_path / "made.gpkg", [FOREST, RIVER, None, BARE])
    program = tmp_path / "bimors"
    program.write_text(
        f"""#!{sys.executable}
import shutil, sys, time
show = lambda text: print(text, file=sys.stderr, flush=True)
show("2 of 4 tiles (50 %), 1 tiles/s")
if "wait" in sys.argv[sys.argv.index("--labels") + 1]:
    try:
        show("waiting")  # inside: the interrupt may come before the next line runs
        time.sleep(100)
    except KeyboardInterrupt:
        show("error: interrupted; 2 finished tiles are kept")
        sys.exit(130)
shutil.copy({str(layer)!r}, sys.argv[sys.argv.index("--output") + 1])
"""
    )
    program.chmod(0o755)
    return str(program)


def run(in_qgis: InQgis, program: str, tmp_path: Path, labels: str, cancel_at: str | None = None) -> dict[str, object]:
    (tmp_path / labels).touch()
    parameters = {
        "INPUT": str(EXAMPLES / "scene.tif"),
        "LABELS": str(tmp_path / labels),
        "OUTPUT": str(tmp_path / "out.gpkg"),
    }
    found: dict[str, object] = in_qgis(
        "run_algorithm.py",
        plugins=str(FOLDER.parent),
        program=program,
        algorithm="bimors:classify",
        parameters=parameters,
        cancel_at=cancel_at,
    )
    return found


def test_the_result_is_loaded_in_its_colours(tmp_path: Path, in_qgis: InQgis, stand_in: str) -> None:
    found = run(in_qgis, stand_in, tmp_path, "labels.txt")
    assert found["fine"] is True and found["results"] == {"OUTPUT": str(tmp_path / "out.gpkg")}
    assert len(found["layers"]) == 1, found  # type: ignore[arg-type]
    (layer,) = found["layers"]  # type: ignore[misc]
    assert layer["name"] == "Tiles" and layer["renderer"] == "categorizedSymbol"
    assert layer["categories"][:2] == [[FOREST, "#e69f00"], [RIVER, "#56b4e9"]]
    assert "caption" in layer["tip"]
    assert 50 in found["shares"] and found["gone"]  # type: ignore[operator]


def test_cancel_stops_the_program_and_loads_nothing(tmp_path: Path, in_qgis: InQgis, stand_in: str) -> None:
    found = run(in_qgis, stand_in, tmp_path, "wait.txt", cancel_at="waiting")
    assert found["fine"] is False and found["layers"] == [] and found["results"] == {}
    assert found["log"][-1] == "error: interrupted; 2 finished tiles are kept"  # type: ignore[index]


def test_a_program_that_is_not_there_is_told_before_the_dialog(tmp_path: Path, in_qgis: InQgis) -> None:
    found = run(in_qgis, str(tmp_path), tmp_path, "labels.txt")  # a folder without it
    assert found["can"] is False and "Providers > bimors" in str(found["why"])


@pytest.fixture(scope="module")
def installed(profile: dict[str, str], qgis_process: QgisProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The plugin in the profile, from its zip, with the program chosen."""
    archive = tmp_path_factory.mktemp("zip") / "bimors.zip"
    sys.path.insert(0, str(FOLDER.parent))
    from pack import pack  # type: ignore[import-not-found]

    sys.path.remove(str(FOLDER.parent))
    pack(archive)
    home = Path(profile["QGIS_CUSTOM_CONFIG_PATH"]) / "profiles" / "default"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(home / "python" / "plugins")
    done = qgis_process("plugins", "enable", "bimors")
    assert "* bimors" in done.stdout, done.stderr
    with (home / "QGIS" / "QGIS3.ini").open("a") as settings:
        settings.write(f"\n[Processing]\nConfiguration\\BIMORS_PROGRAM={BIMORS}\n")


def test_qgis_process_goes_on_with_a_cancelled_run(
    installed: None, profile: dict[str, str], qgis_process: QgisProcess, tmp_path: Path
) -> None:
    """The program itself, with the model that comes with it: cancelled by the plugin's code, finished by QGIS."""
    output, scene, labels = tmp_path / "out.gpkg", EXAMPLES / "scene.tif", EXAMPLES / "labels.txt"

    cancelling = Feedback(lambda line: " tiles (" in line)
    chosen = {"tile_size": "40", "captions": False, "model": "mini", "stretch": "auto", "device": "auto"}
    arguments = part("command").classify(str(scene), str(labels), str(output), **chosen, extra="--batch-size 1")
    assert part("process").run([str(BIMORS), *arguments], cancelling) is None
    assert any("stopping after this batch" in line for line in cancelling.lines)
    assert 0 < cancelling.progress[-1] < 100
    assert cancelling.lines[-1] == "hint: run the same command with --resume to continue"
    assert [file.name for file in tmp_path.iterdir()] == ["out.gpkg.bimors-journal"]

    given = {"INPUT": scene, "LABELS": labels, "TILE_SIZE": 40, "CAPTIONS": "false", "OUTPUT": output}
    told = qgis_process("run", "bimors:classify", "--", *(f"{name}={value}" for name, value in given.items()))
    assert told.returncode != 0 and "a run of this output was not finished" in told.stderr + told.stdout
    given |= {"RESUME": "true"}
    done = qgis_process("run", "bimors:classify", "--", *(f"{name}={value}" for name, value in given.items()))
    assert done.returncode == 0, done.stderr + done.stdout
    assert re.search(r"tiles labelled, [\d,]+ by earlier runs", done.stdout)
    assert "100 - done." in done.stdout and f"OUTPUT:\t{output}" in done.stdout
    layer = pyogrio.read_dataframe(output, layer="tiles")
    assert len(layer) == 24 * 19 and set(layer["label"]) <= set(read_labels(labels).names)


def test_qgis_process_evaluates(installed: None, qgis_process: QgisProcess, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "map of tiles.gpkg", [FOREST, RIVER, None, BARE])
    reference = write_reference(tmp_path / "truth.gpkg", [tile(0, 0, 1, 3)], [FOREST])
    folder = tmp_path / "results"
    done = qgis_process(
        "run", "bimors:evaluate", "--json", "--", f"INPUT={layer}", f"REFERENCE={reference}", "FIELD=class",
        f"FOLDER={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "3 of 4 tiles have a reference class" in done.stdout + done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    assert found["ACCURACY"] == pytest.approx(1 / 3) and found["COVERAGE"] == pytest.approx(2 / 3)
    assert found["OUTPUT"] == str(folder / "map of tiles_check")
    assert Path(found["PAGE"]).read_text().startswith("# map of tiles.gpkg against truth.gpkg")
    assert [file.name for file in folder.iterdir()] == ["map of tiles_check"]


@pytest.mark.slow
def test_qgis_process_finetunes_and_classifies_with_the_adapter(
    installed: None, qgis_process: QgisProcess, tmp_path: Path
) -> None:
    scene, polygons = EXAMPLES / "scene.tif", tmp_path / "train.gpkg"
    shutil.copy(EXAMPLES / "train.gpkg", polygons)
    done = qgis_process(
        "run", "bimors:finetune", "--", f"INPUT={scene}", f"POLYGONS={polygons}", "FIELD=class", "TILE_SIZE=160m",
        "EPOCHS=1", "NAME=prairie", f"FOLDER={tmp_path / 'adapters'}",
    )  # fmt: skip
    adapter = tmp_path / "adapters" / "prairie"
    assert done.returncode == 0 and f"OUTPUT:\t{adapter}" in done.stdout, done.stderr + done.stdout
    labels, output = EXAMPLES / "labels.txt", tmp_path / "out.gpkg"
    given = {
        "INPUT": scene,
        "LABELS": labels,
        "TILE_SIZE": TILES,
        "ADAPTER": adapter,
        "AOI": polygons,
        "OUTPUT": output,
    }
    given["EXTRA"] = "--aoi-rule any"
    done = qgis_process("run", "bimors:classify", "--", *(f"{name}={value}" for name, value in given.items()))
    assert done.returncode == 0, done.stderr + done.stdout
    assert 0 < len(pyogrio.read_dataframe(output, layer="tiles")) <= 6
