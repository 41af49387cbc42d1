"""The wheel holds all that the program needs: the embedded bundle too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_carries_the_bundle(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True
    )
    (wheel,) = tmp_path.glob("bimors_cli-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {
        f"bimors_cli/embedded/mini/{p.relative_to(ROOT / 'weights/mini').as_posix()}"
        for p in (ROOT / "weights/mini").rglob("*")
        if p.is_file()
    }
    assert here <= names and {"bimors_cli/py.typed", "bimors_cli/bundle/bands/manifest.json"} <= names
