"""`bimors adapters` on adapters that finetune could have written."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.registry import make_learner
from tests.bundles import save_adapter


def bimors(*args: object, cwd: Path) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, ["adapters", *map(str, args)])


@pytest.fixture
def shelf(tiny_bundle: Bundle, tiny_models: FrozenModels, tmp_path: Path) -> Path:
    for name, head, labels in (("coast", "bimors", ["beach", "forest"]), ("town", "linear", ["park", "road", "roof"])):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        learner = make_learner(head, tiny_models, tiny_bundle.context, classes=len(labels))
        save_adapter(folder, tiny_bundle, head, learner, labels, name=name)
        figures = {"validation": {head: {"accuracy": {"right": 3, "of": 4, "value": 0.75}}}}
        (folder / "metrics.json").write_text(json.dumps(figures))
    return tmp_path


def test_list(shelf: Path) -> None:
    result = bimors("list", cwd=shelf)
    assert result.exit_code == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.split()[:3] == ["adapters/coast", "bimors", "tiny"] and "validation 75.0 %" in first
    assert "3 labels" in second
    rows = json.loads(bimors("list", "adapters", "--json", cwd=shelf).stdout)
    assert [row["path"] for row in rows] == ["adapters/coast", "adapters/town"]
    assert bimors("list", "elsewhere", cwd=shelf).exit_code == 2


def test_show(shelf: Path) -> None:
    text = bimors("show", "adapters/town", cwd=shelf).stdout
    assert "park, road, roof" in text and "accuracy on validation" in text
    facts = json.loads(bimors("show", "adapters/town", "--json", cwd=shelf).stdout)
    assert facts["head"] == "linear" and facts["metrics"]["validation"]["linear"]["accuracy"]["of"] == 4
    result = bimors("show", "adapters", cwd=shelf)
    assert result.exit_code == 2 and "not an adapter" in result.stderr


def test_a_damaged_adapter_is_said_in_one_line(shelf: Path) -> None:
    (shelf / "adapters" / "coast" / "metrics.json").write_text("{")
    result = bimors("list", cwd=shelf)
    assert result.exit_code == 1 and "metrics.json: damaged" in result.stderr
    (shelf / "adapters" / "town" / "adapter.json").write_text('{"schema": 1}')
    assert bimors("show", "adapters/town", cwd=shelf).exit_code == 1


def test_diff(shelf: Path) -> None:
    assert bimors("diff", "adapters/coast", "adapters/coast", cwd=shelf).stdout == ""
    found = json.loads(bimors("diff", "adapters/coast", "adapters/town", "--json", cwd=shelf).stdout)
    assert found["head"] == ["bimors", "linear"] and found["labels"] == ["beach, forest", "park, road, roof"]
    assert "bundle" not in found
    assert (
        "labels\n  beach, forest\n  park, road, roof\n"
        in bimors("diff", "adapters/coast", "adapters/town", cwd=shelf).stdout
    )


def test_an_exported_adapter_opens_where_it_is_unpacked(shelf: Path, tiny_bundle: Bundle) -> None:
    (shelf / "adapters" / "coast" / "notes.txt").write_text("of the user")
    result = bimors("export", "adapters/coast", cwd=shelf)
    assert (result.exit_code, result.stdout) == (0, "coast.zip\n"), result.stderr
    with zipfile.ZipFile(shelf / "coast.zip") as packed:
        assert sorted(packed.namelist()) == [
            f"coast/{n}" for n in ("adapter.json", "adapter.safetensors", "metrics.json")
        ]
        packed.extractall(shelf / "there")
    assert open_adapter(shelf / "there" / "coast", tiny_bundle).labels == ("beach", "forest")
    assert bimors("export", "adapters/coast", cwd=shelf).exit_code == 2  # it is there
    assert bimors("export", "adapters/coast", "-o", "b.zip", cwd=shelf).exit_code == 0
    assert (shelf / "coast.zip").read_bytes() == (shelf / "b.zip").read_bytes()


def test_changed_weights_are_not_exported(shelf: Path) -> None:
    with (shelf / "adapters" / "coast" / "adapter.safetensors").open("ab") as stream:
        stream.write(b"x")
    assert bimors("export", "adapters/coast", cwd=shelf).exit_code == 1
    assert not (shelf / "coast.zip").exists()
