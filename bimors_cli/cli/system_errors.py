"""What the system refuses, in plain words: permissions, full disks, open files, threads, memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from bimors_cli.errors import BimorsError

_HINTS: Final = {
    errno.EACCES: "check the permissions of the file, and of the folders that it is in",
    errno.EPERM: "check the permissions of the file, and of the folders that it is in",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space: the quota is used up",
    errno.EFBIG: "raise the limit of the size of files: ulimit -f unlimited",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "the link refers to itself: give the file",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EIO: "check the disk, or the connection to the network drive",
    errno.ESTALE: "check the connection to the network drive",
    errno.ENOLCK: "the drive does not support locks: choose a folder on another drive",
}
_MEMORY: Final = ("Cannot allocate memory", "can't allocate memory", "not enough memory", "failed to map segment")


def exhausted(error: BaseException) -> BimorsError | None:
    """Return an error for the user if the system had no more files, threads or memory to give, else None.

    Errors that led to this one count: a library may take them for a damaged file.
    """
    for each in _chain(error):
        text = str(each)
        number = each.errno if isinstance(each, OSError) else None
        if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in text:
            return BimorsError("too many open files", "raise the limit: ulimit -n 4096")
        if "can't start new thread" in text:
            return BimorsError("the system allows no more threads", "raise the limit, ulimit -u, or end other programs")
        if isinstance(each, MemoryError) or number == errno.ENOMEM or any(words in text for words in _MEMORY):
            return BimorsError(
                "not enough memory", "end other programs, use a smaller --batch-size, or raise the limit: ulimit -v"
            )
    return None


def system_error(error: BaseException) -> BimorsError | None:
    """Return an error for the user if the system refused something; None if the program is at fault."""
    found = exhausted(error)
    if found is not None:
        return found
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_folder():
        return BimorsError("the current folder does not exist any more", "change to another folder: cd")
    if not isinstance(error, OSError) or error.errno not in _HINTS:
        return None
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return BimorsError(f"{where}{error.strerror}", _HINTS[error.errno])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
