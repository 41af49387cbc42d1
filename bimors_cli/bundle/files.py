"""The list of files that a manifest promises, and the check that the folder keeps the promise."""

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

# A file that nobody would call a manifest is not read into memory.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
# No list that bimors reads or writes comes near it.
MAX_FILES = 10_000
# Formats that can carry code. Nothing here would run it; it has no business in a bundle.
CODE_SUFFIXES = (".bin", ".ckpt", ".dll", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so")

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


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


def is_plain_name(path: str) -> bool:
    """Whether a path stays inside its folder on every system: relative, forward slashes, no dots that lead out."""
    parts = path.split("/")
    return (
        len(path) <= 255
        and all(part not in ("", ".", "..") and part == part.strip() and not part.endswith(".") for part in parts)
        and path.isprintable()
        and not any(sign in path for sign in '\\:*?"<>|')
    )


def verify_files(folder: Path, files: Iterable[FileEntry]) -> None:
    """Check that every promised file is there, whole and unchanged, and that safetensors begin with a sound header.

    Raises
    ------
    BundleError
        Names the first file that is missing, a link, of another size or of other content, or whose header lies.
    """
    for entry in files:
        path = _located(folder, entry)
        if path.stat().st_size != entry.size:
            raise BundleError(
                f"{path}: {path.stat().st_size} bytes where the manifest promises {entry.size}",
                "the folder is incomplete; install or copy it again",
            )
        if sha256_of(path) != entry.sha256:
            raise BundleError(f"{path}: changed since its manifest was written", "install or copy it again")
        if path.suffix == ".safetensors":
            check_header(path)


def refuse_strangers(folder: Path, parts: Iterable[str], files: Iterable[FileEntry]) -> None:
    """Check that the folders ``parts`` below ``folder`` hold nothing but ``files``.

    Raises
    ------
    BundleError
        Names the first file that the list does not have, or a link.
    """
    known = {entry.path for entry in files}
    for part in parts:
        for where, folders, names in os.walk(folder / part):
            for name in sorted([*folders, *names]):
                path = Path(where, name)
                if path.is_symlink():
                    raise BundleError(f"{path}: a link, not a file of the bundle")
                if name in names and path.relative_to(folder).as_posix() not in known:
                    raise BundleError(f"{path}: not in the manifest", "remove it, or install or copy the bundle again")


def _located(folder: Path, entry: FileEntry) -> Path:
    if not is_plain_name(entry.path):
        raise BundleError(f"{folder}: the manifest names {entry.path!r}, which is not a plain name inside the folder")
    name = PurePosixPath(entry.path)
    path = folder / name
    if any(part.is_symlink() for part in (path, *list(path.parents)[: len(name.parts) - 1])):
        raise BundleError(f"{path}: a link, not a file of the bundle")
    if not path.is_file():
        raise BundleError(f"{path}: missing", "the folder is incomplete; install or copy it again")
    return path


def read_manifest(path: Path, newest_schema: int, upgrades: Mapping[int, Upgrade] | None = None) -> dict[str, Any]:
    """Read a manifest's JSON object, in its newest form.

    Parameters
    ----------
    path : Path
        The manifest.
    newest_schema : int
        That this program writes.
    upgrades : mapping, optional
        From an older schema to the function that makes the next one of it.

    Raises
    ------
    BundleError
        It is missing, too large, not a JSON object, or of a schema that this program cannot read.
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
    """As `read_manifest`, from bytes; ``path`` is for messages."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise BundleError(f"{path}: not a manifest (no schema number)")
    if schema > newest_schema:
        raise BundleError(f"{path}: schema {schema} is newer than this bimors knows ({newest_schema})", "update bimors")
    content = dict(content)
    for old in range(schema, newest_schema):
        if old not in (upgrades or {}):
            raise BundleError(f"{path}: schema {old} is older than this bimors reads", "make or fetch the bundle anew")
        content = {**(upgrades or {})[old](content), "schema": old + 1}
    return content


def parse_files(path: Path, content: Mapping[str, Any]) -> tuple[FileEntry, ...]:
    """Take the file list out of a manifest.

    Raises
    ------
    BundleError
        The list is missing or too long, an entry is not of the right form, a name leaves the folder, is that of code,
        or stands in the list twice; two names that differ in case alone are one on some systems.
    """
    try:
        files = tuple(FileEntry(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in content["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: its list of files is damaged") from error
    if len(files) > MAX_FILES:
        raise BundleError(f"{path}: names {len(files)} files; {MAX_FILES} is the most that bimors reads")
    seen: set[str] = set()
    for entry in files:
        if not is_plain_name(entry.path):
            raise BundleError(f"{path}: names {entry.path!r}, which is not a plain name inside the folder")
        if entry.path.lower().endswith(CODE_SUFFIXES):
            raise BundleError(f"{path}: names {entry.path!r}, which can carry code", "weights come as safetensors")
        same = unicodedata.normalize("NFC", entry.path).casefold()
        if same in seen:
            raise BundleError(f"{path}: names a file twice: {entry.path!r}")
        seen.add(same)
    return files
