"""Lock files: one process at a time writes an output, a training folder or an installed bundle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from bimors_cli.errors import BimorsError


class Lock:
    """A lock file that this process holds, until it is released or the process ends. Made by `acquire_lock`."""

    def __init__(self, lock: FileLock, keep_file: bool) -> None:
        self._lock, self._keep_file = lock, keep_file

    @property
    def is_held(self) -> bool:
        return bool(self._lock.is_locked)

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
    except Timeout:
        raise error(message + (owner() if owner is not None else ""), hint) from None
    return Lock(lock, keep_file)
