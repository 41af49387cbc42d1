"""Recreate the images of the gallery and of the page on two dates by running their commands: make pictures."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from docs.make_images import IMAGES, ROOT, run_in, save, steps

GALLERY: Final = ROOT / "docs" / "gallery.md"
TWO_DATES: Final = ROOT / "docs" / "howto" / "two-dates.md"
# Image of the documents: the page whose commands make it, and the file that they write.
MADE: Final = {
    "zion.png": (GALLERY, "zion.png"),
    "two-dates.png": (TWO_DATES, "change.png"),
}


def start(folder: Path) -> None:
    """Copy the files that a reader of either page copies."""
    for name in ("scene.tif", "labels.txt", "train.gpkg"):
        shutil.copy(ROOT / "examples" / name, folder)
    for path in (ROOT / "examples" / "gallery").iterdir():
        shutil.copy(path, folder)


def follow_page(page: Path, run: Callable[[list[str]], None]) -> None:
    """Run the commands of a page in order; ``run`` gets the words of each."""
    for command in filter(None, steps(page.read_text(encoding="utf-8"))):
        run(shlex.split(command))


def main() -> None:
    """Run the pages in temporary folders and save their images."""
    for page in (GALLERY, TWO_DATES):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            start(folder)
            follow_page(page, partial(run_in, folder))
            for image, (made_by, source) in MADE.items():
                if made_by == page:
                    save(folder / source, IMAGES / image)


if __name__ == "__main__":
    main()
