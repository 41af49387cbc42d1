"""Files that several bundles have: each is stored once on the disk, by hard links between the folders of the bundles.

A hard link is a plain file to every program, so that bundles can still be copied, packed and removed one by one; the
disk space is freed with the last bundle that has the file.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bimors_cli.bundle.catalog import LORA, CatalogEntry, Source, SourceFile
from bimors_cli.bundle.fetch_record import record_of, recorded_files, recorded_origin
from bimors_cli.bundle.files import sha256_of
from bimors_cli.bundle.manifest import CAPTIONER, Bundle, read_bundle
from bimors_cli.errors import BimorsError


@dataclass(frozen=True)
class LocalFile:
    """A file of an installed bundle: its ``path``, ``size`` in bytes and SHA-256 according to the manifest.

    ``source_size`` and ``source_sha256`` are those of the file that was downloaded for it: a pickle differs.
    """

    path: Path
    size: int
    sha256: str
    source_size: int
    source_sha256: str

    def is_unchanged(self) -> bool:
        """Tell whether the file is still the one of the manifest; reads it whole."""
        try:
            return self.path.stat().st_size == self.size and sha256_of(self.path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class LocalFiles:
    """The files of the installed bundles.

    Attributes
    ----------
    by_content : mapping
        SHA-256 of a file to the file.
    by_pickle : mapping
        `_made_of` a pickle or weights that were downloaded, to the safetensors file that was made of them.
    """

    by_content: Mapping[str, LocalFile]
    by_pickle: Mapping[str, LocalFile]

    def of_source(self, source: Source, file: SourceFile, sha256: str | None) -> LocalFile | None:
        """Return the local file that a file of a source with this SHA-256 becomes in a bundle; None if there is none.

        ``sha256`` is the hash of the file at its source, None if it is not known.
        """
        if sha256 is None:
            return None
        if file.convert_to is None:
            return self.by_content.get(sha256)
        return self.by_pickle.get(_made_of(sha256, None if source.lora is None else source.lora.origin))


def _made_of(sha256: str, lora: str | None) -> str:
    """Return a key of what a converted file was made of: SHA-256 of a download, and the origin of a LoRA."""
    return sha256 if lora is None else f"{sha256} {lora}"


def local_files(folders: Iterable[Path]) -> LocalFiles:
    """Read which files the bundles in ``folders`` have; nothing but manifests and records of fetches is read.

    A bundle whose manifest is damaged is left out: `bimors models verify` reports it.
    """
    by_content: dict[str, LocalFile] = {}
    by_pickle: dict[str, LocalFile] = {}
    for folder in folders:
        try:
            bundle = read_bundle(folder)
        except BimorsError:
            continue
        found = dict(_files(bundle))
        by_content.update({file.sha256: file for file in found.values()})
        lora = recorded_origin(record_of(folder), LORA)
        for part, recorded in recorded_files(record_of(folder)):
            if recorded.converted_to is not None and (file := found.get(f"{part}/{recorded.converted_to}")) is not None:
                key = _made_of(recorded.sha256, lora if part == CAPTIONER else None)
                by_pickle[key] = replace(file, source_size=recorded.size, source_sha256=recorded.sha256)
    return LocalFiles(by_content, by_pickle)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy where the file system cannot link them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, one without hard links, or too many links
        shutil.copyfile(source, target)


def share_files(bundle: Bundle, local: LocalFiles) -> int:
    """Replace files of a verified bundle by hard links to equal files of other bundles.

    Returns
    -------
    int
        Bytes that are no longer stored twice.
    """
    saved = 0
    for entry in bundle.files:
        path, other = bundle.folder / entry.path, local.by_content.get(entry.sha256)
        if other is None or other.path == path or not other.is_unchanged() or path.samefile(other.path):
            continue
        linked = path.with_name(f".{path.name}.link")
        linked.unlink(missing_ok=True)
        try:
            os.link(other.path, linked)
        except OSError:  # as in link_or_copy: then each bundle keeps its own
            return saved
        linked.replace(path)
        saved += entry.size
    return saved


def bytes_to_fetch(entry: CatalogEntry, local: LocalFiles) -> int:
    """Return the bytes of an entry that no installed bundle has; files of unknown size are not counted."""
    files = ((source, file) for source in entry.parts.values() for file in source.files)
    return sum(f.size or f.about or 0 for source, f in files if local.of_source(source, f, f.sha256) is None)


def bytes_freed(folder: Path) -> int:
    """Return the bytes that the removal of a folder frees: files that other bundles also have are not counted."""
    states = [path.lstat() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    links = Counter((state.st_dev, state.st_ino) for state in states)  # two parts may share a file as well
    freed = {key: state.st_size for state in states if links[key := (state.st_dev, state.st_ino)] == state.st_nlink}
    return sum(freed.values())


def _files(bundle: Bundle) -> Iterator[tuple[str, LocalFile]]:
    for entry in bundle.files:
        path = bundle.folder / entry.path
        yield entry.path, LocalFile(path, entry.size, entry.sha256, entry.size, entry.sha256)
