"""Finding the program, its environment, and parsing its progress. Does not import QGIS."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from .translate import tr

NAME = "bimors"
PROGRAM_SETTING = "BIMORS_PROGRAM"

# Variables that QGIS sets for itself. With them, the Python and GDAL of bimors would load modules and data files of
# other versions.
_QGIS_VARIABLES = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "PROJ_LIB",
    "PROJ_DATA",
    "QT_PLUGIN_PATH",
    "FORCE_COLOR",
)
_SECONDS_BETWEEN_LINES = "1"

# Progress lines of the program, and the percent of the whole run at which their stage starts and ends.
_STAGES = (
    (re.compile(r"([\d,]+) of ([\d,]+) tiles \("), 0, 100),
    (re.compile(r"(?:encoding|captioning|describing|examples): ([\d,]+) of ([\d,]+) \w+"), 0, 40),
    (re.compile(r"(?:random crops|captions): ([\d,]+) of ([\d,]+) \w+"), 40, 60),
    (re.compile(r"epoch ([\d,]+) of ([\d,]+):"), 60, 90),
    (re.compile(r"training of prompts: ([\d,]+) of ([\d,]+) \w+"), 60, 90),
    (re.compile(r"test \w+: ([\d,]+) of ([\d,]+) \w+"), 90, 100),
)


class ProgramError(Exception):
    """The program was not found; the message explains how to install or configure it."""


def find_program(chosen: str) -> str:
    """Return the path of the program: the configured file, the one in the configured folder, or the one on the PATH.

    Raises
    ------
    ProgramError
        The program was not found.
    """
    name = "bimors.exe" if os.name == "nt" else NAME
    where = tr("Settings > Options > Processing > Providers > bimors")
    chosen = chosen.strip()
    if not chosen:
        found = shutil.which(NAME)
        if found is None:
            raise ProgramError(
                tr(
                    "The program bimors was not found on the PATH. Install it (pip install bimors-cli) or set its path "
                    "in {where}."
                ).format(where=where)
            )
        return found
    path = Path(chosen).expanduser()
    for candidate in (path, path / name, path / "bin" / name, path / "Scripts" / name):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise ProgramError(
        tr("The program bimors was not found at {chosen}. Set its path in {where}.").format(chosen=chosen, where=where)
    )


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the program: that of QGIS without the variables for its own Python and GDAL."""
    own = {name: value for name, value in inherited.items() if name not in _QGIS_VARIABLES}
    return {
        **own,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "BIMORS_PROGRESS_EVERY": _SECONDS_BETWEEN_LINES,
        # An unknown option is reported in one line, not in a box.
        "TYPER_USE_RICH": "0",
    }


def percent(line: str) -> float | None:
    """Return the progress in a line of the log, 0..100; None for other lines."""
    for pattern, begin, end in _STAGES:
        found = pattern.match(line)
        if found:
            done, total = (int(number.replace(",", "")) for number in found.groups())
            return begin + (end - begin) * done / max(total, 1)
    return None
