"""The recipe for conda-forge requires what pyproject.toml requires."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bimors_cli.version import __version__
from release.dependencies import ROOT, project

# Names on conda-forge that differ from those on PyPI.
CONDA_NAMES = {"huggingface-hub": "huggingface_hub", "matplotlib": "matplotlib-base", "torch": "pytorch"}


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "release/conda/recipe.yaml").read_text(encoding="utf-8"))
    return content


def test_runtime_requirements_agree(recipe: dict[str, Any]) -> None:
    stated = {
        name: set(bounds.split(","))
        for name, _, bounds in (text.partition(" ") for text in recipe["requirements"]["run"])
    }
    assert stated.pop("python") == {">=${{ python_min }}"}
    wanted = {}
    for requirement in map(Requirement, project()["dependencies"]):
        name = canonicalize_name(requirement.name)
        wanted[CONDA_NAMES.get(name, name)] = set(map(str, requirement.specifier))
    assert stated == wanted


def test_version_licence_entry_point_and_python_agree(recipe: dict[str, Any]) -> None:
    own = project()
    assert recipe["context"]["version"] == __version__ and recipe["package"]["name"] == own["name"]
    assert f">={recipe['context']['python_min']}" == own["requires-python"]
    assert recipe["build"]["python"]["entry_points"] == [f"{name} = {to}" for name, to in own["scripts"].items()]
    assert (recipe["about"]["license"], recipe["about"]["summary"]) == (own["license"], own["description"])
    assert (ROOT / recipe["about"]["license_file"]).is_file()
