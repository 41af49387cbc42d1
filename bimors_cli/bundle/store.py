"""Installed bundles: one folder per bundle, in the user's data folder or in BIMORS_HOME."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from bimors_cli.bundle.adapter import MANIFEST as ADAPTER_MANIFEST
from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.catalog import check_against_catalog
from bimors_cli.bundle.files import read_manifest
from bimors_cli.bundle.manifest import ADAPTER, MANIFEST, SCHEMA, UPGRADES, Bundle, open_bundle
from bimors_cli.bundle.safetensors_file import check_finite
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.bundle.shared_files import bytes_freed
from bimors_cli.errors import BimorsError, BundleError, InputError
from bimors_cli.locks import acquire_lock
from bimors_cli.steps import step
from bimors_cli.user_folders import user_folder

HOME = "BIMORS_HOME"
# Valid as a folder name on every system.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def bundles_folder() -> Path:
    """Return the folder of the fetched bundles; it may not exist. Raises BundleError if there is no home folder."""
    return user_folder(HOME, user_data_path, BundleError) / "bundles"


def bundle_folder(name: str) -> Path:
    """Return the folder of the bundle with this name, whether it is installed or not.

    Raises
    ------
    BundleError
        The name is not a valid bundle name.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise BundleError(
            f"{name!r} is not a valid bundle name",
            "use at most 100 letters, digits, '-', '_', '+' and '.'; the first is a letter or a digit",
        )
    return bundles_folder() / name


def installed() -> dict[str, Path]:
    """Return the installed bundles: name to folder; none for a user whose home folder is not known or not readable."""
    try:
        folder = bundles_folder()
    except BundleError:
        return {}
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"[!.]*/{MANIFEST}"))}


def verify_bundle(folder: Path) -> Bundle:
    """Check a bundle completely: manifest, sizes, hashes, finite weights, and its adapter.

    Reads every file; a bundle of 16 GB takes about a minute.

    Raises
    ------
    InputError
        The folder has no bundle.
    BundleError
        A file is missing, changed or invalid; the message names the first one.
    """
    if (folder / MANIFEST).is_file():
        check_schema(folder / MANIFEST, read_manifest(folder / MANIFEST, SCHEMA, UPGRADES), "manifest")
    bundle = open_bundle(folder, hash_again=True)
    check_against_catalog(bundle.name, bundle.files)
    with step(f"checking the weights of {bundle.name}"):
        for entry in bundle.files:
            if entry.path.endswith(".safetensors"):
                check_finite(folder / entry.path)
        if (folder / ADAPTER / ADAPTER_MANIFEST).is_file():
            check_finite(open_adapter(folder / ADAPTER, bundle).weights)
    return bundle


def remove_bundle(name: str) -> int:
    """Remove a fetched bundle and the files of an interrupted fetch; the record of the fetch is not removed.

    Returns
    -------
    int
        Bytes freed; files that other bundles also have are kept for these.

    Raises
    ------
    InputError
        Neither the bundle nor an interrupted fetch of it exists.
    BundleError
        Another process uses it, or it cannot be removed.
    """
    target = bundle_folder(name)
    if not target.is_dir() and not staging(target).is_dir():
        raise InputError(f"{name}: no such bundle is installed", "list the installed bundles: bimors models list")
    with locked(target), disk_errors(target):
        # Renamed first, so that a partly removed bundle is never used.
        removed = target.with_name(f".{name}.removed")
        shutil.rmtree(removed, ignore_errors=True)
        freed = bytes_freed(target) + bytes_freed(staging(target))
        if target.is_dir():
            target.rename(removed)
            shutil.rmtree(removed)
        shutil.rmtree(staging(target), ignore_errors=True)
    return freed


def staging(target: Path) -> Path:
    """Return the folder next to ``target`` where it is assembled, with the files of an interrupted fetch."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Lock the bundle at ``target`` against other processes; its parent folder is created.

    Raises
    ------
    BundleError
        Another process holds the lock, or the folder cannot be written to.
    """
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = acquire_lock(
            target.with_name(f".{target.name}.lock"),
            BundleError,
            f"{target}: another bimors process is installing or removing this bundle",
            "wait until it ends",
            keep_file=True,
        )
    with lock:
        yield


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a `BundleError`.

    Raises
    ------
    BundleError
        The disk is full or read-only, or access is denied.
    """
    try:
        yield
    except BimorsError:
        raise
    except OSError as error:
        hint = "choose another folder with BIMORS_HOME or --to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BundleError(f"{path}: the disk is full", f"free some space, or {hint}") from error
        raise BundleError(f"{error.filename or path}: {error.strerror or error}", hint) from error


def check_space(target: Path, needed: int) -> None:
    """Check that the disk of ``target`` has ``needed`` bytes free.

    Raises
    ------
    BundleError
        There is not enough space.
    """
    with disk_errors(target):
        existing = next(folder for folder in target.absolute().parents if folder.is_dir())
        free = shutil.disk_usage(existing).free
    if needed > free:
        raise BundleError(
            f"{target}: not enough disk space: {_size(needed)} are needed, {_size(free)} are free",
            "free some space, or choose another folder with BIMORS_HOME or --to",
        )


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def put_in_place(built: Path, target: Path, *, overwrite: bool) -> None:
    """Move a finished bundle to ``target``; an existing bundle is replaced only once the new one is complete.

    Raises
    ------
    InputError
        ``target`` exists and ``overwrite`` is off.
    """
    if target.exists() and not overwrite:
        raise exists_error(target)
    old = target.with_name(f".{target.name}.removed")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    built.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def exists_error(target: Path) -> InputError:
    """Return the error for a bundle that would have to be replaced."""
    return InputError(f"{target} exists", "check it with bimors models verify, or remove it with bimors models remove")
