"""Finding the program, its command lines, its environment, and parsing its progress. Does not import QGIS."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

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
    (re.compile(r"(?:encoding|captioning|describing): ([\d,]+) of ([\d,]+) \w+"), 0, 40),
    (re.compile(r"random crops: ([\d,]+) of ([\d,]+) \w+"), 40, 60),
    (re.compile(r"epoch ([\d,]+) of ([\d,]+):"), 60, 90),
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
    where = "Settings > Options > Processing > Providers > bimors"
    chosen = chosen.strip()
    if not chosen:
        found = shutil.which(NAME)
        if found is None:
            raise ProgramError(
                "The program bimors was not found on the PATH. Install it (pip install bimors-cli) or set its path in "
                f"{where}."
            )
        return found
    path = Path(chosen).expanduser()
    for candidate in (path, path / name, path / "bin" / name, path / "Scripts" / name):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise ProgramError(f"The program bimors was not found at {chosen}. Set its path in {where}.")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the program: that of QGIS without the variables for its own Python and GDAL."""
    own = {name: value for name, value in inherited.items() if name not in _QGIS_VARIABLES}
    return {
        **own,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "BIMORS_PROGRESS_EVERY": _SECONDS_BETWEEN_LINES,
    }


def percent(line: str) -> float | None:
    """Return the progress in a line of the log, 0..100; None for other lines."""
    for pattern, begin, end in _STAGES:
        found = pattern.match(line)
        if found:
            done, total = (int(number.replace(",", "")) for number in found.groups())
            return begin + (end - begin) * done / max(total, 1)
    return None


def classify(
    scene: str,
    labels: str,
    output: str,
    *,
    tile_size: str = "",
    overlap: str = "",
    aoi: str = "",
    min_confidence: float = 0.0,
    captions: bool = True,
    adapter: str = "",
    model: str = "",
    bands: str = "",
    stretch: str = "",
    device: str = "",
    resume: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors classify`; options with empty values are omitted."""
    options = _options(
        tile_size=tile_size,
        overlap=overlap,
        aoi=aoi,
        min_confidence=str(min_confidence) if min_confidence else "",
        adapter=adapter,
        model=model,
        bidx=bands,
        stretch=stretch,
        device=device,
    )
    if not captions:
        options.append("--no-captions")
    # Processing overwrites existing outputs. Without --overwrite, the program refuses to discard an unfinished run.
    if resume:
        options.append("--resume")
    elif Path(output).exists():
        options.append("--overwrite")
    return ["classify", scene, "--labels", labels, "--output", output, *options, *shlex.split(extra)]


def finetune(
    scene: str,
    polygons: str,
    field: str,
    output: str,
    *,
    shots: int = 16,
    epochs: int = 10,
    tile_size: str = "",
    min_overlap: float = 0.5,
    background: str = "",
    head: str = "",
    model: str = "",
    bands: str = "",
    stretch: str = "",
    device: str = "",
    overwrite: bool = False,
    resume: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors finetune`."""
    options = _options(
        shots=str(shots),
        epochs=str(epochs),
        tile_size=tile_size,
        min_overlap=str(min_overlap),
        background=background,
        head=head,
        model=model,
        bidx=bands,
        stretch=stretch,
        device=device,
    )
    if resume:
        options.append("--resume")
    elif overwrite:
        options.append("--overwrite")
    arguments = ["finetune", scene, "--polygons", polygons, "--field", field, "--output", output]
    return [*arguments, *options, *shlex.split(extra)]


def evaluate(
    layer_file: str,
    layer: str,
    reference: str,
    reference_layer: str,
    field: str,
    output: str,
    *,
    min_overlap: float = 0.5,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors evaluate` for a layer; the metrics are written to standard output as JSON."""
    options = _options(layer=layer, reference_layer=reference_layer, min_overlap=str(min_overlap))
    arguments = ["evaluate", layer_file, "--reference", reference, "--field", field, "--output", output]
    return [*arguments, "--json", "--overwrite", *options, *shlex.split(extra)]


def file_and_layer(path: str, layer: str) -> str:
    """Return a layer of a file in the syntax of the program, FILE:LAYER."""
    return f"{path}:{layer}" if layer else path


def _options(**values: str) -> list[str]:
    """Return --name=value for values that are not empty; as one argument, so that a value may start with a dash."""
    return [f"--{name.replace('_', '-')}={value.strip()}" for name, value in values.items() if value.strip()]
