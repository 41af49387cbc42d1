"""Print the runtime dependencies that are installed here as exact requirements, for pip-audit."""

from __future__ import annotations

from packaging.version import Version

from release.dependencies import installed_dependencies


def pins() -> str:
    """Return one line ``name==version`` per dependency, sorted by name.

    The local part of a version is left out (2.9.0 for 2.9.0+cpu): advisories name public versions only.
    """
    return "".join(f"{one.name}=={Version(one.version).public}\n" for one in installed_dependencies())


if __name__ == "__main__":
    print(pins(), end="")
