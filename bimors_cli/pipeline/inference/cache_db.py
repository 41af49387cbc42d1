"""The SQLite file behind the cache of captions and gists: its form, its questions, and its size.

Every function may raise sqlite3.Error or OSError: the file is damaged, locked, read-only, or the disk is full.
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

# In the file's header: that it is ours, and of which form.
APPLICATION, SCHEMA = 0x62694D6F, 2
# Another run's transaction takes milliseconds.
WAIT_SECONDS = 5.0
# When a caption was used last is known to the hour: a run that only reads hardly ever writes.
USE_SECONDS = 3600
REMOVED_AT_ONCE = 10_000
ASKED_AT_ONCE = 500  # the oldest SQLite that Python 3.11 takes allows 999 parameters

_TABLES = (
    "CREATE TABLE sources (id BLOB PRIMARY KEY, bundle TEXT NOT NULL, captioner TEXT NOT NULL, settings TEXT NOT NULL)",
    "CREATE TABLE captions (key BLOB PRIMARY KEY, source BLOB NOT NULL, caption TEXT NOT NULL, used INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE INDEX captions_by_use ON captions (used)",
)
# Since form 2.
_GISTS = (
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
    """Who says a caption, and how: another source may say something else of the same picture.

    ``captioner`` is the SHA-256 of the captioner's files, ``settings`` how it generates, in words. ``bundle`` is the
    name of one bundle that holds it: for people, no part of what it is.
    """

    bundle: str
    captioner: str
    settings: str

    @property
    def id(self) -> bytes:
        return hashlib.sha256(f"{self.captioner}\n{self.settings}\n".encode()).digest()


def open_store(path: Path | None) -> sqlite3.Connection:
    """Open the file, made where it is not there; a database in memory for None.

    Raises
    ------
    CacheError
        The file is another program's, or of a newer bimors.
    """
    if path is None:
        db = sqlite3.connect(":memory:", check_same_thread=False)
        _make_tables(db)
        return db
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite itself would let two runs that begin at once fail over who makes the file.
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=WAIT_SECONDS):
        if not path.exists():
            # What a user's scenes show is the user's alone. SQLite gives its other files the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # A run may read ahead, caption and write in different threads, one of them at a time here.
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
        raise CacheError(f"{path}: another program's database, not captions", "set BIMORS_CACHE to another folder")
    if application == APPLICATION and schema > SCHEMA:
        raise CacheError(
            f"{path}: schema {schema} is newer than this bimors knows ({SCHEMA})",
            "update bimors, or set BIMORS_CACHE to another folder",
        )
    if application != APPLICATION:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        _make_tables(db)
    elif schema == 1:
        _make_tables(db, _GISTS)
    # With a write-ahead log, a machine that loses its power loses the last captions and nothing else.
    db.execute("PRAGMA synchronous = NORMAL")


def _make_tables(db: sqlite3.Connection, statements: Sequence[str] = (*_TABLES, *_GISTS)) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def find(db: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, str]:
    """Look captions up and note that they were used; keys that are not there are left out."""
    return _find(db, "SELECT key, caption, used FROM captions", "UPDATE captions", keys)


def get_features(db: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, bytes]:
    """Look gists up, as `find` does captions."""
    return _find(db, "SELECT key, gist, used FROM gists", "UPDATE gists", keys)


def _find(db: sqlite3.Connection, select: str, update: str, keys: list[bytes]) -> dict[bytes, Any]:
    now = int(time.time())
    found: dict[bytes, Any] = {}
    for i in range(0, len(keys), ASKED_AT_ONCE):
        asked = keys[i : i + ASKED_AT_ONCE]
        rows = db.execute(f"{select} WHERE key IN ({','.join('?' * len(asked))})", asked).fetchall()
        found |= {key: value for key, value, _ in rows}
        used = [(now, key) for key, _, last in rows if last < now - USE_SECONDS]
        if used:
            with db:
                db.executemany(f"{update} SET used = ? WHERE key = ?", used)
    return found


def keep(db: sqlite3.Connection, source: CaptionerId, captions: Mapping[bytes, str]) -> None:
    """Add captions by their keys; of a key that is there, its caption stays."""
    now = int(time.time())
    who = (source.id, source.bundle, source.captioner, source.settings)
    with db:
        db.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?)", who)
        db.executemany(
            "INSERT OR IGNORE INTO captions VALUES (?, ?, ?, ?)",
            [(key, source.id, caption, now) for key, caption in captions.items()],
        )


def put_features(db: sqlite3.Connection, gists: Mapping[bytes, bytes]) -> None:
    """Add gists by their keys; of a key that is there, its gist stays."""
    now = int(time.time())
    with db:
        db.executemany("INSERT OR IGNORE INTO gists VALUES (?, ?, ?)", [(k, gist, now) for k, gist in gists.items()])


def make_room(db: sqlite3.Connection, limit: int) -> None:
    """Remove what was not used for longest, in steps that let other runs in between.

    Gists go first, all of them: they are larger, and quicker to make again, than captions.
    """
    for table in ("gists", "captions"):
        while _bytes_in_use(db) > limit:
            with db:
                removed = db.execute(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} ORDER BY used LIMIT ?)",
                    [REMOVED_AT_ONCE],
                ).rowcount
            _give_back(db)
            if removed < REMOVED_AT_ONCE:
                break


def count(db: sqlite3.Connection) -> list[tuple[CaptionerId, int, datetime, datetime]]:
    """Count the captions of each source, with the first and the last time that one was used; the last used first."""
    return [
        (CaptionerId(*who), entries, datetime.fromtimestamp(oldest, UTC), datetime.fromtimestamp(newest, UTC))
        for *who, entries, oldest, newest in db.execute(_COUNT)
    ]


def count_gists(db: sqlite3.Connection) -> int:
    """Count the gists."""
    return int(db.execute("SELECT count(*) FROM gists").fetchone()[0])


def empty(db: sqlite3.Connection) -> int:
    """Remove all captions and gists; return how many captions there were."""
    with db:
        db.execute("DELETE FROM gists")
        removed = db.execute("DELETE FROM captions").rowcount
        db.execute("DELETE FROM sources")
    _give_back(db)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return int(removed)


def _give_back(db: sqlite3.Connection) -> None:
    db.executescript("PRAGMA incremental_vacuum")  # execute would step it once: one page


def _bytes_in_use(db: sqlite3.Connection) -> int:
    return _number(db, "page_size") * (_number(db, "page_count") - _number(db, "freelist_count"))


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
