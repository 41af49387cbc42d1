"""Locks: what finished tiles are kept in belongs to one run at a time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from bimors_cli.errors import JournalError
from bimors_cli.pipeline.checkpoint.journal_format import lock_owner


class RunLock:
    """A lock beside a file or folder, held until it is let go or the process ends; ``PATH.lock``.

    Raises
    ------
    Timeout
        Another run holds it, for all of the seconds to ``wait``.
    OSError
        The folder cannot be written.
    """

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self._lock = FileLock(_lock_file(path))
        self._lock.acquire(timeout=wait)

    @property
    def is_locked(self) -> bool:
        return bool(self._lock.is_locked)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let it go, if it is held."""
        if not self.is_locked:
            return
        # Removed while it is still held: whoever comes next makes a new one.
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()


def acquire_run_lock(
    path: Path, name: object, what: str = "this output", *, other: str = "use another -o", wait: float = 0.0
) -> RunLock:
    """Hold a journal for a run that writes ``what``; ``name`` is what the user knows it by, ``other`` the way out.

    Raises
    ------
    JournalError
        Another run holds it, for all of the seconds to ``wait``; or its folder cannot be written.
    """
    try:
        return RunLock(path, wait)
    except Timeout:
        raise JournalError(
            f"{name}: another run is writing {what}{lock_owner(path)}", f"wait for it, or {other}"
        ) from None
    except OSError as error:
        raise JournalError(f"{path.parent}: cannot be written: {error.strerror or error}", other) from error


def is_locked(path: Path) -> bool:
    """Tell whether a run holds ``path``; nothing is left of the question, or of a lock that a killed run left."""
    if not _lock_file(path).exists():
        return False
    try:
        RunLock(path).release()
    except Timeout:
        return True
    except OSError:  # a folder that nobody can write
        return False
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
