"""Make the zip that QGIS takes under Plugins > Install from ZIP: python examples/qgis/pack.py bimors-qgis.zip.

plugins.qgis.org also asks for addresses, which only whoever publishes the plugin has. They are added to metadata.txt:

    python examples/qgis/pack.py bimors-qgis.zip email=ADDRESS repository=URL tracker=URL homepage=URL
"""

from __future__ import annotations

import configparser
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent / "bimors"
LICENCE = PLUGIN.parents[2] / "LICENSE"
SUFFIXES = (".json", ".png", ".py", ".svg", ".ts")
ADDRESSES = ("email", "repository", "tracker", "homepage")


def pack(path: Path, addresses: Mapping[str, str] | None = None) -> None:
    """Write the plugin's folder, with its licence, and with addresses in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(file for file in PLUGIN.rglob("*") if file.suffix in SUFFIXES)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"{PLUGIN.name}/{file.relative_to(PLUGIN).as_posix()}")
        archive.write(LICENCE, f"{PLUGIN.name}/LICENSE")
        archive.writestr(f"{PLUGIN.name}/metadata.txt", _metadata(addresses or {}))


def _metadata(addresses: Mapping[str, str]) -> str:
    text = (PLUGIN / "metadata.txt").read_text(encoding="utf-8")
    if not addresses:
        return text
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.optionxform = str  # type: ignore[assignment,method-assign]
    metadata.read_string(text)
    metadata["general"].update(addresses)
    written = io.StringIO()
    metadata.write(written, space_around_delimiters=False)
    return written.getvalue()


def _addresses(words: list[str]) -> dict[str, str]:
    found = dict(word.partition("=")[::2] for word in words)
    if unknown := found.keys() - set(ADDRESSES):
        sys.exit(f"error: {', '.join(sorted(unknown))}: not one of {', '.join(ADDRESSES)}")
    return found


if __name__ == "__main__":
    given = _addresses(sys.argv[2:])
    pack(Path(sys.argv[1]), given)
    if missing := [name for name in ADDRESSES if name not in given]:
        print(f"for plugins.qgis.org add {', '.join(f'{name}=…' for name in missing)}", file=sys.stderr)
