"""Lock files: one process at a time writes an output, a training folder or an installed bundle.

Some network drives have no locks. A run there continues without one, with a warning.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from filelock import FileLock, Timeout

from bimors_cli.errors import BimorsError
from bimors_cli.run_warnings import warn

try:
    import fcntl
except ImportError:  # Windows: every drive has locks
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Lock:
    """A lock file that this process holds, until it is released or the process ends. Made by `acquire_lock`.

    ``lock`` is None on a drive without locks: nothing is locked then, and `is_held` tells whether it was released.
    """

    def __init__(self, lock: FileLock | None, keep_file: bool) -> None:
        self._lock, self._keep_file = lock, keep_file
        self._released = False

    @property
    def is_held(self) -> bool:
        return not self._released if self._lock is None else bool(self._lock.is_locked)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock, if it is held."""
        if not self.is_held:
            return
        self._released = True
        if self._lock is None:
            return
        if not self._keep_file:
            # Removed while it is still held: the next process makes a new one.
            with suppress(OSError):
                Path(self._lock.lock_file).unlink()
        self._lock.release()


def acquire_lock(
    path: Path,
    error: type[BimorsError],
    message: str,
    hint: str | None = None,
    *,
    owner: Callable[[], str] | None = None,
    wait: float = 0.0,
    keep_file: bool = False,
) -> Lock:
    """Acquire a lock file.

    Parameters
    ----------
    path : Path
        The lock file. Its folder must exist.
    error, message, hint
        Raised if another process holds the lock.
    owner : callable, optional
        Names the process that holds the lock, such as `` (process 12 on host)``; added to the message.
    wait : float
        Seconds to wait for the lock.
    keep_file : bool
        Leave the file in place when the lock is released.

    Returns
    -------
    Lock
        A context manager that releases the lock.

    Raises
    ------
    BimorsError
        Another process holds the lock.
    OSError
        The file cannot be created.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait)
    except OSError as refused:  # Timeout, or what the drive says
        if not supports_locks(path.parent):
            warn("%s: this drive does not support file locks: make sure that no other run writes there", path.parent)
            return Lock(None, keep_file)
        if not isinstance(refused, Timeout):
            raise
        raise error(message + (owner() if owner is not None else ""), hint) from None
    return Lock(lock, keep_file)


def supports_locks(folder: Path) -> bool:
    """Tell whether files in a folder can be locked. Raises OSError if no file can be created there."""
    if fcntl is None:
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
    return True
