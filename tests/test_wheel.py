"""Wheel and sdist hold all that the program needs, the embedded bundle too, and nothing else."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bimors_cli.version import __version__
from release.dependencies import ROOT, project

pytestmark = pytest.mark.slow

LARGEST = 100_000_000  # bytes; the limit of PyPI
NAME = f"bimors_cli-{__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist and, from it, the wheel, without a network: build and hatchling are those of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as file:
        yield file


@pytest.fixture(scope="module")
def sdist(built: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(built / f"{NAME}.tar.gz") as file:
        yield file


def mini() -> dict[str, Path]:
    """Return the files of the embedded bundle by their path in it."""
    folder = ROOT / "weights/mini"
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_has_the_bundle_byte_by_byte(wheel: zipfile.ZipFile) -> None:
    for name, path in mini().items():
        assert wheel.read(f"bimors_cli/embedded/mini/{name}") == path.read_bytes(), name


def test_the_wheel_has_the_package_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == {"bimors_cli", f"{NAME}.dist-info"}
    assert not [name for name in names if "test" in Path(name).parts or "__pycache__" in name]
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bimors_cli").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    data = ("py.typed", "bundle/bands/manifest.json", "pipeline/bundles/example_scene/scene.tif")
    assert {f"bimors_cli/{name}" for name in data} <= set(names)


def test_the_wheel_has_licence_and_metadata(wheel: zipfile.ZipFile) -> None:
    assert wheel.read(f"{NAME}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    metadata = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
    own = project()
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, own["license"])
    assert metadata["Requires-Python"] == own["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == own["optional-dependencies"].keys()
    assert "bimors = bimors_cli.cli.main:main" in wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()


def test_the_sdist_has_sources_bundle_and_licence(sdist: tarfile.TarFile) -> None:
    names = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    assert {f"weights/mini/{name}" for name in mini()} <= names
    wanted = {"LICENSE", "PKG-INFO", "pyproject.toml", "README.md", "SECURITY.md", "CITATION.cff", "weights/SHA256SUMS"}
    assert wanted <= names and "tests/test_wheel.py" in names
    assert not [name for name in names if name.startswith((".git/", ".venv", "dist/", "build/")) or ".pyc" in name]


def test_both_are_small_enough_for_pypi(built: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in built.iterdir()}
    assert len(sizes) == 2 and max(sizes.values()) < LARGEST, sizes
