"""The zip of the plugin is one that QGIS installs and plugins.qgis.org accepts."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bimors_cli.version import __version__
from tests.qgis.plugin import FOLDER
from tests.qgis.repository_rules import refusals

ADDRESSES = {
    "email": "maintainers@example.org",
    "repository": "https://example.org/bimors",
    "tracker": "https://example.org/bimors/issues",
    "homepage": "https://example.org/bimors/docs?a=1%202",
}


def packed(path: Path, *addresses: str) -> subprocess.CompletedProcess[str]:
    """Run the program that makes the zip, in Python as the analyst has it."""
    command = [sys.executable, str(FOLDER.parent / "pack.py"), str(path), *addresses]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def test_the_zip_is_accepted(tmp_path: Path) -> None:
    addresses = {**ADDRESSES, "homepage": "https://example.org/bimors"}
    done = packed(tmp_path / "dist" / "b.zip", *(f"{name}={value}" for name, value in addresses.items()))
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert refusals(tmp_path / "dist" / "b.zip") == []
    with zipfile.ZipFile(tmp_path / "dist" / "b.zip") as archive:
        about = configparser.ConfigParser()
        about.read_string(archive.read("bimors/metadata.txt").decode())
        names = set(archive.namelist())
    assert {name: about["general"][name] for name in addresses} == addresses
    assert about["general"]["version"] == __version__ and about["general"]["hasProcessingProvider"] == "yes"
    assert about["general"]["changelog"].strip().startswith(__version__)
    assert {"bimors/options.json", "bimors/i18n/bimors_de.ts", "bimors/specs/training.py", "bimors/icon.svg"} <= names
    assert {name.removeprefix("bimors/") for name in names} == {
        "LICENSE",
        *(
            str(file.relative_to(FOLDER))
            for file in FOLDER.rglob("*")
            if "__pycache__" not in file.parts and file.is_file()
        ),
    }


def test_what_only_the_publisher_has_is_named(tmp_path: Path) -> None:
    done = packed(tmp_path / "b.zip")
    assert done.stderr.strip() == "for plugins.qgis.org add email=…, repository=…, tracker=…, homepage=…"
    wanted = ["no metadata: tracker", "no metadata: repository"]
    wanted += [f"not an address: {name}" for name in ("tracker", "repository", "homepage")]
    assert refusals(tmp_path / "b.zip") == wanted
    done = packed(tmp_path / "c.zip", "adress=x")
    assert done.returncode == 1 and done.stderr.startswith("error: adress: not one of email, repository")


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("bimors/__pycache__/a.txt", "", "not allowed: bimors/__pycache__/a.txt"),
        ("bimors/a.pyc", "", "not allowed: bimors/a.pyc"),
        ("bimors/lib.so", "", "not allowed: bimors/lib.so"),
        ("other/a.py", "", "not one folder: ['bimors', 'other']"),
    ],
)
def test_the_rules_can_fail(tmp_path: Path, name: str, content: str, refusal: str) -> None:
    packed(tmp_path / "b.zip", *(f"{key}={value}" for key, value in ADDRESSES.items() if key != "homepage"))
    with zipfile.ZipFile(tmp_path / "b.zip", "a") as archive:
        archive.writestr(name, content)
    assert refusal in refusals(tmp_path / "b.zip")


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_code_is_that_of_python_3_9(path: Path) -> None:
    """QGIS 3.22 has Python 3.9 on Windows: no match, no `X | Y` outside of annotations, no zip(strict=True)."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.keyword) and node.arg == "strict"), f"{path}: zip(strict=…)"
    # Aliases of types are evaluated; annotations are not.
    for node in tree.body:
        if isinstance(node, ast.Assign):
            unions = [
                part for part in ast.walk(node.value) if isinstance(part, ast.BinOp) and isinstance(part.op, ast.BitOr)
            ]
            assert not unions, f"{path}: line {node.lineno}"
