"""Files that are there whole or not at all: built beside the target, moved onto it at the end."""

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

# SQLite keeps these beside a database that a program has open, or left behind in a crash.
_SIDE_FILES = ("-journal", "-wal")
# In a scratch folder: held by the run that works there; and a folder that is being replaced.
_LOCK: Final = ".lock"
_REPLACED: Final = "replaced"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Build a file at the path that this gives; it takes the place of ``path`` when the block ends without an error.

    After an error nothing is left and an earlier file at ``path`` is untouched. A link at ``path`` stays a link; the
    file that it points to is replaced.

    Raises
    ------
    OutputExistsError, OutputError
        As `check_target` and `scratch`.
    OutputError
        The finished file cannot be moved onto ``path``, as on Windows while QGIS has that open; it is kept, and the
        message says where.
    """
    check_target(path, overwrite=overwrite)
    target = path.resolve()
    with scratch(target) as built:
        try:
            yield built
            sync(built)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise  # not of writing: the rows come from elsewhere
            raise OutputError(f"{path}: {_reason(error)}", "is the disk full?") from error
        try:
            check_target(path, overwrite=overwrite)
            if target.exists():
                shutil.copymode(target, built)  # a file shared with a group stays shared
            os.replace(built, target)
        except (BimorsError, OSError) as error:
            # Hours of work: it goes out of the folder that is about to be removed.
            token = built.parent.name.rpartition("-")[2]
            kept = built.rename(target.with_name(f"{target.stem}.tmp-{token}{target.suffix}"))
            raise OutputError(
                f"{path} cannot be replaced: {_reason(error)}; the finished file is {kept}",
                "close the layer in QGIS, or whatever holds it, and move the finished file there",
            ) from error
        # Windows cannot do this for a folder, and the file is in its place already.
        with suppress(OSError):
            sync(target.parent)


@contextmanager
def changing(path: Path) -> Iterator[Path]:
    """Give a copy of a file to change; it takes the place of ``path`` when the block ends without an error.

    Raises
    ------
    OutputError
        As `replacing`; the copy finds no room; or ``path`` was changed by somebody else in the meantime.
    """
    with replacing(path, overwrite=True) as built:
        before = path.stat()
        try:
            shutil.copyfile(path, built)
        except OSError as error:
            raise OutputError(f"{path}: {_reason(error)}", "is there room for a copy of it?") from error
        yield built
        after = path.stat()
        if (before.st_mtime_ns, before.st_size, before.st_ino) != (after.st_mtime_ns, after.st_size, after.st_ino):
            raise OutputError(f"{path} was changed by another program while it was added to; it is left as it is now")


@contextmanager
def replacing_folder(path: Path, *, marker: str, overwrite: bool) -> Iterator[Path]:
    """Build a folder at the path that this gives; it takes the place of ``path`` when the block ends without an error.

    After an error nothing is left and an earlier folder at ``path`` is untouched. No rename replaces a folder that
    holds something, so there are two: after a kill between them, the next run puts the earlier folder back.

    Parameters
    ----------
    path : Path
        The folder to be.
    marker : str
        Name of the file that tells a folder of this kind; what lacks it is never replaced.
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
        raise OutputError(f"{path}: {_reason(error)}", "is the disk full?") from error


def check_folder(path: Path, *, marker: str, overwrite: bool) -> None:
    """Check that a folder can be put at ``path``.

    Raises
    ------
    InputError
        What is there is no folder of this kind (it has no file ``marker``): it is not replaced.
    OutputExistsError
        There is one and ``overwrite`` is off.
    """
    if not path.exists():
        return
    if not (path / marker).is_file():
        raise InputError(f"{path} is there and has no {marker}: it is not replaced", "choose another name with -o")
    if not overwrite:
        raise OutputExistsError(f"{path} exists", "add --overwrite to replace it, or choose another name")


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Give a path with the name of ``path`` in a fresh folder ``<name>.tmp-XXXXXXXX`` beside it, removed at the end.

    A folder of its own takes in whatever a library leaves beside its file (journals, temporary indices), and one rename
    within the file system brings the file to its place. Folders that killed runs left for the same path are removed.

    Raises
    ------
    OutputError
        The folder of ``path`` cannot be written to.
    """
    try:
        _sweep(path)
        folder, lock = _make_scratch(path)
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot write there: {_reason(error)}", "choose another folder with -o"
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
        except (Timeout, FileNotFoundError):
            continue  # another run swept the folder before it was locked
        except OSError:
            pass  # a drive without locks: nobody can sweep there either
        return folder, lock


def _sweep(path: Path) -> None:
    """Remove the scratch folders of runs that were killed."""
    name = re.compile(re.escape(f"{path.name}.tmp-") + r"[a-z0-9_]{8}")
    for folder in path.parent.glob(f"{glob.escape(path.name)}.tmp-*"):
        if not name.fullmatch(folder.name) or folder.is_symlink():
            continue
        with suppress(OSError, Timeout):
            if not (folder / _LOCK).exists():
                folder.rmdir()  # killed before it was locked: empty, or not one of ours
                continue
            with FileLock(folder / _LOCK, timeout=0):
                if (folder / _REPLACED).exists() and not path.exists():
                    os.replace(folder / _REPLACED, path)
            shutil.rmtree(folder, ignore_errors=True)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check, without touching anything, that a file can be put at ``path``.

    Raises
    ------
    OutputExistsError
        There is a file and ``overwrite`` is off.
    OutputError
        The folder is missing; ``path`` is a folder; another program has the file there open as a database.
    """
    try:
        target = path.resolve()
        is_folder, has_folder, exists = path.is_dir(), target.parent.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # a folder that may not be entered; links that go round in a circle
        raise OutputError(f"{path}: {_reason(error)}") from error
    if is_folder:
        raise OutputError(f"{path} is a folder", "name a file in it")
    if not has_folder:
        raise OutputError(f"{path}: there is no folder {path.parent}", "create it first")
    if exists and not overwrite:
        raise OutputExistsError(f"{path} exists", "add --overwrite to replace it, or choose another name")
    # A new database beside the log of an old one would be read as one with it, and be corrupt.
    for suffix in _SIDE_FILES:
        side = Path(f"{target}{suffix}")
        if side.exists():
            raise OutputError(
                f"{path} is open in another program, or was when that crashed: {side.name} is there",
                "close the layer in QGIS; if nothing has it open, open and close it there once",
            )


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk. Raises OSError when the disk refuses."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some drives cannot and say so; but a network drive may say only now that the disk is full.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
