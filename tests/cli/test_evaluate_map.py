"""`bimors evaluate LAYER --reference`: what goes to standard output, and what to standard error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bimors_cli.cli.evaluate_map import evaluate_map
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.options.accuracy import AssessOptions
from tests.evaluation.accuracy.map_files import LABELS, tile, write_layer, write_reference

F, R, B = LABELS
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def layer(tmp_path: Path) -> str:
    return str(write_layer(tmp_path / "out.gpkg", [F, R, None, B]))


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return write_reference(tmp_path / "truth.gpkg", [tile(0, 0, 1, 3)], [F])


def run(
    layer: str, reference: str, *, field: str = "class", output: Path | None = None, json: bool = False,
    overwrite: bool = False,
) -> None:  # fmt: skip
    options = AssessOptions(layer_file=layer, reference=reference, field=field)
    evaluate_map(options, output=output, json=json, overwrite=overwrite)


def test_a_summary_on_standard_error_alone(layer: str, reference: str, capsys: Captured) -> None:
    run(layer, reference)
    out, err = capsys.readouterr()
    assert out == "" and "3 of 4 tiles have a reference class" in err and "33.3 %" in err and "50.0 %" in err


def test_json_on_standard_output(layer: str, reference: str, capsys: Captured) -> None:
    run(layer, reference, json=True)
    out, err = capsys.readouterr()
    found = json.loads(out)
    keys = {
        "accuracy", "accuracy_labelled", "coverage", "kappa", "ece", "per_class", "balanced_accuracy", "macro_f1",
        "area_weighted_accuracy", "confusion", "counts",
    }  # fmt: skip
    assert keys <= set(found) and set(found["per_class"]) == set(LABELS) and "coverage" in err
    assert {"tiles", "with_truth", "without_truth", "unlabelled", "points_outside"} <= set(found["counts"])
    assert {"tiles", "precision", "recall", "f1", "accuracy"} <= set(found["per_class"][F])


def test_the_path_on_standard_output(layer: str, reference: str, tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "results"
    run(layer, reference, output=folder)
    assert capsys.readouterr().out == f"{folder}\n" and (folder / "map_check.md").is_file()
    run(layer, reference, output=folder, json=True, overwrite=True)
    assert json.loads(capsys.readouterr().out)["counts"]["tiles"] == 4


def test_what_is_there_is_refused_before_anything_is_read(reference: str, tmp_path: Path, layer: str) -> None:
    run(layer, reference, output=tmp_path / "results")
    with pytest.raises(OutputExistsError, match="exists"):
        run("none.gpkg", reference, output=tmp_path / "results")
    with pytest.raises(InputError, match="it is not replaced"):
        run(layer, reference, output=tmp_path, overwrite=True)


def test_a_mistake_leaves_standard_output_empty(layer: str, reference: str, capsys: Captured) -> None:
    with pytest.raises(InputError, match="has no field"):
        run(layer, reference, field="klass", json=True)
    assert capsys.readouterr().out == ""
