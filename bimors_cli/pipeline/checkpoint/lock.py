"""Locks of runs: one run at a time writes an output, or one of its shards."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bimors_cli.errors import JournalError
from bimors_cli.locks import Lock, acquire_lock
from bimors_cli.pipeline.checkpoint.journal_format import lock_owner


def lock_file(path: Path) -> Path:
    """Return the lock file of a journal: ``PATH.lock``."""
    return path.with_name(path.name + ".lock")


def acquire_run_lock(
    path: Path, name: object, what: str = "this output", *, other: str = "use another -o", wait: float = 0.0
) -> Lock:
    """Lock a journal for a run that writes ``what``.

    Parameters
    ----------
    path : Path
        The journal.
    name : object
        What messages call it.
    what : str
        What the run writes.
    other : str
        What the user can do instead, for the hint.
    wait : float
        Seconds to wait for the lock.

    Raises
    ------
    JournalError
        Another run holds the lock, or the folder cannot be written.
    """
    message, hint = f"{name}: another run is writing {what}", f"wait until it ends, or {other}"
    try:
        return acquire_lock(lock_file(path), JournalError, message, hint, owner=partial(lock_owner, path), wait=wait)
    except OSError as error:
        raise JournalError(f"{path.parent}: cannot be written: {error.strerror or error}", other) from error


def is_locked(path: Path) -> bool:
    """Tell whether a run holds the lock of a journal; a lock file that a killed run left is removed."""
    if not lock_file(path).exists():
        return False
    try:
        acquire_lock(lock_file(path), JournalError, f"{path.name}: in use").release()
    except JournalError:
        return True
    except OSError:  # the folder is read-only
        return False
    return False
