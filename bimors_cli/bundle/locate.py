"""Finding a bundle: the embedded one in the package, fetched ones by name, others by their folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bimors_cli.bundle.references import ClipReference, parse_reference
from bimors_cli.errors import BundleError, InputError

EMBEDDED = "mini"
# A bundle without any network, for adapters that classify by the bands of a scene.
BANDS = "bands"


def embedded_bundle() -> Path:
    """Return the folder of the bundle that is part of bimors: in the package, or in ``weights/`` of a checkout.

    Raises
    ------
    BundleError
        This installation does not have it.
    """
    package = Path(str(files("bimors_cli"))).resolve()
    for folder in (package / "embedded" / EMBEDDED, package.parent / "weights" / EMBEDDED):
        if (folder / "manifest.json").is_file():
            return folder
    raise BundleError("the embedded bundle is missing from this installation", "reinstall bimors-cli")


def find_bundle(name: str, captioner: str | None = None) -> Path:
    """Return the folder of the bundle that ``--model`` names: ``mini``, ``bands``, one that was fetched, or a folder.

    A bundle's name takes precedence over a folder of that name in the current folder; write that as ``./NAME``.
    ``captioner`` is the value of ``--captioner``: the bundle of that name with another captioner, or without.

    Raises
    ------
    InputError
        No bundle has that name, and no such folder exists; or the bundle is not installed with that captioner.
    """
    reference = parse_reference(name)
    if reference is not None:
        return _referenced(reference, captioner)
    if captioner is not None:
        return _with_captioner(name, captioner)
    if name == EMBEDDED:
        return embedded_bundle()
    if name == BANDS:
        return Path(str(files("bimors_cli.bundle"))) / BANDS
    # Imported here because the embedded bundle needs neither.
    from bimors_cli.bundle.catalog import entries
    from bimors_cli.bundle.store import installed

    found = installed().get(name)
    if found is not None:
        return found
    folder = Path(name)
    if folder.is_dir():
        return folder
    if any(entry.name == name for entry in entries()):
        raise InputError(f"--model {name}: this bundle is not installed", f"bimors models fetch {name}")
    raise InputError(
        f"--model {name}: no bundle or folder of that name",
        f"use --model {EMBEDDED}, a name from bimors models list, or the folder of a bundle",
    )


def _referenced(reference: ClipReference, captioner: str | None) -> Path:
    """Return the folder of a CLIP of open_clip or of the hub, with a captioner of the catalog if one is named."""
    from bimors_cli.bundle.catalog import NO_CAPTIONER, combined_name

    captioner = None if captioner == NO_CAPTIONER else captioner  # it has none of its own
    wanted = reference.text if captioner is None else f"{reference.text} --captioner {captioner}"
    return _installed(combined_name(reference.bundle_name, captioner), wanted, "bundle")


def _with_captioner(name: str, captioner: str) -> Path:
    from bimors_cli.bundle.catalog import NO_CAPTIONER, combined_name, entries, entry_of

    if all(entry.name != name for entry in entries()):
        raise InputError(
            f"--captioner {captioner}: only bundles of the catalog take another captioner, not {name}",
            "list them: bimors models list" + ("; or use --captions none" if captioner == NO_CAPTIONER else ""),
        )
    try:
        combined = entry_of(combined_name(name, captioner)).name
    except InputError as error:
        raise InputError(f"--captioner {error.message}", error.hint) from error
    return _installed(combined, f"{name} --captioner {captioner}", "combination")


def _installed(name: str, wanted: str, kind: str) -> Path:
    """Return the folder of an installed bundle; ``wanted`` is what follows --model. Raises InputError."""
    from bimors_cli.bundle.store import installed

    found = installed().get(name)
    if found is None:
        raise InputError(f"--model {wanted}: this {kind} is not installed", f"bimors models fetch {wanted}")
    return found
