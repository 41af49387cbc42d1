"""Where bundles lie: the embedded one inside the package, others by their folder."""

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
    """Return the folder of the bundle that ``--model`` names: ``mini``, or a folder.

    Raises
    ------
    InputError
        Neither.
    """
    if name == EMBEDDED:
        return embedded_bundle()
    folder = Path(name)
    if folder.is_dir():
        return folder
    raise InputError(
        f"--model {name}: neither a bundle's name nor a folder", f"use --model {EMBEDDED}, or give a bundle's folder"
    )
