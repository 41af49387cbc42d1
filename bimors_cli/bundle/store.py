"""Where fetched bundles lie: one folder a bundle, below the user's data folder or BIMORS_HOME."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from bimors_cli.bundle.adapter import MANIFEST as ADAPTER_MANIFEST
from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.catalog import check_against_catalogue
from bimors_cli.bundle.files import read_manifest
from bimors_cli.bundle.manifest import ADAPTER, MANIFEST, SCHEMA, UPGRADES, Bundle, open_bundle
from bimors_cli.bundle.safetensors_file import check_finite
from bimors_cli.bundle.schemas import check_form
from bimors_cli.errors import BimorsError, BundleError, InputError
from bimors_cli.locks import acquire_lock

HOME = "BIMORS_HOME"
# As a folder's name on every system, and no path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def bundles_folder() -> Path:
    """The folder of the fetched bundles; it need not be there."""
    home = os.environ.get(HOME)
    return (Path(home).expanduser() if home else user_data_path("bimors", appauthor=False)) / "bundles"


def bundle_folder(name: str) -> Path:
    """Where the bundle with this name lies, or would lie.

    Raises
    ------
    BundleError
        The name is none that a folder can have.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise BundleError(f"{name!r} is no name for a bundle", "letters, digits, - _ and . are")
    return bundles_folder() / name


def installed() -> dict[str, Path]:
    """The bundles that are there, by name: name to folder."""
    return {path.parent.name: path.parent for path in sorted(bundles_folder().glob(f"[!.]*/{MANIFEST}"))}


def verify_bundle(folder: Path) -> Bundle:
    """Check all that can be checked about a bundle: manifest, sizes, hashes, weights that are finite, its adapter.

    Reads every file; a bundle of 16 GB takes about a minute.

    Raises
    ------
    InputError
        There is none.
    BundleError
        Names the first file that is wrong, and why.
    """
    if (folder / MANIFEST).is_file():
        check_form(folder / MANIFEST, read_manifest(folder / MANIFEST, SCHEMA, UPGRADES), "manifest")
    bundle = open_bundle(folder)
    check_against_catalogue(bundle.name, bundle.files)
    for entry in bundle.files:
        if entry.path.endswith(".safetensors"):
            check_finite(folder / entry.path)
    if (folder / ADAPTER / ADAPTER_MANIFEST).is_file():
        check_finite(open_adapter(folder / ADAPTER, bundle).weights)
    return bundle


def remove_bundle(name: str) -> int:
    """Remove a fetched bundle, and what an interrupted fetch of it left; the record of the fetch stays.

    Returns
    -------
    int
        Bytes that are free now.

    Raises
    ------
    InputError
        There is neither.
    BundleError
        Another program uses it now, or it cannot be removed.
    """
    target = bundle_folder(name)
    if not target.is_dir() and not staging(target).is_dir():
        raise InputError(f"{name}: no such bundle is installed", "bimors models list shows what is")
    with locked(target), disk_errors(target):
        # Out of sight at once: what is half removed is never used.
        gone = target.with_name(f".{name}.removed")
        shutil.rmtree(gone, ignore_errors=True)
        freed = _bytes_below(target) + _bytes_below(staging(target))
        if target.is_dir():
            target.rename(gone)
            shutil.rmtree(gone)
        shutil.rmtree(staging(target), ignore_errors=True)
    return freed


def record_of(target: Path) -> Path:
    """The record of the fetch of the bundle at ``target``, beside it."""
    return target.with_name(f"{target.name}.fetched.json")


def staging(target: Path) -> Path:
    """The folder beside ``target`` where that is put together; what an interrupted fetch left is found there."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep others from changing the bundle at ``target``; makes the folder that it lies in.

    Raises
    ------
    BundleError
        Another program has it now, or the folder cannot be written to.
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
    """Turn what the disk says into one line.

    Raises
    ------
    BundleError
        Full, read-only, or not to be entered.
    """
    try:
        yield
    except BimorsError:
        raise
    except OSError as error:
        hint = "choose another place by BIMORS_HOME or --to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BundleError(f"{path}: the disk is full", f"make room, or {hint}") from error
        raise BundleError(f"{error.filename or path}: {error.strerror or error}", hint) from error


def check_space(target: Path, needed: int) -> None:
    """Check that ``needed`` bytes fit beside ``target``.

    Raises
    ------
    BundleError
        They do not.
    """
    with disk_errors(target):
        there = next(folder for folder in target.absolute().parents if folder.is_dir())
        free = shutil.disk_usage(there).free
    if needed > free:
        raise BundleError(
            f"{target}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            "make room, or choose another place by BIMORS_HOME or --to",
        )


def put_in_place(built: Path, target: Path, *, overwrite: bool) -> None:
    """Move a finished bundle to its place; one that is there goes only when the new one is whole.

    Raises
    ------
    InputError
        One is there and ``overwrite`` is off.
    """
    if target.exists() and not overwrite:
        raise already_there(target)
    old = target.with_name(f".{target.name}.removed")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    built.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def already_there(target: Path) -> InputError:
    """The error for a bundle that would have to be replaced."""
    return InputError(f"{target} is there already", "bimors models verify checks it, bimors models remove removes it")


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
