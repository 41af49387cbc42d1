"""Recreate the images of the tutorial and of the page on areas by running their commands: make pictures.

Needs ogr2ogr, Chromium (to render the report) and QGIS (to render the layer in its second style).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
AREAS = ROOT / "docs" / "areas.md"
IMAGES = ROOT / "docs" / "images"
START = ("scene.tif", "labels.txt", "train.gpkg")  # files that the reader copies from examples/
REFERENCE = "reference.csv"  # which docs/areas.md needs too
WIDTH = 900  # with 256 colours an image stays below 300 kB

# A row of the table of corrections: | bare land | 0/20, 1/20 |
_ROW = re.compile(r"^\| ([a-z ]+) \| ((?:\d+/\d+(?:, )?)+) \|$", re.M)


def steps(text: str) -> Iterator[str | None]:
    """Yield the commands of a page in order, and None where the reader corrects the layer in QGIS."""
    for found in re.finditer(r"^```sh\n(.*?)^```|^<!-- corrections -->$", text, re.M | re.S):
        yield from [None] if found[1] is None else found[1].splitlines()


def corrections(text: str) -> dict[str, str]:
    """Return the tutorial's table of corrections: row/col of a tile to its label."""
    return {tile: label for label, tiles in _ROW.findall(text) for tile in tiles.split(", ")}


def correct(layer: Path, labels: dict[str, str]) -> None:
    """Edit the layer as the reader does in QGIS: set labels, add the column ``checked`` and tick it."""
    with closing(sqlite3.connect(layer)) as database, database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # for spatial index triggers
            database.create_function(name, 1, lambda _geometry: 0)
        database.execute("ALTER TABLE tiles ADD COLUMN checked BOOLEAN")
        for tile, label in labels.items():
            changed = database.execute(
                "UPDATE tiles SET label = ?, checked = 1 WHERE row || '/' || col = ?", (label, tile)
            )
            assert changed.rowcount == 1, tile


def follow(folder: Path, run: Callable[[list[str]], None], after: Callable[[str], None] = lambda _: None) -> None:
    """Run the tutorial in a folder that contains its input files; ``after`` is called with each finished command.

    ``run`` runs a command, given as its arguments, in that folder.
    """
    text = TUTORIAL.read_text(encoding="utf-8")
    for step in steps(text):
        if step is None:
            correct(folder / "out.gpkg", corrections(text))
        else:
            run(shlex.split(step))
            after(step)


def main() -> None:
    """Run the pages in temporary folders and save their images."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = _start(Path(name) / "tutorial")

        def after(command: str) -> None:
            if command.startswith("bimors preview out.gpkg"):  # before it is corrected
                _render_in_qgis(folder / "out.gpkg", folder / "scene.tif", folder / "confidence.png")

        follow(folder, partial(run_in, folder), after)
        _render_in_browser(folder / "report.html", folder / "report.png")
        for image in ("out.png", "confidence.png", "better.png", "report.png"):
            save(folder / image, IMAGES / image)

        folder = _start(Path(name) / "areas")
        for command in filter(None, steps(AREAS.read_text(encoding="utf-8"))):
            run_in(folder, shlex.split(command))
        save(folder / "areas" / "areas.png", IMAGES / "areas.png")


def _start(folder: Path) -> Path:
    """Make a folder with the files that the reader copies."""
    folder.mkdir()
    for name in (*START, REFERENCE):
        shutil.copy(ROOT / "examples" / name, folder)
    return folder


def run_in(folder: Path, words: list[str]) -> None:
    """Run a command, given as its words, in a folder."""
    print("$", shlex.join(words), flush=True)
    program = [sys.executable, "-m", "bimors_cli"] if words[0] == "bimors" else [words[0]]
    subprocess.run([*program, *words[1:]], cwd=folder, check=True)


def _render_in_qgis(layer: Path, scene: Path, image: Path) -> None:
    arguments: dict[str, str | int] = {"layer": str(layer), "name": "tiles", "scene": str(scene), "style": "confidence"}
    arguments |= {"png": str(image), "width": WIDTH}
    subprocess.run(
        ["/usr/bin/python3", ROOT / "tests" / "qgis" / "look.py", json.dumps(arguments)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "GDAL_PAM_ENABLED": "NO"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _render_in_browser(page: Path, image: Path) -> None:
    subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,820",
         "--virtual-time-budget=5000", f"--screenshot={image}", page.as_uri()],
        stderr=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip


def save(source: Path, target: Path) -> None:
    """Save an image as the documents show it: at most `WIDTH` pixels wide, with 256 colours."""
    image = Image.open(source).convert("RGB")
    image.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
