"""The command lines of bimors, where it is, what it runs in, and what its lines of progress say. Nothing of QGIS."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

NAME = "bimors"
PROGRAM_SETTING = "BIMORS_PROGRAM"

# QGIS sets these for itself, in its start scripts and installers. Our Python would load its modules, and our GDAL its
# tables, of other versions.
_OF_QGIS = (
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

# What a line of progress looks like, and which part of the whole the stage is, in per cent.
_STAGES = (
    (re.compile(r"([\d,]+) of ([\d,]+) tiles \("), 0, 100),
    (re.compile(r"(?:encoding|captioning|describing): ([\d,]+) of ([\d,]+) \w+"), 0, 40),
    (re.compile(r"random crops: ([\d,]+) of ([\d,]+) \w+"), 40, 60),
    (re.compile(r"epoch ([\d,]+) of ([\d,]+):"), 60, 90),
    (re.compile(r"test \w+: ([\d,]+) of ([\d,]+) \w+"), 90, 100),
)


class ProgramError(Exception):
    """The program is not there; the text says what to do."""


def find_program(chosen: str) -> str:
    """Return the path of the program: the file that was chosen, one in the folder that was chosen, or that on the PATH.

    Raises
    ------
    ProgramError
        There is none.
    """
    name = "bimors.exe" if os.name == "nt" else NAME
    where = "Settings > Options > Processing > Providers > bimors"
    chosen = chosen.strip()
    if not chosen:
        found = shutil.which(NAME)
        if found is None:
            raise ProgramError(
                f"The program bimors is not on the PATH. Install it (pip install bimors-cli) and choose it in {where}."
            )
        return found
    path = Path(chosen).expanduser()
    for place in (path, path / name, path / "bin" / name, path / "Scripts" / name):
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    raise ProgramError(f"There is no program bimors at {chosen}. Choose it in {where}.")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the program: that of QGIS without what QGIS set for its own Python and GDAL."""
    kept = {name: value for name, value in inherited.items() if name not in _OF_QGIS}
    return {
        **kept,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "BIMORS_PROGRESS_EVERY": _SECONDS_BETWEEN_LINES,
    }


def percent(line: str) -> float | None:
    """Return how much of the whole is done, 0..100, if a line of the log says so."""
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
    """Return the arguments of `bimors classify`. Empty texts leave an option to the program."""
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
    # Processing replaces outputs. But an unfinished run is never thrown away unasked: the program refuses that.
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
    """Return the arguments of `bimors evaluate` for a layer; figures go to standard output as JSON."""
    options = _options(layer=layer, reference_layer=reference_layer, min_overlap=str(min_overlap))
    arguments = ["evaluate", layer_file, "--reference", reference, "--field", field, "--output", output]
    return [*arguments, "--json", "--overwrite", *options, *shlex.split(extra)]


def file_and_layer(path: str, layer: str) -> str:
    """Write a layer of a file as the program reads it: FILE:LAYER."""
    return f"{path}:{layer}" if layer else path


def _options(**values: str) -> list[str]:
    """Return --name=value for what is not empty; in one word, so that a value may begin with a dash."""
    return [f"--{name.replace('_', '-')}={value.strip()}" for name, value in values.items() if value.strip()]
