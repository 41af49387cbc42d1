"""Atomic writes: a file is built next to its target and moved onto it when it is complete."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bimors_cli.errors import BimorsError, InputError, OutputError, OutputExistsError
from bimors_cli.locks import supports_locks

# SQLite keeps these next to a database that is open, or was open during a crash.
_SIDE_FILES = ("-journal", "-wal")
# In a scratch folder: the lock of its run, and the folder that is being replaced.
_LOCK: Final = ".lock"
_REPLACED: Final = "replaced"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to build a file at, which replaces ``path`` when the block ends without an error.

    After an error nothing is left and an existing file at ``path`` is untouched. A link at ``path`` stays a link; the
    file that it points to is replaced.

    Raises
    ------
    OutputExistsError, OutputError
        As `check_target` and `scratch`.
    OutputError
        The finished file cannot be moved onto ``path``, as on Windows while QGIS has it open. It is kept next to
        ``path`` under the name in the message.
    """
    check_target(path, overwrite=overwrite)
    target = path.resolve()
    with scratch(target) as built:
        try:
            yield built
            sync(built)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise  # not a write error: reading the rows failed
            raise OutputError(f"{path}: {_reason(error)}", "check the free disk space") from error
        try:
            check_target(path, overwrite=overwrite)
            if target.exists():
                shutil.copymode(target, built)  # a file shared with a group stays shared
            os.replace(built, target)
        except (BimorsError, OSError) as error:
            # Hours of work: move it out of the folder that is about to be removed.
            token = built.parent.name.rpartition("-")[2]
            saved = built.rename(target.with_name(f"{target.stem}.tmp-{token}{target.suffix}"))
            raise OutputError(
                f"{path} cannot be replaced: {_reason(error)}; the finished file is {saved}",
                "close the layer in QGIS or any other program, and rename the finished file",
            ) from error
        # Windows cannot sync a folder, and the file is already in place.
        with suppress(OSError):
            sync(target.parent)


@contextmanager
def changing(path: Path) -> Iterator[Path]:
    """Yield a copy of a file to change, which replaces ``path`` when the block ends without an error.

    Raises
    ------
    OutputError
        As `replacing`; the disk has no room for the copy; or another program changed ``path`` in the meantime.
    """
    with replacing(path, overwrite=True) as built:
        before = path.stat()
        try:
            shutil.copyfile(path, built)
        except OSError as error:
            raise OutputError(
                f"{path}: {_reason(error)}", "check that the disk has room for a copy of the file"
            ) from error
        yield built
        after = path.stat()
        if (before.st_mtime_ns, before.st_size, before.st_ino) != (after.st_mtime_ns, after.st_size, after.st_ino):
            raise OutputError(f"{path} was changed by another program during the append; nothing was added")


@contextmanager
def replacing_folder(path: Path, *, marker: str, overwrite: bool) -> Iterator[Path]:
    """Yield a path to build a folder at, which replaces ``path`` when the block ends without an error.

    After an error nothing is left and an existing folder at ``path`` is untouched. A rename cannot replace a folder
    that is not empty, so there are two: after a kill between them, the next run restores the old folder.

    Parameters
    ----------
    path : Path
        The folder.
    marker : str
        Name of a file that every folder of this kind has; a folder without it is never replaced.
    overwrite : bool
        Whether a folder of this kind at ``path`` may be replaced.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    check_folder(path, marker=marker, overwrite=overwrite)
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target) as built:
            built.mkdir()
            yield built
            for file in built.rglob("*"):
                if file.is_file():
                    sync(file)
            check_folder(path, marker=marker, overwrite=overwrite)
            earlier = built.with_name(_REPLACED)
            if target.exists():
                os.replace(target, earlier)
            try:
                os.replace(built, target)
            except OSError:
                if earlier.exists():
                    os.replace(earlier, target)
                raise
    except BimorsError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: {_reason(error)}", "check the free disk space") from error


def check_folder(path: Path, *, marker: str, overwrite: bool) -> None:
    """Check that a folder can be written at ``path``.

    Raises
    ------
    InputError
        ``path`` exists and has no file ``marker``.
    OutputExistsError
        The folder exists and ``overwrite`` is off.
    """
    if not path.exists():
        return
    if not (path / marker).is_file():
        raise InputError(f"{path} exists and has no {marker}: it is not replaced", "choose another name with -o")
    if not overwrite:
        raise OutputExistsError(f"{path} exists", "add --overwrite to replace it, or choose another name")


def check_writable(path: Path) -> None:
    """Check that a file or folder can be created at ``path``, whose folder may not exist yet: a file is created.

    Raises
    ------
    OutputError
        The folder, or the one above it in which it would be created, cannot be written.
    """
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot write to the folder: {_reason(error)}", "choose another folder with -o"
        ) from error


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a path with the name of ``path`` in a new folder ``<name>.tmp-XXXXXXXX`` next to it, removed at the end.

    The folder also holds what a library leaves next to its file (journals, temporary indices), and one rename within
    the file system moves the file into place. Folders that killed runs left for the same path are removed.

    Raises
    ------
    OutputError
        The folder of ``path`` is not writable.
    """
    try:
        _sweep(path)
        folder, lock = _make_scratch(path)
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot write to the folder: {_reason(error)}", "choose another folder with -o"
        ) from error
    try:
        yield folder / path.name
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _make_scratch(path: Path) -> tuple[Path, FileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{path.name}.tmp-", dir=path.parent))
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if supports_locks(folder):
                continue  # another run removes the folder before it was locked
        except FileNotFoundError:
            continue  # another run removed it
        except OSError:
            pass  # a drive without locks: no other run can remove it either
        return folder, lock


def _sweep(path: Path) -> None:
    """Remove the scratch folders of runs that were killed."""
    name = re.compile(re.escape(f"{path.name}.tmp-") + r"[a-z0-9_]{8}")
    for folder in path.parent.glob(f"{glob.escape(path.name)}.tmp-*"):
        if not name.fullmatch(folder.name) or folder.is_symlink():
            continue
        with suppress(OSError, Timeout):
            if not (folder / _LOCK).exists():
                folder.rmdir()  # killed before it was locked: empty, or of another program
                continue
            with FileLock(folder / _LOCK, timeout=0):
                if (folder / _REPLACED).exists() and not path.exists():
                    os.replace(folder / _REPLACED, path)
            shutil.rmtree(folder, ignore_errors=True)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check, without writing anything, that a file can be written at ``path``.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is off.
    OutputError
        The folder does not exist; ``path`` is a folder; another program has the file open as a database.
    """
    try:
        target = path.resolve()
        is_folder, has_folder, exists = path.is_dir(), target.parent.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # a folder without permission; a loop of links
        raise OutputError(f"{path}: {_reason(error)}") from error
    if is_folder:
        raise OutputError(f"{path} is a folder", "give the path of a file")
    if not has_folder:
        raise OutputError(
            f"{path}: folder {path.parent} not found", "create the folder first, or choose another with -o"
        )
    if exists and not overwrite:
        raise OutputExistsError(f"{path} exists", "add --overwrite to replace it, or choose another name")
    # SQLite would apply the log of the old database to the new one and corrupt it.
    for suffix in _SIDE_FILES:
        side = Path(f"{target}{suffix}")
        if side.exists():
            raise OutputError(
                f"{path} is open in another program, or was during a crash: {side.name} exists",
                "close the layer in QGIS; after a crash, open and close it in QGIS once",
            )


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some drives do not support this; a network drive may report only now that the disk is full.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
