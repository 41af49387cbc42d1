"""Make the pictures of the tutorial again, by running its own commands: make pictures.

Needs, beside bimors, ogr2ogr, Chromium (the report as a browser shows it) and QGIS (the layer in its second style).
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
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
PICTURES = ROOT / "docs" / "pictures"
START = ("scene.tif", "labels.txt", "train.gpkg")  # what a reader copies from examples/
WIDTH = 900  # with 256 colours this keeps a picture below 300 kB

# A row of the table of corrections: | bare land | 0/20, 1/20 |
_ROW = re.compile(r"^\| ([a-z ]+) \| ((?:\d+/\d+(?:, )?)+) \|$", re.M)


def steps(text: str) -> Iterator[str | None]:
    """Give the commands of the tutorial in order, and None at the place where the reader corrects the layer in QGIS."""
    for found in re.finditer(r"^```sh\n(.*?)^```|^<!-- corrections -->$", text, re.M | re.S):
        yield from [None] if found[1] is None else found[1].splitlines()


def corrections(text: str) -> dict[str, str]:
    """Read the tutorial's table of corrections: row/col of a tile to its label."""
    return {place: label for label, places in _ROW.findall(text) for place in places.split(", ")}


def correct(layer: Path, labels: dict[str, str]) -> None:
    """Do what the reader does in QGIS: set labels, add the column ``checked`` and tick it."""
    with closing(sqlite3.connect(layer)) as database, database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # of the triggers of a spatial index
            database.create_function(name, 1, lambda _geometry: 0)
        database.execute("ALTER TABLE tiles ADD COLUMN checked BOOLEAN")
        for place, label in labels.items():
            changed = database.execute(
                "UPDATE tiles SET label = ?, checked = 1 WHERE row || '/' || col = ?", (label, place)
            )
            assert changed.rowcount == 1, place


def follow(folder: Path, run: Callable[[list[str]], None], after: Callable[[str], None] = lambda _: None) -> None:
    """Go through the tutorial in a folder that has what it starts with; ``after`` is called with each finished command.

    ``run`` runs a command in that folder, given as the words of its line.
    """
    text = TUTORIAL.read_text(encoding="utf-8")
    for step in steps(text):
        if step is None:
            correct(folder / "out.gpkg", corrections(text))
        else:
            run(shlex.split(step))
            after(step)


def main() -> None:
    """Follow the tutorial in a temporary folder and keep its pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for start in START:
            shutil.copy(ROOT / "examples" / start, folder)

        def run(words: list[str]) -> None:
            print("$", shlex.join(words), flush=True)
            program = [sys.executable, "-m", "bimors_cli"] if words[0] == "bimors" else [words[0]]
            subprocess.run([*program, *words[1:]], cwd=folder, check=True)

        def after(command: str) -> None:
            if command.startswith("bimors preview out.gpkg"):  # before it is corrected
                _draw_in_qgis(folder / "out.gpkg", folder / "scene.tif", folder / "confidence.png")

        follow(folder, run, after)
        _show_in_browser(folder / "report.html", folder / "report.png")
        PICTURES.mkdir(exist_ok=True)
        for picture in ("out.png", "confidence.png", "better.png", "report.png"):
            _keep(folder / picture, PICTURES / picture)


def _draw_in_qgis(layer: Path, scene: Path, picture: Path) -> None:
    told: dict[str, str | int] = {"layer": str(layer), "name": "tiles", "scene": str(scene), "style": "confidence"}
    told |= {"png": str(picture), "width": WIDTH}
    subprocess.run(
        ["/usr/bin/python3", ROOT / "tests" / "qgis" / "look.py", json.dumps(told)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "GDAL_PAM_ENABLED": "NO"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _show_in_browser(page: Path, picture: Path) -> None:
    subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,820",
         "--virtual-time-budget=5000", f"--screenshot={picture}", page.as_uri()],
        stderr=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip


def _keep(source: Path, target: Path) -> None:
    picture = Image.open(source).convert("RGB")
    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
