"""What `make audit` hands to pip-audit."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release import pins
from release.dependencies import Dependency, direct_names, installed_dependencies


def test_every_runtime_dependency_is_pinned_to_one_version() -> None:
    listed = [Requirement(line) for line in pins.pins().splitlines()]
    assert [one.name for one in listed] == [one.name for one in installed_dependencies()]
    assert set(direct_names()) <= {one.name for one in listed}
    assert all([part.operator for part in one.specifier] == ["=="] for one in listed)


def test_local_part_of_a_version_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Dependency("torch", "2.9.0+cpu", None, "BSD", ()), Dependency("tzdata", "2026.1", None, "Apache", ())]
    monkeypatch.setattr(pins, "installed_dependencies", lambda: made)
    assert pins.pins() == "torch==2.9.0\ntzdata==2026.1\n"


def test_a_dependency_that_cannot_be_checked_fails_the_audit() -> None:
    text = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.strip().startswith("build/audit/bin/pip-audit"))
    assert {"--strict", "--no-deps", "--disable-pip"} <= set(line.split())
