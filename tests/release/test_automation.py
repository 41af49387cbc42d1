"""The workflow covers what pyproject.toml allows, and the images hold what the wheel is built from."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from release.dependencies import ROOT, project

IMAGES = ("Dockerfile", "Dockerfile.cuda")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true, which does not matter here.
    content = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_tests_run_on_all_systems_and_pythons(jobs: dict[str, Any]) -> None:
    matrix = jobs["tests"]["strategy"]["matrix"]
    classifiers = [text.rpartition(" ")[2] for text in project()["classifiers"] if "Python :: 3." in text]
    assert matrix["python"] == classifiers and project()["requires-python"] == f">={classifiers[0]}"
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]


def test_oldest_dependencies_run_on_the_oldest_python(jobs: dict[str, Any]) -> None:
    job = jobs["oldest"]
    versions = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert [f">={version}" for version in versions] == [project()["requires-python"]]
    assert any("--resolution lowest-direct" in text for text in commands(job))


def test_paths_and_targets_of_the_workflow_exist(jobs: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    for job in jobs.values():
        assert job["timeout-minutes"] <= 120
        for words in map(shlex.split, commands(job)):
            if words[0] == "make":
                assert set(words[1:]) <= targets
            for word in words:
                if word.startswith(("tests/", "examples/")):
                    assert (ROOT / word).exists(), word


def test_context_of_the_images_has_what_the_build_needs() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules and kept == {"bimors_cli", "weights/mini", "pyproject.toml", "README.md", "LICENSE"}
    assert all((ROOT / path).exists() for path in kept)
    assert not any(fnmatch(path, rule) for path in kept for rule in rules if rule and rule[0] not in "!#*")


@pytest.mark.parametrize("name", IMAGES)
def test_images_run_bimors_without_root(name: str) -> None:
    lines = [line.partition(" ") for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    last = {word: rest for word, _, rest in lines}
    assert last["USER"] == "1000:1000" and last["ENTRYPOINT"] == '["bimors"]'
    python = re.fullmatch(r"python:(3\.\d+)-slim-bookworm", last["FROM"])
    assert python is not None and f"Programming Language :: Python :: {python[1]}" in project()["classifiers"]


def test_cpu_image_installs_torch_within_the_bounds() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stated = set(re.findall(r'"((?:torch|torchvision)>=[^"]+)"', text))
    assert stated == {one for one in project()["dependencies"] if re.match(r"torch(vision)?>", one)}
