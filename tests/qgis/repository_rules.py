"""What plugins.qgis.org refuses in a zip, as its validator of 2026 does; the addresses are not asked here."""

from __future__ import annotations

import configparser
import re
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

MOST_BYTES = 25_000_000
REQUIRED = (
    "name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker", "repository",
)  # fmt: skip
URLS = ("tracker", "repository", "homepage")
FOLDERS = {"__MACOSX", ".git", "__pycache__"}
# Not of the validator, but of those who approve a plugin.
BINARIES = (".dll", ".dylib", ".exe", ".pyd", ".qm", ".so")


def refusals(path: Path) -> list[str]:
    """Return what is wrong with the zip of a new plugin; empty if it would be accepted."""
    if path.stat().st_size > MOST_BYTES:
        return ["the file is too large"]
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        found = [f"damaged: {archive.testzip()}"] if archive.testzip() else []
        found += [f"not allowed: {name}" for name in names if _is_forbidden(name)]
        folders = {name.partition("/")[0] for name in names}
        if len(folders) != 1 or "/" not in names[0]:
            return [*found, f"not one folder: {sorted(folders)}"]
        (package,) = folders
        if not package.isidentifier() or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]+", package):
            found.append(f"the name of the folder: {package}")
        needed = ("__init__.py", "metadata.txt", "LICENSE")
        if missing := [name for name in needed if f"{package}/{name}" not in names]:
            return [*found, *(f"missing: {name}" for name in missing)]
        parser = configparser.ConfigParser()  # with interpolation: a percent sign is an error
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(archive.read(f"{package}/metadata.txt").decode("utf-8"))
        metadata = dict(parser["general"])
        found += _metadata(metadata)
        icon = metadata.get("icon", "").removeprefix("./")
        if f"{package}/{icon}" not in names:
            found.append(f"no icon: {icon}")
        elif not icon.endswith((".png", ".jpg", ".jpeg")):
            found.append(f"not a PNG or JPEG: {icon}")
    return found


def _is_forbidden(name: str) -> bool:
    return (
        ".." in name
        or name.startswith("/")
        or "\\" in name
        or re.match("[A-Za-z]:", name) is not None
        or ".pyc" in name
        or name.endswith(BINARIES)
        or not FOLDERS.isdisjoint(name.split("/"))
    )


def _metadata(metadata: dict[str, str]) -> list[str]:
    found = [f"no metadata: {name}" for name in REQUIRED if not metadata.get(name, "").strip()]
    for name in URLS:
        address = urlsplit(metadata.get(name, ""))
        if not (address.scheme in ("http", "https") and "." in address.netloc):
            found.append(f"not an address: {name}")
    if "/" in metadata.get("author", ""):
        found.append("a slash in the name of the author")
    if "plugin" in metadata.get("name", "").lower():
        found.append("the word plugin in the name")
    if "supportsQt6" in metadata:
        found.append("supportsQt6 is no longer used")
    return found
