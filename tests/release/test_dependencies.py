"""The pages and files of a release that are made of the installed dependencies and of the embedded bundle."""

from __future__ import annotations

import json
import re

from release.checksums import SUMS, sums
from release.dependencies import direct_names, installed_dependencies
from release.licences import PAGE
from release.sbom import bill_of_materials


def listed() -> dict[str, list[str]]:
    """Return the cells of docs/licences.md by distribution."""
    lines = re.findall(r"^\| ([a-z0-9-]+) \| (\d[^|]*) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text("utf-8"), flags=re.M)
    return {name: cells for name, *cells in lines}


def test_every_runtime_dependency_has_its_licence_in_the_page() -> None:
    table = listed()
    missing = set(direct_names()) - table.keys()
    assert not missing, f"{missing}: run make licences"
    assert all("bimors-cli" in table[name][2].split(", ") for name in direct_names())


def test_licences_of_the_page_are_those_of_the_metadata() -> None:
    """For versions that are installed here; another machine may have other versions."""
    table = listed()
    same = [one for one in installed_dependencies() if one.name in table and table[one.name][0] == one.version]
    assert {one.name: table[one.name][1] for one in same} == {one.name: one.licence for one in same}


def test_dependencies_are_followed_to_the_end() -> None:
    found = {one.name: one for one in installed_dependencies()}
    assert set(direct_names()) <= found.keys()
    assert "timm" in found["open-clip-torch"].requires and "tokenizers" in found
    assert all(name in found for one in found.values() for name in one.requires)
    assert not {"pytest", "hypothesis", "mypy"} & found.keys()


def test_bill_of_materials_lists_every_dependency_once_and_is_reproducible() -> None:
    first = bill_of_materials()
    assert (first["bomFormat"], first["specVersion"]) == ("CycloneDX", "1.6")
    references = [one["bom-ref"] for one in first["components"]]
    assert len(references) == len(set(references)) == len(installed_dependencies())
    own = first["metadata"]["component"]["bom-ref"]
    graph = {one["ref"]: one["dependsOn"] for one in first["dependencies"]}
    assert graph.keys() == {own, *references}
    assert {name for names in graph.values() for name in names} == set(references)
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[^@]+", reference) for reference in references)
    assert json.dumps(first) == json.dumps(bill_of_materials())


def test_checksums_are_those_of_the_embedded_bundle() -> None:
    assert SUMS.read_text(encoding="utf-8") == sums(), "run make checksums"
