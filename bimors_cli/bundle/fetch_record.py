"""The record of a fetch: revision, size and hash of every downloaded file, which the next fetch must get again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle.catalog import CatalogEntry
from bimors_cli.bundle.files import read_manifest
from bimors_cli.bundle.schemas import check_schema

RECORD_SCHEMA = 1


@dataclass(frozen=True)
class DownloadedFile:
    """A downloaded file: ``path`` at its source, size in bytes, SHA-256, and the ``etag`` that the source sent.

    ``converted_to`` names the safetensors file that was made of a pickle; None for other files.
    """

    path: str
    size: int
    sha256: str
    etag: str | None
    converted_to: str | None = None


def record_of(target: Path) -> Path:
    """Return the path of the fetch record of the bundle at ``target``, next to it."""
    return target.with_name(f"{target.name}.fetched.json")


def read_record(path: Path, entry: CatalogEntry) -> dict[str, Any]:
    """Read the record of an earlier fetch, by part. Parts whose source has changed since are left out.

    Raises
    ------
    BundleError
        The record is damaged or was written by a newer version.
    """
    return {
        part: recorded
        for part, recorded in _read_parts(path).items()
        if part in entry.parts and recorded["origin"] == entry.parts[part].origin
    }


def recorded_revision(target: Path) -> str | None:
    """Return the commit of CLIP that the record of the bundle at ``target`` names; None without record.

    Raises
    ------
    BundleError
        The record is damaged or was written by a newer version.
    """
    revision: str | None = _read_parts(record_of(target)).get("clip", {}).get("revision")
    return revision


def recorded_origin(path: Path, part: str) -> str | None:
    """Return the repository or address that a part of a record came from; None if the record lacks it.

    Raises
    ------
    BundleError
        The record is damaged or was written by a newer version.
    """
    origin: str | None = _read_parts(path).get(part, {}).get("origin")
    return origin


def recorded_revisions(path: Path) -> dict[str, str]:
    """Return the commit of each part that came from a repository, by a record; nothing if there is no record.

    Raises
    ------
    BundleError
        The record is damaged or was written by a newer version.
    """
    return {part: recorded["revision"] for part, recorded in _read_parts(path).items() if recorded["revision"]}


def recorded_files(path: Path) -> Iterator[tuple[str, DownloadedFile]]:
    """Yield the part and the facts of every file of a record; nothing if there is no record.

    Raises
    ------
    BundleError
        The record is damaged or was written by a newer version.
    """
    for part, recorded in _read_parts(path).items():
        yield from ((part, DownloadedFile(**file)) for file in recorded["files"])


def _read_parts(path: Path) -> dict[str, Any]:
    """Return the parts of a record; none if there is no record."""
    if not path.exists():
        return {}
    content = read_manifest(path, RECORD_SCHEMA)
    check_schema(path, content, "record")
    parts: dict[str, Any] = content["parts"]
    return parts


def write_record(
    path: Path,
    entry: CatalogEntry,
    earlier: Mapping[str, Any],
    revisions: Mapping[str, str | None],
    downloaded: Mapping[str, list[DownloadedFile]],
) -> int:
    """Write the record; return the number of files that are neither in the catalog nor in the earlier record."""
    content = {
        "schema": RECORD_SCHEMA,
        "name": entry.name,
        "parts": {
            part: {
                "origin": source.origin,
                "revision": revisions[part],
                "files": [_as_json(file) for file in downloaded[part]],
            }
            for part, source in entry.parts.items()
        },
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = {(part, file["path"]) for part, recorded in earlier.items() for file in recorded["files"]}
    known |= {(p, f.path) for p, s in entry.parts.items() for f in s.files if f.size is not None and f.sha256}
    return len({(part, file.path) for part, files in downloaded.items() for file in files} - known)


def _as_json(file: DownloadedFile) -> dict[str, Any]:
    return {name: value for name, value in asdict(file).items() if name != "converted_to" or value is not None}
