"""The real QGIS, without a screen and with a profile of its own. It has the system's Python, not the tests'."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("/usr/bin/python3")
# Debian's wrapper qgis_process hands on an option of qgis that qgis_process does not know.
QGIS_PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
BIMORS = Path(sys.executable).with_name("bimors")
SECONDS = 300

InQgis = Callable[..., Any]
QgisProcess = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def qgis() -> None:
    """Skip where there is no QGIS."""
    found = PYTHON.exists() and subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False)
    if not found or found.returncode != 0:
        pytest.skip(f"{PYTHON} cannot import qgis: apt-get install python3-qgis qgis-providers")
    if QGIS_PROCESS is None:
        pytest.skip("there is no qgis_process: apt-get install qgis")


@pytest.fixture(scope="module")
def profile(qgis: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a QGIS that was never started before."""
    home = tmp_path_factory.mktemp("home")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    ours = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "QGIS_CUSTOM_CONFIG_PATH": str(home / "qgis"),
        # The Python inside QGIS takes its library from the first python3 here, which may be another one than Debian's.
        "PATH": os.pathsep.join(("/usr/bin", os.environ["PATH"])),
        "BIMORS_CACHE": str(home / "captions"),
        "QT_QPA_PLATFORM": "offscreen",
        "GDAL_PAM_ENABLED": "NO",  # else QGIS writes scene.tif.aux.xml beside the example
    }
    return {**os.environ, **ours}


@pytest.fixture(scope="module")
def in_qgis(profile: dict[str, str]) -> InQgis:
    """A function that runs a program of this folder in QGIS's Python, with a JSON as its argument and answer."""

    def run(script: str, /, **arguments: Any) -> Any:
        done = subprocess.run(
            [PYTHON, Path(__file__).with_name(script), json.dumps(arguments)],
            capture_output=True,
            encoding="utf-8",
            env=profile,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def qgis_process(profile: dict[str, str]) -> QgisProcess:
    """A function that runs `qgis_process`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        assert QGIS_PROCESS is not None
        return subprocess.run(
            [QGIS_PROCESS, *arguments], capture_output=True, encoding="utf-8", env=profile, timeout=SECONDS, check=False
        )

    return run
