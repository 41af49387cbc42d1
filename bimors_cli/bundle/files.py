"""The list of files in a manifest, and verifying a folder against it."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bimors_cli.bundle.safetensors_file import check_header
from bimors_cli.errors import BundleError

# Larger files are not read into memory.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
# Far above any bundle or adapter.
MAX_FILES = 10_000
# Formats that can contain code. bimors would not run it; bundles must not contain it.
CODE_SUFFIXES = (".bin", ".ckpt", ".dll", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so")

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class FileEntry:
    """A file of a bundle: ``path`` relative to the manifest with forward slashes, ``size`` in bytes, ``sha256`` hex."""

    path: str
    size: int
    sha256: str


def list_files(folder: Path, paths: Iterable[str]) -> tuple[FileEntry, ...]:
    """Return sizes and hashes of files in ``folder``, sorted by path."""
    return tuple(FileEntry(path, (folder / path).stat().st_size, sha256_of(folder / path)) for path in sorted(paths))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(files: Iterable[FileEntry]) -> str:
    """Return one SHA-256 of a list of files: their common content, independent of the folder."""
    text = json.dumps([asdict(entry) for entry in files], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_plain_name(path: str) -> bool:
    """Tell whether a path stays in its folder on every system: relative, with forward slashes, without ``..``."""
    parts = path.split("/")
    return (
        len(path) <= 255
        and all(part not in ("", ".", "..") and part == part.strip() and not part.endswith(".") for part in parts)
        and path.isprintable()
        and not any(character in path for character in '\\:*?"<>|')
    )


def verify_files(folder: Path, files: Iterable[FileEntry], known: Callable[[FileEntry], bool] | None = None) -> None:
    """Check that every listed file exists and is unchanged, and that safetensors files have a valid header.

    ``known`` tells whether the hash of an entry need not be computed, because it was verified before.

    Raises
    ------
    BundleError
        A file is missing, a link, changed or has an invalid header; the message names the first one.
    """
    for entry in files:
        path = _located(folder, entry)
        if path.stat().st_size != entry.size:
            raise BundleError(
                f"{path}: {path.stat().st_size} bytes, {entry.size} according to the manifest",
                "the folder is incomplete: install or copy it again",
            )
        if not (known is not None and known(entry)) and sha256_of(path) != entry.sha256:
            raise BundleError(f"{path}: changed since its manifest was written", "install or copy it again")
        if path.suffix == ".safetensors":
            check_header(path)


def reject_unlisted_files(folder: Path, parts: Iterable[str], files: Iterable[FileEntry]) -> None:
    """Check that the subfolders ``parts`` of ``folder`` contain only ``files``.

    Raises
    ------
    BundleError
        A file is not in the list, or is a link.
    """
    known = {entry.path for entry in files}
    for part in parts:
        for where, folders, names in os.walk(folder / part):
            for name in sorted([*folders, *names]):
                path = Path(where, name)
                if path.is_symlink():
                    raise BundleError(f"{path}: a link; a bundle must contain plain files")
                if name in names and path.relative_to(folder).as_posix() not in known:
                    raise BundleError(f"{path}: not in the manifest", "remove it, or install the bundle again")


def _located(folder: Path, entry: FileEntry) -> Path:
    if not is_plain_name(entry.path):
        raise BundleError(f"{folder}: the manifest lists {entry.path!r}, which is not a plain name inside the folder")
    name = PurePosixPath(entry.path)
    path = folder / name
    if any(part.is_symlink() for part in (path, *list(path.parents)[: len(name.parts) - 1])):
        raise BundleError(f"{path}: a link; a bundle must contain plain files")
    if not path.is_file():
        raise BundleError(f"{path}: missing", "the folder is incomplete: install or copy it again")
    return path


def read_manifest(path: Path, newest_schema: int, upgrades: Mapping[int, Upgrade] | None = None) -> dict[str, Any]:
    """Read the JSON object of a manifest, upgraded to the newest schema.

    Parameters
    ----------
    path : Path
        The manifest.
    newest_schema : int
        The schema that this version writes.
    upgrades : mapping, optional
        Older schema to the function that upgrades it by one.

    Raises
    ------
    BundleError
        The file is missing, too large, not a JSON object, or has an unsupported schema.
    """
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: too large for a manifest")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_manifest(path, content, newest_schema, upgrades)


def parse_manifest(
    path: Path, text: bytes, newest_schema: int, upgrades: Mapping[int, Upgrade] | None = None
) -> dict[str, Any]:
    """Parse a manifest as `read_manifest` does, from bytes; ``path`` is used in messages."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise BundleError(f"{path}: not a manifest (no schema number)")
    if schema > newest_schema:
        raise BundleError(
            f"{path}: schema {schema} is newer than this version of bimors supports ({newest_schema})", "update bimors"
        )
    content = dict(content)
    for old in range(schema, newest_schema):
        if old not in (upgrades or {}):
            raise BundleError(
                f"{path}: schema {old} is older than this version of bimors supports", "build or fetch it again"
            )
        content = {**(upgrades or {})[old](content), "schema": old + 1}
    return content


def parse_files(path: Path, content: Mapping[str, Any]) -> tuple[FileEntry, ...]:
    """Read the file list of a manifest.

    Raises
    ------
    BundleError
        The list is missing or too long, an entry is invalid, a path leaves the folder, a suffix is one of code, or a
        path is listed twice; paths that differ only in case are the same file on some systems.
    """
    try:
        files = tuple(FileEntry(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in content["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: damaged: invalid list of files") from error
    if len(files) > MAX_FILES:
        raise BundleError(f"{path}: lists {len(files)} files; at most {MAX_FILES} are supported")
    seen: set[str] = set()
    for entry in files:
        if not is_plain_name(entry.path):
            raise BundleError(f"{path}: lists {entry.path!r}, which is not a plain name inside the folder")
        if entry.path.lower().endswith(CODE_SUFFIXES):
            raise BundleError(f"{path}: lists {entry.path!r}, which can contain code", "store weights as safetensors")
        same = unicodedata.normalize("NFC", entry.path).casefold()
        if same in seen:
            raise BundleError(f"{path}: lists a file twice: {entry.path!r}")
        seen.add(same)
    return files
