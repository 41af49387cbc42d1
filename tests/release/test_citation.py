"""CITATION.cff and codemeta.json say what pyproject.toml says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from bimors_cli.version import __version__
from release.dependencies import ROOT, project

SPDX = "https://spdx.org/licenses/"


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def codemeta() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    return content


def test_citation_agrees_with_pyproject(citation: dict[str, Any]) -> None:
    own = project()
    assert (citation["title"], citation["version"]) == (own["name"], __version__)
    assert (citation["license"], citation["abstract"]) == (own["license"], own["description"])
    assert [one["name"] for one in citation["authors"]] == [one["name"] for one in own["authors"]]
    assert citation["keywords"] == own["keywords"]


def test_citation_has_what_its_schema_requires(citation: dict[str, Any]) -> None:
    """The required keys of version 1.2.0 of the Citation File Format, and types that YAML would guess otherwise."""
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(isinstance(citation[key], str) for key in ("message", "title", "version"))
    (paper,) = citation["references"]
    assert {"authors", "title", "type"} <= paper.keys()


def test_codemeta_agrees_with_pyproject(codemeta: dict[str, Any]) -> None:
    own = project()
    assert (codemeta["name"], codemeta["version"]) == (own["name"], __version__)
    assert (codemeta["description"], codemeta["keywords"]) == (own["description"], own["keywords"])
    assert codemeta["license"] == SPDX + own["license"]
    assert [one["name"] for one in codemeta["author"]] == [one["name"] for one in own["authors"]]
    assert codemeta["runtimePlatform"] == f"Python {own['requires-python']}"


def test_both_cite_the_same_paper(citation: dict[str, Any], codemeta: dict[str, Any]) -> None:
    paper = codemeta["referencePublication"]
    assert (paper["name"], paper["url"]) == tuple(citation["references"][0][key] for key in ("title", "url"))
    assert paper["url"] in (ROOT / "README.md").read_text(encoding="utf-8")
