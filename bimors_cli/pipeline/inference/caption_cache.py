"""Captions by the pixels of their images: labels, heads and adapters can change without captioning again.

One SQLite file in the user's cache folder, shared by all runs, holds captions, image features (see
`bimors_cli.pipeline.inference.feature_cache`) and hashes, but no pixels. A cache that cannot be used costs time and
never a run: the run continues without it, with a warning.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy.typing as npt

from bimors_cli.errors import CacheError, InputError
from bimors_cli.pipeline.inference.cache_db import (
    CaptionerId,
    clear,
    count_captions,
    count_features,
    evict,
    get_captions,
    get_features,
    open_db,
    put_captions,
    put_features,
)
from bimors_cli.pipeline.inference.image_keys import image_hash
from bimors_cli.run_warnings import warn
from bimors_cli.user_folders import CACHE, cache_folder

if TYPE_CHECKING:
    import torch

SIZE = "BIMORS_CACHE_SIZE"
FILE = "captions.sqlite"
DEFAULT_BYTES = 1024**3
# Without a file, equal tiles of one run are still captioned once: about 100,000 captions.
BYTES_IN_MEMORY = 16 * 1024**2

# Of SQLite: the disk is read-only or full, or a network drive without locks.
_UNUSABLE_DRIVE = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PROTOCOL,
)

T = TypeVar("T")
Describe = Callable[["torch.Tensor"], list[str | None]]


class CaptionCacheFile:
    """The caption cache, as one run has it open; a context manager. Any thread may use it.

    Parameters
    ----------
    path : Path or None
        The file; None for a cache in memory, for this run only.
    limit : int
        Bytes. The least recently used entries are deleted first.

    Attributes
    ----------
    hits, misses : int
        Captions that were found in the cache, and captions that were generated.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self.hits = self.misses = 0
        self._lock = threading.RLock()
        self._path, self._limit = path, limit
        try:
            self._db = open_db(path)
        except (sqlite3.Error, OSError, CacheError) as error:
            self._disable(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, keys: Collection[bytes]) -> dict[bytes, str]:
        """Look captions up. Keys that are not found are omitted."""
        return self._run(lambda db: get_captions(db, list(keys)))

    def put(self, source: CaptionerId, captions: Mapping[bytes, str]) -> None:
        """Add captions by their keys. Existing captions are not replaced."""
        self._run(lambda db: put_captions(db, source, captions))
        self._run(lambda db: evict(db, self._limit))

    @property
    def is_persistent(self) -> bool:
        """Whether later runs find what is added."""
        return self._path is not None

    def get_features(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """Look features up. Keys that are not found are omitted."""
        return self._run(lambda db: get_features(db, list(keys)))

    def put_features(self, features: Mapping[bytes, bytes]) -> None:
        """Add features by their keys."""
        self._run(lambda db: put_features(db, features))
        self._run(lambda db: evict(db, self._limit))

    def count_hits(self, hits: int, misses: int = 0) -> None:
        """Count captions that were found in the cache, and captions that were generated."""
        with self._lock:
            self.hits += hits
            self.misses += misses

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._db)
            except (sqlite3.Error, OSError) as error:
                if self._path is None:
                    raise
                self._db.close()
                self._disable(error)
                return work(self._db)

    def _disable(self, error: Exception) -> None:
        warn("the caption cache is not used: %s%s", _reason(self._path, error), _advice(error))
        self._path, self._limit = None, BYTES_IN_MEMORY
        self._db = open_db(None)


@dataclass(frozen=True)
class CachedCaptioner:
    """The cached captions of one captioner, which `bimors_cli.model.frozen_models.FrozenModels` queries before it."""

    cache: CaptionCacheFile
    source: CaptionerId

    def caption(
        self, images: torch.Tensor, captioner: Describe, cache_keys: Sequence[bytes] | None = None
    ) -> list[str | None]:
        """Caption B images [B, channels, h, w]: one lookup, and ``captioner`` for those not in the cache, each once.

        ``cache_keys`` are the images' keys, if they were computed before: see `cache_key`. An image without a caption
        is not saved.
        """
        keys = [self.cache_key(image) for image in images.cpu().numpy()] if cache_keys is None else cache_keys
        captions: dict[bytes, str | None] = dict(self.cache.get(set(keys)))
        missing: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            if key not in captions:
                missing.setdefault(key, row)
        if missing:
            # A copy of all images would be slow, and not in pinned memory.
            uncached = images if len(missing) == len(images) else images[list(missing.values())]
            new = dict(zip(missing, captioner(uncached), strict=True))
            self.cache.put(self.source, {key: caption for key, caption in new.items() if caption is not None})
            captions |= new
        self.cache.count_hits(len(keys) - len(missing), len(missing))
        return [captions[key] for key in keys]

    def cache_key(self, image: npt.NDArray[Any]) -> bytes:
        """Return the key of an image [channels, h, w]. May be called from any thread."""
        return image_hash(image, self.source.id)


def open_caption_cache(keep: bool = True) -> CaptionCacheFile:
    """Open the user's cache; unless ``keep``, an empty one in memory.

    Raises
    ------
    InputError
        BIMORS_CACHE_SIZE is not a size.
    """
    limit = cache_limit()
    if keep and limit:
        try:
            return CaptionCacheFile(cache_file(), limit)
        except CacheError as error:
            warn("the caption cache is not used: %s; %s", error.message, error.hint)
    return CaptionCacheFile(None, BYTES_IN_MEMORY)


def cache_file() -> Path:
    """Return the path of the cache, which may not exist: in BIMORS_CACHE, or in the user's cache folder.

    Raises
    ------
    CacheError
        The home folder of the user is not known.
    """
    return cache_folder(CacheError) / FILE


def cache_limit() -> int:
    """Return the maximum size in bytes: BIMORS_CACHE_SIZE (``500MB``, ``2GiB``; 0 for no cache), 1 GiB by default.

    Raises
    ------
    InputError
        BIMORS_CACHE_SIZE is not a size.
    """
    given = os.environ.get(SIZE, "").strip()
    if not given:
        return DEFAULT_BYTES
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", given, flags=re.IGNORECASE | re.ASCII)
    if match is None:
        raise InputError(f"{SIZE}={given}: not a size", "use a size such as 500MB or 2GiB; 0 disables the cache")
    number, unit, binary = match.groups()
    if not unit:
        return int(float(number))
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit.upper()) + 1))


@dataclass(frozen=True)
class CacheFacts:
    """Content of the cache: size on disk, limit, number of features, and for each captioner the number of captions and
    the earliest and latest time of last use.
    """

    path: Path
    bytes: int
    limit: int
    features: int
    sources: tuple[tuple[CaptionerId, int, datetime, datetime], ...]

    @property
    def entries(self) -> int:
        return sum(entries for _, entries, _, _ in self.sources)


def cache_facts() -> CacheFacts:
    """Describe the user's cache. A missing one is empty, and is not created.

    Raises
    ------
    CacheError
        The cache cannot be read.
    InputError
        BIMORS_CACHE_SIZE is not a size.
    """
    path, limit = cache_file(), cache_limit()
    if not path.exists():
        return CacheFacts(path, 0, limit, 0, ())
    found, features = _with_db(path, lambda db: (count_captions(db), count_features(db)))
    return CacheFacts(path, _bytes_on_disk(path), limit, features, tuple(found))


def clear_cache() -> tuple[int | None, int]:
    """Clear the user's cache; a damaged one is deleted.

    Returns
    -------
    tuple of int
        Number of deleted captions (features are not counted), None if the cache was damaged; number of bytes freed.

    Raises
    ------
    CacheError
        The cache cannot be written, is in use, or is not a caption cache of this version.
    """
    path = cache_file()
    before = _bytes_on_disk(path)
    if not path.exists():
        return 0, 0
    try:
        entries: int | None = _with_db(path, clear)
    except CacheError as error:
        if error.__cause__ is None or not _is_damage(error.__cause__):
            raise
        entries = None
        for file in _files(path):
            file.unlink(missing_ok=True)
    return entries, before - _bytes_on_disk(path)


def _with_db(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        db = open_db(path)
        try:
            return work(db)
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        hint = "delete it with: bimors cache clear" if _is_damage(error) else "try again when no other run uses it"
        raise CacheError(_reason(path, error), hint) from error


def _files(path: Path) -> list[Path]:
    """Return the file, and the files that SQLite may have next to it."""
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]


def _bytes_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path)[:2] if file.exists())


def _advice(error: Exception) -> str:
    if _is_damage(error):
        return "; delete it with: bimors cache clear"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, OSError) or code in _UNUSABLE_DRIVE:
        return f"; set {CACHE} to a folder on a disk that can be written, or use --no-caption-cache"
    return ""


def _is_damage(error: BaseException) -> bool:
    # The low byte is the primary error code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _reason(path: Path | None, error: Exception) -> str:
    if isinstance(error, CacheError):
        return error.message
    why = error.strerror if isinstance(error, OSError) and error.errno in errno.errorcode else None
    return f"{path}: {why or error}"
