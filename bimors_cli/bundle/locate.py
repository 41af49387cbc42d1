"""Where bundles lie: the embedded one inside the package, fetched ones by name, others by their folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bimors_cli.errors import BundleError, InputError

EMBEDDED = "mini"


def embedded_bundle() -> Path:
    """Return the folder of the bundle that comes with the program.

    In an installed wheel it lies inside the package; in a checkout, in ``weights/`` beside it.

    Raises
    ------
    BundleError
        This installation lacks it.
    """
    package = Path(str(files("bimors_cli"))).resolve()
    for folder in (package / "embedded" / EMBEDDED, package.parent / "weights" / EMBEDDED):
        if (folder / "manifest.json").is_file():
            return folder
    raise BundleError("the embedded bundle is missing from this installation", "install bimors-cli again")


def find_bundle(name: str) -> Path:
    """Return the folder of the bundle that ``--model`` names: ``mini``, a fetched bundle's name, or a folder.

    A name goes before a folder of that name here; ``./NAME`` is the folder.

    Raises
    ------
    InputError
        None of them.
    """
    if name == EMBEDDED:
        return embedded_bundle()
    # Not above: the embedded bundle needs neither.
    from bimors_cli.bundle.catalog import entries
    from bimors_cli.bundle.store import installed

    found = installed().get(name)
    if found is not None:
        return found
    folder = Path(name)
    if folder.is_dir():
        return folder
    if any(entry.name == name for entry in entries()):
        raise InputError(f"--model {name}: this bundle is not on this machine", f"bimors models fetch {name}")
    raise InputError(
        f"--model {name}: neither a bundle's name nor a folder",
        f"use --model {EMBEDDED}, a name of bimors models list, or give a bundle's folder",
    )
