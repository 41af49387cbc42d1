"""The documents are held to the program: their commands run, their options exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
import typer
from shapely import box
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from docs.make_images import START, TUTORIAL, corrections, follow

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/tutorial.md", "examples/README.md", "examples/qgis/README.md"]
# Examples of the help that no test runs as they stand, and why. All others are run.
NOT_RUN = {
    "models fetch": "needs the network",
    "models try": "needs the network",
    "models remove": "needs a bundle that was fetched",
    "models pack": "needs a bundle that was fetched",
    "models unpack": "needs a file of models pack",
    "models new": "needs weights of gigabytes",
    "models import": "needs a checkpoint of the published code",
    "merge": "needs shards: tests/test_docs_shards.py",
}
# What is added to an example so that it takes a few seconds, or so that others can use what it writes.
ADDED = {
    "classify": ["--keep-features", "--probabilities"],
    "bench": ["--tiles", "4"],
    "finetune": ["--tile-size", "64", "--epochs", "1"],
}


def walk(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All commands below one, with the words that call them."""
    for word, inner in getattr(command, "commands", {}).items():
        yield f"{name} {word}".strip(), inner
        yield from walk(inner, f"{name} {word}".strip())


ALL = dict(walk(typer.main.get_command(app)))


def commands(command: Any) -> Iterator[list[str]]:
    """The options of a command and of all that are in it."""
    yield [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
    for inner in getattr(command, "commands", {}).values():
        yield from commands(inner)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), flags=re.M | re.S)


@pytest.fixture(autouse=True)
def caption_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One caption cache for the tests of this file: all of them look at the example scene."""
    monkeypatch.setenv("BIMORS_CACHE", str(tmp_path_factory.getbasetemp() / "captions-of-the-example"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: a scene and labels."""
    for name in START:
        shutil.copy(ROOT / "examples" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_readme_run(folder: Path) -> None:
    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("bimors")]
    assert len(commands) >= 4
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command.split(" | ")[0])[1:])
        assert result.exit_code == 0, (command, result.stderr)
    assert (folder / "out.gpkg").is_file() and (folder / "out.png").is_file()


def test_the_python_of_the_readme_runs(folder: Path) -> None:
    (block,) = blocks("README.md", "python")
    result = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("[(")


def test_the_commands_of_the_tutorial_run(folder: Path) -> None:
    if shutil.which("ogr2ogr") is None:
        pytest.skip("no ogr2ogr: apt-get install gdal-bin")
    right = []

    def run(words: list[str]) -> None:
        if words[0] != "bimors":
            subprocess.run(words, check=True, capture_output=True)
            return
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (words, result.stderr)
        right.extend(re.findall(r"^ +accuracy +(\d+)\.\d %", result.stderr, flags=re.M))

    follow(folder, run)
    # The accuracies in the text: 43 % of the tiles of the first map, and so on. Other machines round differently.
    text = " ".join(TUTORIAL.read_text().split())
    found = re.findall(r"(\d+) % of the (?:37 )?tiles|accuracy is lower here, (\d+) %", text)
    figures = [int(first or second) for first, second in found]
    assert len(figures) == 3 and list(map(int, right)) == pytest.approx(figures, abs=9)
    assert (folder / "report.html").is_file()


def test_the_tutorial_corrects_no_tile_that_it_checks_with(folder: Path) -> None:
    check = gpd.read_file("train.gpkg", where="fid % 2 = 0").union_all()
    with rasterio.open("scene.tif") as scene:
        left, top, side = scene.bounds.left, scene.bounds.top, 200
    for place in corrections(TUTORIAL.read_text()):
        row, col = map(int, place.split("/"))
        tile = box(left + col * side, top - (row + 1) * side, left + (col + 1) * side, top - row * side)
        assert tile.intersection(check).area < 0.5 * tile.area, place


def test_the_images_are_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()]
    assert sizes and max(sizes) < 300_000 and sum(sizes) < 1_500_000


@pytest.mark.parametrize("name", ALL)
def test_the_help_ends_with_an_example(name: str) -> None:
    command = ALL[name]
    shown = " ".join(CliRunner().invoke(app, [*name.split(), "--help"]).stdout.split())
    assert shown.endswith(" ".join(str(command.epilog).split()))
    called = str(command.epilog).removeprefix("Example: bimors ")
    assert called == name or called.startswith(f"{name} ")
    if hasattr(command, "commands"):
        assert any(called.startswith(f"{name} {word}") for word in command.commands)


def test_the_examples_in_the_help_run(folder: Path) -> None:
    for adapter in ("coast", "inland", "adapters/coast"):
        shutil.copytree(ROOT / "weights" / "mini" / "adapter", folder / adapter)
    for name, command in ALL.items():  # classify is first: its out.gpkg is what others look at
        if hasattr(command, "commands"):
            continue
        words = shlex.split(command.epilog.removeprefix("Example: bimors "))
        options = {option for parameter in command.params for option in parameter.opts}
        extra = [*ADDED.get(name, []), *({"--overwrite"} & options - set(words))]
        # Understood: all options and arguments are there. The command itself is not called.
        command.make_context(name, words[len(name.split()) :])
        if name in NOT_RUN:
            continue
        if name == "change":  # two dates that are the same
            for year in ("2014.gpkg", "2018.gpkg"):
                shutil.copy(folder / "out.gpkg", folder / year)
        if name == "restore":  # a copy as QGIS exports it
            pyogrio.read_dataframe(folder / "out.gpkg").to_file(folder / "copy.geojson", engine="pyogrio")
        env = {"BIMORS_CACHE": str(folder / "cache")} if name.startswith("cache") else None  # not that of all tests
        result = CliRunner().invoke(app, [*words, *extra], env=env)
        assert result.exit_code == 0, (name, result.stderr)
    assert set(NOT_RUN) <= set(ALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_that_documents_name_exist(document: str) -> None:
    known = {option for command in commands(typer.main.get_command(app)) for option in command}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / document).read_text()))
    assert named <= {"--help", *known}, named - known


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, "SECURITY.md", "CHANGELOG.md", "weights/mini/README.md", "weights/mini/heads.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_make_targets_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for document in DOCUMENTS:
        assert set(re.findall(r"^    make ([a-z-]+)", (ROOT / document).read_text(), flags=re.M)) <= targets
