"""Completion in the shell: what is offered, that it is quick to say, and the scripts for the shells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bimors_cli.bundle.catalog import entries
from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.cli.main import app
from bimors_cli.evaluation.protocols import PROTOCOLS
from bimors_cli.options.heads import HEADS
from bimors_cli.options.sample import DESIGNS
from bimors_cli.output.formats import FORMATS, find_format
from bimors_cli.scene.stretch import parse_stretch


def asked(line: str) -> dict[str, str]:
    """The environment in which bash asks for the last word of a line."""
    words = line.split(" ")
    return {"_BIMORS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}


def offered(line: str) -> list[str]:
    result = CliRunner().invoke(app, prog_name="bimors", env=asked(line))
    assert result.exit_code == 0 and result.stderr == "", result.stderr
    return result.stdout.split()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No bundle of the user's."""
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_commands_and_options() -> None:
    assert {"classify", "finetune", "models"} <= set(offered("bimors "))
    assert offered("bimors fin") == ["finetune"]
    assert {"list", "fetch", "new", "import"} <= set(offered("bimors models "))
    assert {"--tile-size", "--top-k"} <= set(offered("bimors classify --t"))
    assert offered("bimors classify scene.tif --no-sense ") == []


def test_designs_of_samples() -> None:
    assert set(offered("bimors sample map.gpkg --design ")) == set(DESIGNS)
    assert offered("bimors sample map.gpkg --design sy") == ["systematic"]


def test_lists_of_labels(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("forest\nriver\n")
    (tmp_path / "scene.tif").touch()
    assert offered("bimors classify scene.tif --labels ")[0] == "mine.txt"
    assert offered("bimors classify scene.tif --labels corine") == ["corine:1", "corine:2", "corine:3"]
    assert offered("bimors finetune --class-names nl") == offered("bimors labels nl") == ["nlcd"]


def test_bundles(home: Path) -> None:
    catalogue = [entry.name for entry in entries()]
    assert offered("bimors classify --model ") == ["mini", "bands", *catalogue]
    assert offered("bimors models fetch ") == catalogue and offered("bimors models remove ") == []
    (home / "bundles" / "coastal").mkdir(parents=True)
    (home / "bundles" / "coastal" / "manifest.json").write_text("{}")
    assert offered("bimors finetune --model coa") == ["coastal"]
    assert offered("bimors models verify m") == ["mini"] and offered("bimors models remove ") == ["coastal"]


def test_adapters(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert offered("bimors classify --adapter ") == []
    for place in ("coast", "adapters/city", "adapters/harbour", "shelf/deep/lake"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "adapter.json").write_bytes((tiny_bundle.part(ADAPTER) / "adapter.json").read_bytes())
    assert offered("bimors classify --adapter ") == ["adapters/city", "adapters/harbour", "coast"]
    assert offered("bimors adapters show c") == ["coast"]
    assert offered("bimors adapters diff coast adapters/h") == ["adapters/harbour"]
    assert offered("bimors classify --adapter shelf/deep/") == ["shelf/deep/lake"]


def test_what_is_offered_is_understood() -> None:
    assert offered("bimors finetune --head ") == list(HEADS)
    assert offered("bimors classify --head z") == ["zero-shot"]
    assert offered("bimors evaluate --heads ") == ["zero-shot", *HEADS]
    assert offered("bimors evaluate --heads coop,b") == ["coop,bimors"]
    assert "coop,coop" not in offered("bimors evaluate --heads coop,")
    assert offered("bimors evaluate --protocol ") == list(PROTOCOLS)
    stretches = offered("bimors info --stretch ")
    assert [str(parse_stretch(text)) for text in stretches] == stretches
    assert {find_format(name).name for name in offered("bimors classify -f ")} == {known.name for known in FORMATS}
    assert offered("bimors classify --raster-res ") == ["tile", "scene"]
    assert offered("bimors classify --aoi-rule w") == ["within"]
    assert offered("bimors classify --device c") == ["cpu", "cuda", "cuda:0"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_see_what_a_name_means(shell: str) -> None:
    env = {"_BIMORS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "bimors classify --model m"}
    env["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    told = CliRunner().invoke(app, prog_name="bimors", env=env).stdout
    assert "mini" in told and "here" in told and "georsclip" not in told


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("bash", "complete -o default -F _bimors_completion bimors"),
        ("zsh", "#compdef bimors"),
        ("fish", "--command bimors"),
    ],
)
def test_scripts(shell: str, said: str) -> None:
    result = CliRunner().invoke(app, prog_name="bimors", env={"_BIMORS_COMPLETE": f"source_{shell}"})
    assert result.exit_code == 0 and said in result.stdout
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "--install-completion" in shown and "--show-completion" in shown


def test_completion_is_quick_to_say() -> None:
    """It runs at every press of the key: none of the heavy libraries is imported."""
    code = (
        "import sys, json\n"
        "from bimors_cli.cli.main import app\n"
        "try: app(prog_name='bimors')\n"
        "finally: print(json.dumps([m for m in ('torch', 'rasterio', 'geopandas', 'pandas', 'matplotlib') "
        "if m in sys.modules]), file=sys.stderr)"
    )
    for line in (
        "bimors classify --model ",
        "bimors classify --adapter ",
        "bimors evaluate --heads ",
        "bimors info -f",
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **asked(line)}, capture_output=True, text=True, check=False
        )
        assert json.loads(done.stderr) == [], done.stderr


def test_assets_of_the_items_in_this_folder(tmp_path: Path) -> None:
    assets = {name: {"href": f"{name}.tif", "roles": ["data"]} for name in ("red", "green")}
    assets["thumbnail"] = {"href": "t.png", "roles": ["thumbnail"]}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": assets}
    (tmp_path / "item.json").write_text(json.dumps(item))
    (tmp_path / "labels.json").write_text("{}")
    assert offered("bimors classify item.json --asset ") == ["red", "green"]
    assert offered("bimors classify item.json --asset red,g") == ["red,green"]
