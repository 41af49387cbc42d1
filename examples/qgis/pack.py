"""Make the zip that QGIS takes under Plugins > Install from ZIP: python examples/qgis/pack.py bimors-qgis.zip."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent / "bimors"
SUFFIXES = (".json", ".png", ".py", ".svg", ".ts", ".txt")
LICENCE = PLUGIN.parents[2] / "LICENSE"


def pack(path: Path) -> None:
    """Write the plugin's folder, its licence included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(PLUGIN.rglob("*")):
            if file.suffix in SUFFIXES:
                archive.write(file, Path(PLUGIN.name) / file.relative_to(PLUGIN))
        archive.write(LICENCE, f"{PLUGIN.name}/{LICENCE.name}")


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
