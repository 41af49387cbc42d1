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

import pytest
import typer
from typer.testing import CliRunner

from bimors_cli.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "examples/README.md"]


def commands(command: Any) -> Iterator[list[str]]:
    """The options of a command and of all that are in it."""
    yield [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
    for inner in getattr(command, "commands", {}).values():
        yield from commands(inner)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), flags=re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: a scene and labels."""
    for name in ("scene.tif", "labels.txt", "train.gpkg"):
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


def test_the_examples_in_the_help_run(folder: Path) -> None:
    CliRunner().invoke(app, ["classify", "scene.tif", "-l", "labels.txt", "-o", "out.gpkg", "--tile-size", "200"])
    for name in ("info", "preview", "doctor", "classify", "evaluate", "finetune"):
        text = " ".join(CliRunner().invoke(app, [name, "--help"]).stdout.split())
        example = re.search(r"Example: (bimors [^│╰]*)", text)
        assert example, name
        extra = {
            "classify": ["--overwrite"],
            "preview": ["--overwrite"],
            "finetune": ["--tile-size", "64", "--epochs", "1"],
        }
        result = CliRunner().invoke(app, [*shlex.split(example[1])[1:], *extra.get(name, [])])
        assert result.exit_code == 0, (name, result.stderr)


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
