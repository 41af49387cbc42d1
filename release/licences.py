"""Write docs/licences.md: the licences of the runtime dependencies, from the metadata of what is installed."""

from __future__ import annotations

from release.dependencies import ROOT, Dependency, direct_names, installed_dependencies

PAGE = ROOT / "docs/licences.md"
HEAD = """# Licences

bimors is licensed under [Apache-2.0](../LICENSE). The licences of models are in their manifests (`bimors models show
NAME`), those of the embedded model and its training images in [its card](../weights/mini/README.md).

The table lists the distributions that `pip install bimors-cli` installs on Linux, with the licence that their metadata
state. A wheel may contain libraries under further licences, which its own licence files list. `make licences` writes
this page from the environment in `.venv`, and `make sbom` writes the same list as CycloneDX. Packages of NVIDIA are
dependencies of PyPI's PyTorch for Linux; the CPU builds of PyTorch do not need them.

| distribution | version | licence | required by |
|---|---|---|---|
"""


def row(one: Dependency, required_by: list[str]) -> str:
    """Return the line of a distribution."""
    return f"| {one.name} | {one.version} | {one.licence.replace('|', '/')} | {', '.join(required_by)} |"


def rows() -> list[str]:
    """Return the lines of all distributions, by name."""
    found, direct = installed_dependencies(), set(direct_names())
    users = {one.name: ["bimors-cli"] if one.name in direct else [] for one in found}
    for one in found:
        for name in one.requires:
            users[name].append(one.name)
    return [row(one, users[one.name]) for one in found]


if __name__ == "__main__":
    PAGE.write_text(HEAD + "\n".join(rows()) + "\n", encoding="utf-8")
    print(PAGE.relative_to(ROOT))
