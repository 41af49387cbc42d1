"""A PROJ database of another program, in the variables of the environment."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from bimors_cli.errors import InputError
from bimors_cli.scene.proj_data import check_proj_data

OWN = Path(rasterio.__file__).parent / "proj_data"


def test_own_data_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJ_DATA", "PROJ_LIB"):
        monkeypatch.delenv(name, raising=False)
    check_proj_data()
    if OWN.is_dir():  # in wheels
        monkeypatch.setenv("PROJ_LIB", str(OWN))
        check_proj_data()


@pytest.mark.skipif(not OWN.is_dir(), reason="this rasterio has its PROJ data elsewhere")
@pytest.mark.parametrize("variable", ["PROJ_DATA", "PROJ_LIB"])
def test_a_database_of_an_older_proj(tmp_path: Path, variable: str) -> None:
    """In a process of its own: PROJ reads the variable when it is loaded."""
    shutil.copy(OWN / "proj.db", tmp_path / "proj.db")
    with sqlite3.connect(tmp_path / "proj.db") as database:
        database.execute("UPDATE metadata SET value = '0' WHERE key = 'DATABASE.LAYOUT.VERSION.MINOR'")
    found = subprocess.run(
        [sys.executable, "-m", "bimors_cli", "info", "examples/scene.tif"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), variable: str(tmp_path)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2 and found.stdout == ""
    assert f"{variable}={tmp_path} has no PROJ database" in found.stderr and f"unset {variable}" in found.stderr


def test_a_folder_without_a_database(tmp_path: Path) -> None:
    program = "from bimors_cli.scene.proj_data import check_proj_data\ncheck_proj_data()"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PROJ_LIB": str(tmp_path), "PATH": "/usr/bin:/bin"}, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert InputError.__name__ in found.stderr and "has no PROJ database" in found.stderr
