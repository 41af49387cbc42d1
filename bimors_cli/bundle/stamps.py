"""Stamps of verified bundles: files that are as they were when they were hashed are not hashed at every start.

The stamp of a bundle is a file in the user's cache folder, outside the bundle. It holds the state of each file when its
hash was compared to the manifest; a file in any other state is hashed again. A stamp saves time and decides nothing
else: without one, or where it cannot be read or written, all files are hashed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bimors_cli.bundle.files import FileEntry
from bimors_cli.errors import CacheError
from bimors_cli.user_folders import cache_folder

FOLDER = "verified"
SCHEMA = 1
# A file that was written twice within the clock's resolution has one time stamp (two seconds on FAT), so that the state
# of a file that is younger than this does not identify its content.
SETTLED_NS = 5 * 10**9

# Device, inode, size, and the times in nanoseconds of the last change of the content and of the file itself. The latter
# (ctime) cannot be set by a program: a copy that keeps the times of its source has another one.
State = tuple[int, ...]

# CacheError: the cache folder of a user without a home folder is not known. A RecursionError is a RuntimeError.
_UNUSABLE = (OSError, ValueError, KeyError, RuntimeError, CacheError)

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class Stamp:
    """The states of the verified files of one bundle: hash and state by ``FileEntry.path``."""

    states: Mapping[str, tuple[str, State]]

    def covers(self, folder: Path, entry: FileEntry) -> bool:
        """Tell whether the file of an entry is as it was when it had the entry's hash."""
        known = self.states.get(entry.path)
        try:
            return known is not None and known == (entry.sha256, _state(folder / entry.path))
        except OSError:
            return False


NO_STAMP = Stamp({})


def read_stamp(folder: Path) -> Stamp:
    """Read the stamp of the bundle in ``folder``; an empty one if there is none, or if it cannot be read."""
    try:
        content = json.loads(_stamp_file(folder).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or content["folder"] != _path_of(folder):
            return NO_STAMP
        return Stamp({path: (sha256, tuple(state)) for path, (sha256, state) in content["files"].items()})
    except (*_UNUSABLE, TypeError, AttributeError) as error:
        log.debug("%s: no stamp: %r", folder, error)
        return NO_STAMP


def take_states(folder: Path, files: Iterable[FileEntry]) -> Stamp:
    """Take the states of files that are about to be hashed; those that changed a moment ago are left out."""
    settled = time.time_ns() - SETTLED_NS
    taken = {}
    for entry in files:
        try:
            state = _state(folder / entry.path)
        except OSError:
            continue
        if max(state[3:]) < settled:
            taken[entry.path] = (entry.sha256, state)
    return Stamp(taken)


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Replace the stamp of the bundle in ``folder``; nothing is written where the cache folder is not writable."""
    try:
        path = _stamp_file(folder)
        content = {"schema": SCHEMA, "folder": _path_of(folder), "files": dict(stamp.states)}
        path.parent.mkdir(parents=True, exist_ok=True)
        # Created with mode 0600, under a name that no other run uses.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            try:
                json.dump(content, file)
                file.close()
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except _UNUSABLE as error:
        log.debug("%s: the stamp cannot be written: %r", folder, error)


def forget_stamp(folder: Path) -> None:
    """Delete the stamp of the bundle in ``folder``, if there is one: all of its files are hashed next."""
    try:
        _stamp_file(folder).unlink(missing_ok=True)
    except _UNUSABLE as error:
        log.debug("%s: the stamp cannot be deleted: %r", folder, error)


def _state(path: Path) -> State:
    found = os.stat(path, follow_symlinks=False)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _path_of(folder: Path) -> str:
    return str(folder.resolve())


def _stamp_file(folder: Path) -> Path:
    name = hashlib.sha256(_path_of(folder).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache_folder(CacheError) / FOLDER / f"{name}.json"
