"""Files that are there whole or not at all: built beside the target, moved onto it at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bimors_cli.errors import OutputError, OutputExistsError

# SQLite keeps these beside a database that a program has open, or left behind in a crash.
_SIDE_FILES = ("-journal", "-wal")


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Build a file at the path that this gives; it takes the place of ``path`` when the block ends without an error.

    The building place is a fresh folder ``<name>.tmp-XXXXXXXX`` beside the target, so that the move is one rename on one
    file system and whatever a library leaves beside its file (journals, temporary indices) goes away with it. After an error
    nothing is left and an earlier file at ``path`` is untouched. Nothing is followed but links: a link stays a link and the
    file that it points to is replaced.

    Raises
    ------
    OutputExistsError, OutputError
        As `check_target`, on entry and again before the move.
    OutputError
        The finished file cannot be moved onto ``path`` because another program holds that; it is kept, and the message
        says where.
    """
    check_target(path, overwrite=overwrite)
    target = path.resolve()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.tmp-", dir=target.parent))
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    kept = False
    try:
        built = folder / target.name
        yield built
        try:
            if target.exists():
                shutil.copymode(target, built)  # a file shared with a group stays shared
            _sync(built)
            check_target(path, overwrite=overwrite)
            os.replace(built, target)
            _sync(target.parent)
        except (OutputError, OSError) as error:
            if not built.exists():
                raise OutputError(f"{path}: {_reason(error)}") from error
            kept = True
            raise OutputError(
                f"{path} cannot be replaced: {_reason(error)}; the finished file is {built}",
                "close the layer in QGIS (or whatever holds it) and move the finished file there",
            ) from error
    finally:
        if not kept:
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
        if path.is_dir():
            raise OutputError(f"{path} is a folder", "name a file in it")
        if not path.resolve().parent.is_dir():
            raise OutputError(f"{path}: there is no folder {path.parent}", "create it first")
        exists = path.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise OutputError(f"{path}: {_reason(error)}") from error
    if exists and not overwrite:
        raise OutputExistsError(f"{path} exists", "add --overwrite to replace it, or choose another name")
    # A new database beside the log of an old one would be read as one with it, and be corrupt.
    for suffix in _SIDE_FILES:
        side = Path(f"{path.resolve()}{suffix}")
        if side.exists():
            raise OutputError(
                f"{path} is open in another program, or was when that crashed: {side.name} is there",
                "close the layer in QGIS; if nothing has it open, open and close it there once",
            )


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such thing for folders
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        # Some network and FUSE drives cannot; the file is complete all the same.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot write there: {_reason(error)}", "choose another folder with -o")


def _reason(error: Exception) -> str:
    if isinstance(error, OutputError):
        return error.message
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
