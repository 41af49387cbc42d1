"""The distributions that bimors needs at run time, as they are installed here, starting from pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Longer than this, the field License holds the text of the licence, not its name.
LONGEST_NAME = 80


@dataclass(frozen=True)
class Dependency:
    """An installed distribution: normalised name, version, licence, and the names of what it requires itself.

    ``expression`` is its SPDX expression, if its metadata have one; ``licence`` is this or another name of the licence.
    """

    name: str
    version: str
    expression: str | None
    licence: str
    requires: tuple[str, ...]


def project() -> dict[str, Any]:
    """Return the table ``project`` of pyproject.toml."""
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def direct_names() -> list[str]:
    """Return the normalised names of the runtime dependencies in pyproject.toml, extras left out."""
    return sorted(canonicalize_name(Requirement(text).name) for text in project()["dependencies"])


def installed_dependencies() -> list[Dependency]:
    """Return the runtime dependencies of bimors and theirs, by name.

    Raises
    ------
    SystemExit
        One of them is not installed.
    """
    found: dict[str, Dependency] = {}
    pending = [(Requirement(text), "bimors-cli") for text in project()["dependencies"]]
    extras_done: set[tuple[str, frozenset[str]]] = set()
    while pending:
        requirement, wanted_by = pending.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in extras_done:
            continue
        extras_done.add((name, extras))
        try:
            one = distribution(requirement.name)
        except PackageNotFoundError:
            raise SystemExit(f"{name}, which {wanted_by} requires, is not installed; install bimors first") from None
        needed = list(_needed(one.requires or (), extras))
        pending += [(requirement, name) for requirement in needed]
        earlier = found[name].requires if name in found else ()
        requires = {*earlier, *(canonicalize_name(requirement.name) for requirement in needed)}
        found[name] = Dependency(name, one.version, *_licence(one), tuple(sorted(requires)))
    return [found[name] for name in sorted(found)]


def _needed(texts: Iterable[str], extras: frozenset[str]) -> Iterable[Requirement]:
    """Yield the requirements that hold on this machine, with the extras that were asked for."""
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _licence(one: Distribution) -> tuple[str | None, str]:
    """Return the SPDX expression or None, and the name of the licence."""
    for expression in one.metadata.get_all("License-Expression") or ():
        return expression, expression
    stated = "".join(one.metadata.get_all("License") or ()).strip()
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in one.metadata.get_all("Classifier") or ()
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    if stated and stated.upper() != "UNKNOWN" and "\n" not in stated and len(stated) <= LONGEST_NAME:
        return None, stated
    return None, ", ".join(classifiers) or "not stated in the metadata"
