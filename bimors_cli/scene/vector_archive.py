"""Vector files in a zip archive, and KMZ files, which are zip archives of KML files."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from pathlib import PurePosixPath
from shlex import quote
from typing import Final

from bimors_cli.errors import VectorError, one_line
from bimors_cli.scene.vector_formats import GEODATABASE, HEAD, SIGNATURES, check_head

_VSIZIP: Final = re.compile(r"/vsizip/(?:\{(?P<braced>[^}]+)\}|(?P<plain>.+?\.zip))(?:/(?P<member>.*))?", re.I)
_MOST: Final = 10  # names in a message
# GeoJSON is searched for a URL as its CRS in memory: a small archive may hold a large file.
_LARGEST: Final = 1 << 30
# An encrypted archive is a RuntimeError, an unknown compression is NotImplementedError.
_UNREADABLE: Final = (zipfile.BadZipFile, OSError, RuntimeError, EOFError, zlib.error)


def archive_of(path: str) -> tuple[str, str | None] | None:
    """Return the archive and the member of a path of GDAL such as ``/vsizip/a.zip/b.shp``; None for any other path."""
    match = _VSIZIP.fullmatch(path)
    return None if match is None else (match["braced"] or match["plain"], match["member"] or None)


def find_member(path: str, name: str | None) -> tuple[str, bool]:
    """Return GDAL's path of a vector file in an archive, and whether ``name`` chose it.

    Parameters
    ----------
    path : str
        A .zip file.
    name : str, optional
        A member, with or without its folder and suffix. It may be omitted if there is only one vector file; otherwise
        it may be a layer of it.

    Raises
    ------
    VectorError
        The archive cannot be read, holds no vector file in a supported format, or several and none is named.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _vector_members(archive.namelist())
            if not members:
                raise VectorError(f"{path} holds no vector file", f"supported in an archive: {' '.join(SIGNATURES)}")
            named = [member for member in members if name is not None and name in _names(member)]
            chosen = named[0] if len(named) == 1 else members[0]
            if len(named) != 1 and len(members) > 1:
                raise _several(path, members, name)
            _check(path, archive, chosen)
    except _UNREADABLE as error:
        raise VectorError(
            f"{path} cannot be unpacked: {one_line(error)}", "unpack it and give the vector file"
        ) from error
    return f"/vsizip/{{{os.path.abspath(path)}}}/{chosen}", len(named) == 1


def check_kmz(path: str) -> None:
    """Check that all vector files in a .kmz file are KML: GDAL reads it as a whole. Raises VectorError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _vector_members(archive.namelist())
            if not any(member.lower().endswith(".kml") for member in members):
                raise VectorError(f"{path} holds no .kml file", f"list its files: unzip -l {quote(path)}")
            for member in members:
                _check(path, archive, member)
    except _UNREADABLE as error:
        raise VectorError(f"{path} cannot be unpacked: {one_line(error)}", "copy the file again") from error


def _vector_members(names: list[str]) -> list[str]:
    found = []
    for name in names:
        path = PurePosixPath(name)
        if "__MACOSX" in path.parts or path.name.startswith("._") or ".." in path.parts:
            continue
        databases = [at for at, part in enumerate(path.parts) if part.lower().endswith(GEODATABASE)]
        if databases:
            found.append("/".join(path.parts[: databases[0] + 1]))
        elif path.suffix.lower() in SIGNATURES and not name.endswith("/"):
            found.append(name)
    return list(dict.fromkeys(found))


def _names(member: str) -> tuple[str, ...]:
    path = PurePosixPath(member)
    return member, path.name, path.stem


def _check(path: str, archive: zipfile.ZipFile, member: str) -> None:
    if member.lower().endswith(GEODATABASE):
        return
    if archive.getinfo(member).file_size > _LARGEST:
        raise VectorError(f"{path} holds {member}, which is larger than 1 GiB", "unpack it and give the vector file")
    with archive.open(member) as file:
        head = file.read(HEAD)
        check_head(f"{path}/{member}", PurePosixPath(member).suffix.lower(), head, file)  # type: ignore[arg-type]


def _several(path: str, members: list[str], name: str | None) -> VectorError:
    shown = ", ".join(members[:_MOST]) + (f" and {len(members) - _MOST} more" if len(members) > _MOST else "")
    what = "holds several vector files" if name is None else f"holds no vector file {name!r}"
    return VectorError(
        f"{path} {what}", f"give one as {quote(path)}:{PurePosixPath(members[0]).stem}; it holds {shown}"
    )
