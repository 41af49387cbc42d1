"""The plugin in the real QGIS: as the dialog runs it, with a stand-in for the program, and by `qgis_process`."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest

from bimors_cli.evaluation.areas.assess_sample import assess_sample
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.labels import Labels, read_labels
from tests.conftest import MakeRaster
from tests.evaluation.accuracy.map_files import LABELS, tile, write_layer, write_reference
from tests.evaluation.areas import samples
from tests.layers import MakeLayer, make_layer
from tests.qgis.conftest import BIMORS, InQgis, QgisProcess
from tests.qgis.plugin import EXAMPLES, FOLDER, described, part
from tests.qgis.test_process import Feedback

__all__ = ["make_layer"]

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
given = dict(word[2:].partition("=")[::2] for word in sys.argv if word.startswith("--"))
if "wait" in given["labels"]:
    try:
        show("waiting")  # inside: the interrupt may come before the next line runs
        time.sleep(100)
    except KeyboardInterrupt:
        show("error: interrupted; 2 finished tiles are kept")
        sys.exit(130)
shutil.copy({str(layer)!r}, given["output"])
"""
    )
    program.chmod(0o755)
    return str(program)


def run(
    in_qgis: InQgis, program: str, algorithm: str, parameters: dict[str, object], cancel_at: str | None = None
) -> dict[str, Any]:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()}
    found: dict[str, Any] = in_qgis(
        "run_algorithm.py",
        plugins=str(FOLDER.parent),
        program=program,
        algorithm=f"bimors:{algorithm}",
        parameters=given,
        cancel_at=cancel_at,
    )
    return found


def classified(
    in_qgis: InQgis, program: str, tmp_path: Path, labels: str, cancel_at: str | None = None
) -> dict[str, Any]:
    (tmp_path / labels).touch()
    parameters = {"INPUT": EXAMPLES / "scene.tif", "LABELS": tmp_path / labels, "OUTPUT": tmp_path / "out.gpkg"}
    return run(in_qgis, program, "classify", parameters, cancel_at)


def test_the_result_is_loaded_in_its_colours(tmp_path: Path, in_qgis: InQgis, stand_in: str) -> None:
    found = classified(in_qgis, stand_in, tmp_path, "labels.txt")
    assert found["fine"] is True and found["results"] == {"OUTPUT": str(tmp_path / "out.gpkg")}
    assert len(found["layers"]) == 1, found
    (layer,) = found["layers"]
    assert layer["name"] == "Tiles" and layer["renderer"] == "categorizedSymbol"
    assert layer["categories"][:2] == [[FOREST, "#e69f00"], [RIVER, "#56b4e9"]]
    assert "caption" in layer["tip"]
    assert 50 in found["shares"] and found["gone"]


def test_cancel_stops_the_program_and_loads_nothing(tmp_path: Path, in_qgis: InQgis, stand_in: str) -> None:
    found = classified(in_qgis, stand_in, tmp_path, "wait.txt", cancel_at="waiting")
    assert found["fine"] is False and found["layers"] == [] and found["results"] == {}
    assert found["log"][-1] == "error: interrupted; 2 finished tiles are kept"


def test_a_program_that_is_not_there_is_told_before_the_dialog(tmp_path: Path, in_qgis: InQgis) -> None:
    found = classified(in_qgis, str(tmp_path), tmp_path, "labels.txt")  # a folder without it
    assert found["can"] is False and "Providers > bimors" in str(found["why"])


@pytest.fixture
def map_file(make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """A map of sixteen tiles of two classes, as `classify` writes it."""
    scene = make_raster(np.full((3, 32, 32), 100, np.uint8))
    return make_layer(
        str(scene),
        labels=Labels.of(LABELS),
        answer=lambda tile: {"ranking": ((tile % 2, 0.75), (1 - tile % 2, 0.25))},
        tile_size="8",
    )


@pytest.fixture
def writes_a_layer(tmp_path: Path) -> Path:
    """A program that writes its arguments next to its output, and copies a layer of tiles with a style."""
    layer = write_layer(tmp_path / "made.gpkg", [FOREST, RIVER, None, BARE])
    program = tmp_path / "bimors"
    program.write_text(
        f"""#!{sys.executable}
import json, pathlib, shutil, sys
output = next(word[9:] for word in sys.argv if word.startswith("--output="))
pathlib.Path(output + ".json").write_text(json.dumps(sys.argv[1:]))
shutil.copy({str(layer)!r}, output)
"""
    )
    program.chmod(0o755)
    return program


def test_suggested_tiles_are_loaded_in_their_style(
    tmp_path: Path, in_qgis: InQgis, writes_a_layer: Path, map_file: Path
) -> None:
    output, avoided = tmp_path / "suggestions.gpkg", write_reference(tmp_path / "s.gpkg", [tile(0, 0)], [FOREST])
    parameters = {"INPUT": f"{map_file}|layername=tiles", "TILES": 5, "EXCLUDE": avoided, "SEED": 0, "OUTPUT": output}
    found = run(in_qgis, str(writes_a_layer), "suggest", parameters)
    assert json.loads(Path(f"{output}.json").read_text()) == [
        "suggest", str(map_file), f"--output={output}", "--layer=tiles", "--tiles=5", f"--exclude={avoided}",
        "--seed=0",
    ]  # fmt: skip
    (layer,) = found["layers"]
    assert layer["renderer"] == "categorizedSymbol" and found["results"] == {"OUTPUT": str(output)}
    assert not any("temporary file" in line for line in found["log"])


def test_a_layer_to_edit_in_a_temporary_file_is_a_warning(
    in_qgis: InQgis, writes_a_layer: Path, map_file: Path
) -> None:
    parameters: dict[str, object] = {"INPUT": map_file, "OUTPUT": "TEMPORARY_OUTPUT"}
    found = run(in_qgis, str(writes_a_layer), "suggest", parameters)
    assert found["fine"] and any(line.startswith("WARNING The output is a temporary file") for line in found["log"])


def test_change_is_loaded_in_its_style(tmp_path: Path, in_qgis: InQgis, writes_a_layer: Path, map_file: Path) -> None:
    after, output = write_layer(tmp_path / "after.gpkg", [FOREST] * 16), tmp_path / "change.gpkg"
    parameters = {"BEFORE": f"{map_file}|layername=tiles", "AFTER": after, "MAX_FALSE": 2.5, "OUTPUT": output}
    found = run(in_qgis, str(writes_a_layer), "change", parameters)
    assert json.loads(Path(f"{output}.json").read_text()) == [
        "change", str(map_file), str(after), f"--output={output}", "--layer-before=tiles", "--max-false=2.5%",
    ]  # fmt: skip
    (layer,) = found["layers"]
    assert layer["renderer"] == "categorizedSymbol"


def test_what_an_older_program_lacks_is_the_error_of_the_algorithm(
    tmp_path: Path, in_qgis: InQgis, map_file: Path
) -> None:
    parameters = {"INPUT": map_file, "EXTRA": "--no-such-option", "OUTPUT": tmp_path / "sample.gpkg"}
    found = run(in_qgis, str(BIMORS), "sample", parameters)
    assert found["fine"] is False and found["layers"] == []
    assert any(line.startswith("ERROR No such option: --no-such-option") for line in found["log"])


ESTIMATES = {"classes": {"river": {"mapped_ha": 1.5, "drawn": 3}}, "overall": {"accuracy": 0.5, "se": 0.1}}


@pytest.fixture
def listens(tmp_path: Path) -> Path:
    """A program that writes its arguments into a file, and estimates to standard output."""
    program = tmp_path / "bimors"
    program.write_text(
        f"""#!{sys.executable}
import json, pathlib, sys
pathlib.Path({str(tmp_path / "heard.json")!r}).write_text(json.dumps(sys.argv[1:]))
print({json.dumps(ESTIMATES)!r})
"""
    )
    program.chmod(0o755)
    return program


def test_a_newer_map_is_assessed_by_an_older_sample(
    tmp_path: Path, in_qgis: InQgis, listens: Path, map_file: Path
) -> None:
    sample = samples.write(tmp_path / "s.gpkg", samples.drawn_tiles([FOREST] * 3))
    parameters = {"INPUT": f"{sample}|layername=sample", "MAP": f"{map_file}|layername=tiles", "FOLDER": tmp_path / "r"}
    found = run(in_qgis, str(listens), "assess", {**parameters, "AREAS": "TEMPORARY_OUTPUT"})
    assert found["fine"], found["log"]
    assert json.loads((tmp_path / "heard.json").read_text()) == [
        "evaluate", str(map_file), f"--output={tmp_path / 'r' / 's_areas'}", f"--sample={sample}", "--layer=tiles",
        "--json",
    ]  # fmt: skip
    assert found["results"]["ACCURACY"] == 0.5 and found["layers"][0]["rows"] == [["river", 1.5, 3]]
    assert found["results"]["REPORT"] == str(tmp_path / "r" / "s_areas" / "report.html")


def test_training_from_a_label_raster_of_several_scenes(tmp_path: Path, in_qgis: InQgis, listens: Path) -> None:
    scene, other, raster = EXAMPLES / "scene.tif", tmp_path / "b.tif", tmp_path / "codes.tif"
    for copy in (other, raster):
        shutil.copy(scene, copy)
    parameters: dict[str, object] = {
        "INPUT": scene, "SCENES": [str(other)], "EXAMPLES": raster, "WORDLIST": "nlcd", "TILE_SIZE": " 160m ",
        "VIEWS": ["bands", "image"], "RATE": 0.002, "CAPTIONS": False, "NAME": "land", "FOLDER": tmp_path / "adapters",
    }  # fmt: skip
    found = run(in_qgis, str(listens), "finetuneraster", parameters)
    assert found["fine"] and found["results"]["OUTPUT"] == str(tmp_path / "adapters" / "land"), found["log"]
    heard = json.loads((tmp_path / "heard.json").read_text())
    assert heard[:3] == ["finetune", str(scene), str(other)]
    assert set(heard[3:]) == {
        "--tile-size=160m", f"--output={tmp_path / 'adapters' / 'land'}", f"--examples={raster}", "--class-names=nlcd",
        "--views=bands,image", "--lr=0.002", "--no-captions",
    }  # fmt: skip


def fill_in(sample: Path, references: dict[str, str | None]) -> None:
    """Set references by tile, as the user does in QGIS."""
    with closing(sqlite3.connect(sample)) as database, database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # for spatial index triggers
            database.create_function(name, 1, lambda _geometry: 0)
        for tile_id, reference in references.items():
            database.execute("UPDATE sample SET reference = ? WHERE tile_id = ?", (reference, tile_id))


def test_a_sample_is_drawn_labelled_and_assessed(tmp_path: Path, in_qgis: InQgis, map_file: Path) -> None:
    """The program itself. The labels are filled in as QGIS would: river is forest on one tile."""
    output = tmp_path / "sample.gpkg"
    avoided, tiles = tmp_path / "train.gpkg", pyogrio.read_dataframe(map_file, layer="tiles")
    geopandas.GeoSeries([tiles.geometry[0].centroid], crs=tiles.crs).to_file(avoided)
    parameters = {"INPUT": map_file, "PER_CLASS": 4, "EXCLUDE": avoided, "SEED": 3, "OUTPUT": output}
    found = run(in_qgis, str(BIMORS), "sample", parameters)
    assert found["fine"], found["log"]
    (layer,) = found["layers"]
    assert "tile_id" in layer["tip"] and "label" not in layer["widgets"]  # its own style, and blind
    assert {"reference", "note"} <= layer["widgets"].keys()
    drawn = read_sample(output)
    assert len(drawn.tile_ids) == 8 and drawn.design.excluded == 1 and drawn.design.seed == 3
    replaced = run(in_qgis, str(BIMORS), "sample", parameters)
    assert not replaced["fine"] and any(f"ERROR {output} exists" in line for line in replaced["log"]), replaced["log"]

    wrong = next(name for name, label in zip(drawn.tile_ids, drawn.mapped, strict=True) if label == RIVER)
    truth = dict(zip(drawn.tile_ids, drawn.mapped, strict=True)) | {wrong: FOREST}
    fill_in(output, truth)
    found = run(in_qgis, str(BIMORS), "assess", {"INPUT": output, "AREAS": "TEMPORARY_OUTPUT"})
    assert found["fine"], found["log"]
    assessed = assess_sample(output)
    assert found["results"]["ACCURACY"] == pytest.approx(assessed.overall.value) != 1
    assert found["results"]["ACCURACY_SE"] == pytest.approx(assessed.overall.se)
    (table,) = found["layers"]
    rows = {row[0]: dict(zip(list(table["widgets"])[1:], row[1:], strict=True)) for row in table["rows"]}
    # Numbers that the sample does not give are null: the map has no tile of bare land.
    assert rows == assessed.as_json()["classes"] and rows[BARE]["users"] is None
    assert any("overall accuracy" in line for line in found["log"])


def test_a_sample_without_references_is_the_error_of_the_program(
    tmp_path: Path, in_qgis: InQgis, map_file: Path
) -> None:
    output = samples.write(tmp_path / "sample.gpkg", samples.drawn_tiles([FOREST] * 3))
    found = run(in_qgis, str(BIMORS), "assess", {"INPUT": output, "AREAS": "TEMPORARY_OUTPUT"})
    assert not found["fine"] and any("no tile has a reference" in line for line in found["log"])


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


@pytest.mark.slow
def test_qgis_process_goes_on_with_a_cancelled_run(
    installed: None, profile: dict[str, str], qgis_process: QgisProcess, tmp_path: Path
) -> None:
    """The program itself, with the model that comes with it: cancelled by the plugin's code, finished by QGIS."""
    output, scene, labels = tmp_path / "out.gpkg", EXAMPLES / "scene.tif", EXAMPLES / "labels.txt"

    cancelling = Feedback(lambda line: " tiles (" in line)
    chosen = {"scenes": str(scene), "labels": str(labels), "output": str(output), "tile_size": "40", "captions": "none"}
    arguments = part("command").arguments(described("classify"), chosen, "--batch-size 1")
    assert part("process").run([str(BIMORS), *arguments], cancelling) is None
    assert any("stopping after this batch" in line for line in cancelling.lines)
    assert 0 < cancelling.progress[-1] < 100
    assert cancelling.lines[-1] == "hint: run the same command with --resume to continue"
    assert [file.name for file in tmp_path.iterdir()] == ["out.gpkg.bimors-journal"]

    given = {"INPUT": scene, "LABELS": labels, "TILE_SIZE": 40, "CAPTIONS": "none", "OUTPUT": output}
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


def test_a_batch_runs_every_row(tmp_path: Path, in_qgis: InQgis, writes_a_layer: Path) -> None:
    """Rows of a file, as the dialog of batches saves it. The second one fails, and the third one runs."""
    rows = []
    for size in ("100m", "200m", "1km"):
        (tmp_path / f"{size}.txt").touch()
        given = {"INPUT": EXAMPLES / "scene.tif", "LABELS": tmp_path / f"{size}.txt", "TILE_SIZE": size}
        if size == "200m":
            given["WORDLIST"] = "nlcd"
        rows.append(
            {
                "PARAMETERS": {name: repr(str(value)) for name, value in given.items()},
                "OUTPUTS": {"OUTPUT": repr(str(tmp_path / f"{size}.gpkg"))},
            }
        )
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found = in_qgis(
        "run_batch.py",
        plugins=str(FOLDER.parent),
        program=str(writes_a_layer),
        algorithm="bimors:classify",
        file=str(tmp_path / "rows.json"),
    )
    assert found["rows"] == 3 and [one["OUTPUT"] for one in found["results"]] == [
        str(tmp_path / f"{size}.gpkg") for size in ("100m", "1km")
    ]
    (errors,) = found["errors"]
    assert "Set 'Labels file' or 'Or a wordlist', not both." in str(errors)
    assert found["layers"] == ["categorizedSymbol"] * 2
    assert "--tile-size=1km" in json.loads((tmp_path / "1km.gpkg.json").read_text())


@pytest.mark.slow
def test_a_model_of_model_designer_runs(installed: None, qgis_process: QgisProcess, tmp_path: Path) -> None:
    """The example: train with some polygons, classify, and compare with the others."""
    features = geopandas.read_file(EXAMPLES / "train.gpkg")
    for name, part_of in (("train", features[::2]), ("check", features[1::2])):
        part_of.to_file(tmp_path / f"{name}.gpkg")
    given = {
        "scene": EXAMPLES / "scene.tif",
        "labels": EXAMPLES / "labels.txt",
        "tile_size": "160m",
        "training": tmp_path / "train.gpkg",
        "class_field": "class",
        "reference": tmp_path / "check.gpkg",
        "reference_field": "class",
        "train:Folder of the adapter": tmp_path / "adapters",
        "classify:Map": tmp_path / "map.gpkg",
        "evaluate:Folder of the evaluation": tmp_path / "accuracy",
    }
    model = FOLDER.parent / "models" / "train_classify_evaluate.model3"
    done = qgis_process("run", str(model), "--json", "--", *(f"{name}={value}" for name, value in given.items()))
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads((tmp_path / "accuracy" / "map_check" / "map_check.json").read_text())["accuracy"] > 0.5
    assert (tmp_path / "adapters" / "adapter").is_dir()
    assert len(pyogrio.read_dataframe(tmp_path / "map.gpkg", layer="tiles")) > 100
