"""What is said of a checked map, and the folder of its results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.evaluation.accuracy.assess import Assessment, assess
from bimors_cli.evaluation.accuracy.report import lines, save_results
from bimors_cli.options.accuracy import AssessOptions
from tests.evaluation.accuracy.map_files import LABELS, tile, write_layer, write_reference

F, R, B = LABELS
FILES = ["confusion.png", "map_check.json", "map_check.md", "reliability.png"]


@pytest.fixture
def check(tmp_path: Path) -> Assessment:
    layer = write_layer(tmp_path / "out.gpkg", [F, F, R, None, B, R, R, None])
    shapes = [tile(0, 0, 1, 4), tile(1, 0), tile(1, 1)]
    truth = write_reference(tmp_path / "truth.gpkg", shapes, [F, "moor|heath", R])
    return assess(AssessOptions(layer_file=str(layer), reference=truth, field="class"))


def test_lines_show_both_columns(check: Assessment) -> None:
    text = "\n".join(lines(check))
    assert "6 of 8 tiles have a reference class" in text
    (accuracy,) = (line for line in text.splitlines() if line.strip().startswith("accuracy  "))
    assert "50.0 % (18.8 to 81.2)" in accuracy and "60.0 % (23.1 to 88.2)" in accuracy
    assert "coverage" in text and "83.3 %" in text and "calibration error" in text
    assert "kappa" not in text and "chosen by hand: accuracy of these places only; draw a sample with bimors" in text
    assert "most confused: forest as river 1, forest as no label 1, moor|heath as bare land 1" in text
    assert "without a label: low_confidence 1" in text
    assert "classes that are not labels of the layer, counted as errors: 'moor|heath'" in text
    assert "edited" not in text


def test_points_are_called_points(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "out.gpkg", [F, R])
    truth = write_reference(tmp_path / "t.gpkg", [tile(0, 0).centroid, tile(5, 0).centroid], [F, R])
    found = assess(AssessOptions(layer_file=str(layer), reference=truth, field="class"))
    assert next(lines(found)) == "points: 1 in 1 of 2 tiles, 1 outside all tiles"
    assert not any("by area" in line for line in lines(found))


def test_the_folder(check: Assessment, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "coast"
    save_results(folder, check, overwrite=False)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    written = json.loads((folder / "map_check.json").read_text())
    assert written == json.loads(json.dumps(check.as_json()))
    page = (folder / "map_check.md").read_text()
    assert page.startswith("# out.gpkg against truth.gpkg\n") and "| moor\\|heath |" in page
    assert "| accuracy | 50.0 % (18.8 to 81.2) | 60.0 % (23.1 to 88.2) |" in page and "Hectares" in page
    assert "kappa" not in page and "These places were chosen by hand" in page and written["kappa"] is not None
    assert written["probability_sample"] is False
    for line in page.splitlines():  # every row of a table has as many cells as its head
        assert not line.startswith("|") or line.endswith("|")
    for name in ("confusion.png", "reliability.png"):
        with Image.open(folder / name) as image:
            assert image.format == "PNG"
    assert [path.name for path in folder.parent.iterdir()] == ["coast"]


def test_the_same_map_gives_the_same_files(check: Assessment, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_results(tmp_path / name, check, overwrite=False)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_only_former_results_are_replaced(check: Assessment, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    save_results(folder, check, overwrite=False)
    (folder / "note.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="exists"):
        save_results(folder, check, overwrite=False)
    assert (folder / "note.txt").exists()
    save_results(folder, check, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name, inside in {"empty": None, "training": "results.json"}.items():
        (tmp_path / name).mkdir()
        if inside is not None:
            (tmp_path / name / inside).write_text("{}")
        with pytest.raises(InputError, match="it is not replaced"):
            save_results(tmp_path / name, check, overwrite=True)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="it is not replaced"):
        save_results(file, check, overwrite=True)
    assert file.read_text() == "mine"


def test_whole_or_not_at_all(check: Assessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "results"
    save_results(folder, check, overwrite=False)
    before = (folder / "map_check.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bimors_cli.evaluation.accuracy.report.confidence_reliability_diagram", full)
    with pytest.raises(OutputError, match="No space left"):
        save_results(folder, check, overwrite=True)
    assert (folder / "map_check.json").read_bytes() == before
    with pytest.raises(OutputError):
        save_results(tmp_path / "new", check, overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gpkg", "results", "truth.gpkg"]
