"""The SQLite file of the cache of captions and features: its schema, its queries, and its size.

Every function may raise sqlite3.Error or OSError: the file is damaged, locked or read-only, or the disk is full.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from bimors_cli.errors import CacheError

# In the file's header: application id and schema version.
APPLICATION, SCHEMA = 0x62694D6F, 2
# Another run's transaction takes milliseconds.
WAIT_SECONDS = 5.0
# The time of last use is exact to the hour: a run that only reads hardly ever writes.
USE_SECONDS = 3600
REMOVED_AT_ONCE = 10_000
KEYS_PER_QUERY = 500  # the oldest SQLite that Python 3.11 supports allows 999 parameters

_TABLES = (
    "CREATE TABLE sources (id BLOB PRIMARY KEY, bundle TEXT NOT NULL, captioner TEXT NOT NULL, settings TEXT NOT NULL)",
    "CREATE TABLE captions (key BLOB PRIMARY KEY, source BLOB NOT NULL, caption TEXT NOT NULL, used INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE INDEX captions_by_use ON captions (used)",
)
# Since schema 2: features of images.
_FEATURES = (
    "CREATE TABLE gists (key BLOB PRIMARY KEY, gist BLOB NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX gists_by_use ON gists (used)",
)
_COUNT = """
SELECT bundle, captioner, settings, entries, oldest, newest FROM sources
JOIN (SELECT source, count(*) AS entries, min(used) AS oldest, max(used) AS newest FROM captions GROUP BY source)
ON id = source ORDER BY newest DESC
"""


@dataclass(frozen=True)
class CaptionerId:
    """The captioner of a caption and its settings: another captioner may caption the same image differently.

    ``captioner`` is the SHA-256 of the captioner's files, ``settings`` its generation settings, in words. ``bundle`` is
    the name of one bundle that holds it; it is only shown, and is not part of `id`.
    """

    bundle: str
    captioner: str
    settings: str

    @property
    def id(self) -> bytes:
        return hashlib.sha256(f"{self.captioner}\n{self.settings}\n".encode()).digest()


def open_db(path: Path | None) -> sqlite3.Connection:
    """Open the file, and create it if it does not exist; for None, a database in memory.

    Raises
    ------
    CacheError
        The file belongs to another program, or was written by a newer version of bimors.
    """
    if path is None:
        db = sqlite3.connect(":memory:", check_same_thread=False)
        _create_tables(db)
        return db
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a lock, two runs that start at once may both fail to create the file.
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=WAIT_SECONDS):
        if not path.exists():
            # Captions of a user's scenes are private. SQLite gives its other files the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # A run reads tiles, captions and writes in different threads; one of them at a time uses the database.
        db = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
        try:
            _check(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    application, schema = _number(db, "application_id"), _number(db, "user_version")
    if application != APPLICATION and db.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise CacheError(
            f"{path}: not a caption cache, but another program's database", "set BIMORS_CACHE to another folder"
        )
    if application == APPLICATION and schema > SCHEMA:
        raise CacheError(
            f"{path}: schema {schema} is newer than this bimors supports ({SCHEMA})",
            "update bimors, or set BIMORS_CACHE to another folder",
        )
    if application != APPLICATION:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        _create_tables(db)
    elif schema == 1:
        _create_tables(db, _FEATURES)
    # With a write-ahead log, a power failure loses only the last captions.
    db.execute("PRAGMA synchronous = NORMAL")


def _create_tables(db: sqlite3.Connection, statements: Sequence[str] = (*_TABLES, *_FEATURES)) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def get_captions(db: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, str]:
    """Look captions up, and update their time of last use. Keys that are not found are omitted."""
    return _get(db, "SELECT key, caption, used FROM captions", "UPDATE captions", keys)


def get_features(db: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, bytes]:
    """Look features up, as `get_captions`."""
    return _get(db, "SELECT key, gist, used FROM gists", "UPDATE gists", keys)


def _get(db: sqlite3.Connection, select: str, update: str, keys: list[bytes]) -> dict[bytes, Any]:
    now = int(time.time())
    found: dict[bytes, Any] = {}
    for i in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[i : i + KEYS_PER_QUERY]
        rows = db.execute(f"{select} WHERE key IN ({','.join('?' * len(some))})", some).fetchall()
        found |= {key: value for key, value, _ in rows}
        # A time in the future is that of a clock which has been set back since.
        used = [(now, key) for key, _, last in rows if abs(now - last) > USE_SECONDS]
        if used:
            with db:
                db.executemany(f"{update} SET used = ? WHERE key = ?", used)
    return found


def put_captions(db: sqlite3.Connection, source: CaptionerId, captions: Mapping[bytes, str]) -> None:
    """Add captions by their keys. Existing captions are not replaced."""
    now = int(time.time())
    row = (source.id, source.bundle, source.captioner, source.settings)
    with db:
        db.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?)", row)
        db.executemany(
            "INSERT OR IGNORE INTO captions VALUES (?, ?, ?, ?)",
            [(key, source.id, caption, now) for key, caption in captions.items()],
        )


def put_features(db: sqlite3.Connection, features: Mapping[bytes, bytes]) -> None:
    """Add features by their keys. Existing features are not replaced."""
    now = int(time.time())
    with db:
        db.executemany(
            "INSERT OR IGNORE INTO gists VALUES (?, ?, ?)", [(key, value, now) for key, value in features.items()]
        )


def evict(db: sqlite3.Connection, limit: int) -> None:
    """Delete the least recently used entries until ``limit`` bytes are in use, in steps that let other runs in between.

    Features are deleted first, all of them: they are larger than captions, and faster to compute again.
    """
    for table in ("gists", "captions"):
        while _bytes_in_use(db) > limit:
            with db:
                removed = db.execute(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} ORDER BY used LIMIT ?)",
                    [REMOVED_AT_ONCE],
                ).rowcount
            _release_pages(db)
            if removed < REMOVED_AT_ONCE:
                break


def count_captions(db: sqlite3.Connection) -> list[tuple[CaptionerId, int, datetime, datetime]]:
    """Count the captions of each captioner, with the earliest and latest time of last use; latest first."""
    return [
        (CaptionerId(*source), entries, datetime.fromtimestamp(oldest, UTC), datetime.fromtimestamp(newest, UTC))
        for *source, entries, oldest, newest in db.execute(_COUNT)
    ]


def count_features(db: sqlite3.Connection) -> int:
    """Count the features."""
    return int(db.execute("SELECT count(*) FROM gists").fetchone()[0])


def clear(db: sqlite3.Connection) -> int:
    """Delete all captions and features; return the number of captions."""
    with db:
        db.execute("DELETE FROM gists")
        removed = db.execute("DELETE FROM captions").rowcount
        db.execute("DELETE FROM sources")
    _release_pages(db)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return int(removed)


def _release_pages(db: sqlite3.Connection) -> None:
    db.executescript("PRAGMA incremental_vacuum")  # execute would step it once: one page


def _bytes_in_use(db: sqlite3.Connection) -> int:
    return _number(db, "page_size") * (_number(db, "page_count") - _number(db, "freelist_count"))


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
