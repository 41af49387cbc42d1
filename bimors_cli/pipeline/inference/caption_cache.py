"""Captions by what the captioner was shown: labels, heads and adapters can change without captioning again.

One SQLite file in the user's cache folder, shared by all runs, holds sentences, what heads keep of a picture (see
`bimors_cli.pipeline.inference.feature_cache`), and hashes: no pixels. Whatever is wrong with it costs time and never a
run: the run warns, and goes on without it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from bimors_cli.errors import CacheError, InputError
from bimors_cli.pipeline.inference.cache_db import (
    CaptionerId,
    count,
    count_gists,
    empty,
    find,
    get_features,
    keep,
    make_room,
    open_store,
    put_features,
)

if TYPE_CHECKING:
    import torch

HOME, SIZE = "BIMORS_CACHE", "BIMORS_CACHE_SIZE"
FILE = "captions.sqlite"
DEFAULT_BYTES = 1024**3
# Without a file, equal tiles of one run are still described once: about 100,000 captions.
BYTES_IN_MEMORY = 16 * 1024**2

T = TypeVar("T")
Describe = Callable[["torch.Tensor"], list[str | None]]

log = logging.getLogger("bimors")


class CaptionCacheFile:
    """The captions that are known, for one run; to be closed, or entered. Any thread may ask.

    Parameters
    ----------
    path : Path or None
        The file; None keeps them in memory, for this run alone.
    limit : int
        Bytes; what was not used for longest goes first.

    Attributes
    ----------
    known, described : int
        Captions that were found, and those that the captioner had to say.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self.known = self.described = 0
        self._one_at_a_time = threading.RLock()
        self._path, self._limit = path, limit
        try:
            self._db = open_store(path)
        except (sqlite3.Error, OSError, CacheError) as error:
            self._forgo(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, keys: Collection[bytes]) -> dict[bytes, str]:
        """Look captions up; keys that are not known are left out."""
        return self._safely(lambda db: find(db, list(keys)))

    def keep(self, source: CaptionerId, captions: Mapping[bytes, str]) -> None:
        """Keep captions by their keys; of a key that is known, the caption that is there."""
        self._safely(lambda db: keep(db, source, captions))
        self._safely(lambda db: make_room(db, self._limit))

    @property
    def lasts(self) -> bool:
        """Whether what is kept now is there for later runs."""
        return self._path is not None

    def get_features(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """Look gists up; keys that are not known are left out."""
        return self._safely(lambda db: get_features(db, list(keys)))

    def put_features(self, gists: Mapping[bytes, bytes]) -> None:
        """Keep gists by their keys."""
        self._safely(lambda db: put_features(db, gists))
        self._safely(lambda db: make_room(db, self._limit))

    def tally(self, known: int, described: int = 0) -> None:
        """Count captions that were found, and those that were said."""
        with self._one_at_a_time:
            self.known += known
            self.described += described

    def _safely(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._one_at_a_time:
            try:
                return work(self._db)
            except (sqlite3.Error, OSError) as error:
                if self._path is None:
                    raise
                self._db.close()
                self._forgo(error)
                return work(self._db)

    def _forgo(self, error: Exception) -> None:
        hint = "; bimors cache clear begins a new one" if _is_damage(error) else ""
        log.warning("the caption cache is not used: %s%s", _reason(self._path, error), hint)
        self._path, self._limit = None, BYTES_IN_MEMORY
        self._db = open_store(None)


@dataclass(frozen=True)
class CachedCaptioner:
    """The captions of one source: what `bimors_cli.model.evidence.FrozenModels` asks before its captioner."""

    cache: CaptionCacheFile
    source: CaptionerId

    def caption(
        self, images: torch.Tensor, captioner: Describe, cache_keys: Sequence[bytes] | None = None
    ) -> list[str | None]:
        """Caption B images, uint8 [B, 3, h, w]: one lookup, and ``captioner`` for those not in the cache, each once.

        ``cache_keys`` are the images' keys, if they were computed before: see `cache_key`. An image without a caption
        is not saved.
        """
        keys = [self.cache_key(image) for image in images.cpu().numpy()] if cache_keys is None else cache_keys
        captions: dict[bytes, str | None] = dict(self.cache.find(set(keys)))
        missing: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            if key not in captions:
                missing.setdefault(key, row)
        if missing:
            said = dict(zip(missing, captioner(images[list(missing.values())]), strict=True))
            self.cache.keep(self.source, {key: caption for key, caption in said.items() if caption is not None})
            captions |= said
        self.cache.tally(len(keys) - len(missing), len(missing))
        return [captions[key] for key in keys]

    def cache_key(self, image: npt.NDArray[np.uint8]) -> bytes:
        """Tell what a picture, uint8 [3, h, w], is known by. Any thread may ask."""
        content = hashlib.sha256(self.source.id + repr(image.shape).encode())
        content.update(np.ascontiguousarray(image).data)
        return content.digest()


def open_caption_cache(keep: bool = True) -> CaptionCacheFile:
    """Open the user's cache; unless ``keep``, one in memory that knows nothing yet.

    Raises
    ------
    InputError
        BIMORS_CACHE_SIZE is no size.
    """
    limit = cache_limit()
    return CaptionCacheFile(cache_file(), limit) if keep and limit else CaptionCacheFile(None, BYTES_IN_MEMORY)


def cache_file() -> Path:
    """Where the cache lies, or would lie: in the user's cache folder, or in BIMORS_CACHE."""
    home = os.environ.get(HOME)
    return (Path(home).expanduser() if home else user_cache_path("bimors", appauthor=False)) / FILE


def cache_limit() -> int:
    """Return the bytes that the cache may take: 1 GiB, or BIMORS_CACHE_SIZE (``500MB``, ``2GiB``); 0 for no cache.

    Raises
    ------
    InputError
        It is no size.
    """
    given = os.environ.get(SIZE, "").strip()
    if not given:
        return DEFAULT_BYTES
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", given, flags=re.IGNORECASE | re.ASCII)
    if match is None:
        raise InputError(f"{SIZE}={given}: no size", "write it as 500MB or 2GiB; 0 for no cache")
    number, unit, binary = match.groups()
    if not unit:
        return int(float(number))
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit.upper()) + 1))


@dataclass(frozen=True)
class CacheFacts:
    """What the cache holds: ``bytes`` on disk, ``gists``, of each source its captions and the first and last time of
    use.
    """

    path: Path
    bytes: int
    limit: int
    gists: int
    sources: tuple[tuple[CaptionerId, int, datetime, datetime], ...]

    @property
    def entries(self) -> int:
        return sum(entries for _, entries, _, _ in self.sources)


def cache_facts() -> CacheFacts:
    """Look at the user's cache. One that is not there is empty, and is not made.

    Raises
    ------
    CacheError
        It cannot be read.
    InputError
        BIMORS_CACHE_SIZE is no size.
    """
    path, limit = cache_file(), cache_limit()
    if not path.exists():
        return CacheFacts(path, 0, limit, 0, ())
    found, gists = _opened(path, lambda db: (count(db), count_gists(db)))
    return CacheFacts(path, _bytes_on_disk(path), limit, gists, tuple(found))


def clear_cache() -> tuple[int | None, int]:
    """Empty the user's cache; one that is damaged is deleted.

    Returns
    -------
    tuple of int
        Captions that were in it (gists are not counted), None if it was damaged; bytes that are free again.

    Raises
    ------
    CacheError
        It cannot be written, it is in use, or it is not a caption cache of this bimors.
    """
    path = cache_file()
    before = _bytes_on_disk(path)
    if not path.exists():
        return 0, 0
    try:
        entries: int | None = _opened(path, empty)
    except CacheError as error:
        if error.__cause__ is None or not _is_damage(error.__cause__):
            raise
        entries = None
        for file in _files(path):
            file.unlink(missing_ok=True)
    return entries, before - _bytes_on_disk(path)


def _opened(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        db = open_store(path)
        try:
            return work(db)
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        hint = "bimors cache clear deletes it" if _is_damage(error) else "try again when no other run uses it"
        raise CacheError(_reason(path, error), hint) from error


def _files(path: Path) -> list[Path]:
    """The file and what SQLite may keep beside it."""
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]


def _bytes_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path)[:2] if file.exists())


def _is_damage(error: BaseException) -> bool:
    # The low byte is the kind of an error, the rest its circumstances.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _reason(path: Path | None, error: Exception) -> str:
    if isinstance(error, CacheError):
        return error.message
    why = error.strerror if isinstance(error, OSError) and error.errno in errno.errorcode else None
    return f"{path}: {why or error}"
