"""The list of files that a manifest promises, and the check that the folder keeps the promise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bimors_cli.errors import BundleError

# A file that nobody would call a manifest is not read into memory.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class FileEntry:
    """A file of a bundle: ``path`` relative to the manifest with forward slashes, ``size`` in bytes, ``sha256`` hex."""

    path: str
    size: int
    sha256: str


def list_files(folder: Path, paths: Iterable[str]) -> tuple[FileEntry, ...]:
    """Measure files below ``folder``, in the order of their paths."""
    return tuple(FileEntry(path, (folder / path).stat().st_size, sha256_of(folder / path)) for path in sorted(paths))


def sha256_of(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(files: Iterable[FileEntry]) -> str:
    """Hash a list of files: the identity of what they hold together, wherever they lie."""
    text = json.dumps([asdict(entry) for entry in files], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def verify_files(folder: Path, files: Iterable[FileEntry]) -> None:
    """Check that every promised file is there, whole and unchanged.

    Raises
    ------
    BundleError
        Names the first file that is missing, of another size or of other content, or whose name leaves the folder.
    """
    for entry in files:
        name = PurePosixPath(entry.path)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.path or ":" in entry.path or not name.parts:
            raise BundleError(
                f"{folder}: the manifest names {entry.path!r}, which is not a plain name inside the folder"
            )
        path = folder / name
        if any(part.is_symlink() for part in (path, *list(path.parents)[: len(name.parts) - 1])):
            raise BundleError(f"{path}: a link, not a file of the bundle")
        if not path.is_file():
            raise BundleError(f"{path}: missing", "the folder is incomplete; install or copy it again")
        if path.stat().st_size != entry.size:
            raise BundleError(
                f"{path}: {path.stat().st_size} bytes where the manifest promises {entry.size}",
                "the folder is incomplete; install or copy it again",
            )
        if sha256_of(path) != entry.sha256:
            raise BundleError(f"{path}: changed since its manifest was written", "install or copy it again")


def read_manifest(path: Path, newest_schema: int) -> dict[str, Any]:
    """Read a manifest's JSON object.

    Raises
    ------
    BundleError
        It is missing, too large, not a JSON object, or of a newer schema than this program knows.
    """
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: too large for a manifest")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int):
        raise BundleError(f"{path}: not a manifest (no schema number)")
    if schema > newest_schema:
        raise BundleError(f"{path}: schema {schema} is newer than this bimors knows ({newest_schema})", "update bimors")
    return dict(content)


def parse_files(path: Path, content: Mapping[str, Any]) -> tuple[FileEntry, ...]:
    """Take the file list out of a manifest.

    Raises
    ------
    BundleError
        The list is missing or an entry is not of the right form, or a name stands in it twice.
    """
    try:
        files = tuple(FileEntry(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in content["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: its list of files is damaged") from error
    if len({entry.path for entry in files}) != len(files):
        raise BundleError(f"{path}: names a file twice")
    return files
