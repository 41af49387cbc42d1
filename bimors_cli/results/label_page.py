"""The HTML page to label tiles in a browser: one file, whose answers stay in the browser until they are saved."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from bimors_cli.results.html_page import QUALITY, base64_text, jpeg_bytes, write_page
from bimors_cli.results.tile_images import TileImage
from bimors_cli.run_warnings import warn

# All images together, as base64: browsers open such a page from disk within seconds.
PAGE_BYTES: Final = 32_000_000
# Bounds of one JPEG. With fewer bytes a tile cannot be interpreted, so a page of more tiles than fit is larger.
LEAST_BYTES: Final = 20_000
MOST_BYTES: Final = 80_000
_BYTES_PER_PIXEL: Final = 0.25
_LOWER_QUALITIES: Final = (65, 50, 35)
# Concatenated to one script in this order; the first one sets strict mode.
_SCRIPTS: Final = ("answers_csv.js", "answers.js", "label.js")
# Keys of the answers, in the order of the labels; 0 is the one for an unclear class. Further labels have no key.
_KEYS: Final = (*"123456789", *string.ascii_lowercase)


@dataclass(frozen=True)
class LabelTile:
    """A tile to label: what the page shows of it, and nothing else.

    Attributes
    ----------
    tile_id, scene : str
        Its id, and the name of its scene.
    row, col : int
        Its place in the grid of the scene, from 0.
    longitude, latitude : float
        Its centre in degrees, WGS 84.
    reference : str
        The answer that it has: a label, ``unclear``, or empty.
    note : str
        Its note, or empty.
    """

    tile_id: str
    scene: str
    row: int
    col: int
    longitude: float
    latitude: float
    reference: str
    note: str


@dataclass(frozen=True)
class LabelPage:
    """A page to label tiles.

    Attributes
    ----------
    title : str
        Name of the file with the tiles.
    identity : str
        What no other set of tiles has: the browser keeps the answers under it.
    labels : tuple of str
        The answers to choose from.
    unclear : str
        The answer for a tile of unclear class.
    tiles : tuple of LabelTile
        In the order in which they are shown.
    """

    title: str
    identity: str
    labels: tuple[str, ...]
    unclear: str
    tiles: tuple[LabelTile, ...]


def bytes_per_tile(count: int) -> int:
    """Return the largest size of a JPEG in a page of so many tiles, in bytes."""
    return min(MOST_BYTES, max(LEAST_BYTES, PAGE_BYTES * 3 // 4 // max(1, count)))


def side_of_images(count: int) -> int:
    """Return the side in pixels that an aerial image may have in a page of so many tiles."""
    return int((bytes_per_tile(count) / _BYTES_PER_PIXEL) ** 0.5)


def write_label_page(path: Path, page: LabelPage, images: Iterable[tuple[int, TileImage]], *, overwrite: bool) -> None:
    """Write the page; the file is complete or not written at all.

    Parameters
    ----------
    path : Path
        The page.
    page : LabelPage
        Everything but the images.
    images : iterable of (int, TileImage)
        The number of a tile and its image, in any order; one image is in memory at a time.
    overwrite : bool
        Replace an existing page.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `write_page`. Errors of ``images`` pass unchanged.
    """
    count = len(page.tiles)
    if count * LEAST_BYTES * 4 / 3 > PAGE_BYTES:
        warn(
            "a page of %s tiles may have %.0f MB, which a browser opens slowly: draw fewer tiles, %s at most",
            f"{count:,}", count * LEAST_BYTES * 4 / 3e6, f"{PAGE_BYTES * 3 // 4 // LEAST_BYTES:,}",
        )  # fmt: skip
    keys = [_KEYS[index] if index < len(_KEYS) else "" for index in range(len(page.labels))]
    write_page(
        path,
        "label.html.j2",
        {
            "page": page,
            "answers": [*zip(page.labels, keys, strict=True), (page.unclear, "0")],
            "data": _data(page),
            "images": _encoded(images, bytes_per_tile(count)),
        },
        scripts=_SCRIPTS,
        styles=("colours.css", "base.css", "label.css"),
        overwrite=overwrite,
    )


def _encoded(images: Iterable[tuple[int, TileImage]], most: int) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each tile, its box as text, and its image as base64."""
    for number, one in images:
        yield number, " ".join(f"{value:.5f}" for value in one.box), base64_text(_small_jpeg(one.image, most))


def _small_jpeg(image: npt.NDArray[np.uint8], most: int) -> bytes:
    """Encode an image as JPEG of so many bytes at most: with a lower quality first, then with fewer pixels."""
    shown = Image.fromarray(image)
    encoded = jpeg_bytes(shown, QUALITY)
    for quality in _LOWER_QUALITIES:
        if len(encoded) <= most:
            return encoded
        encoded = jpeg_bytes(shown, quality)
    while len(encoded) > most and max(shown.size) > 1:
        shown = shown.resize((max(1, shown.width * 3 // 4), max(1, shown.height * 3 // 4)), Image.Resampling.BOX)
        encoded = jpeg_bytes(shown, _LOWER_QUALITIES[-1])
    return encoded


def _data(page: LabelPage) -> dict[str, Any]:
    return {
        "identity": page.identity,
        "answers": [*page.labels, page.unclear],
        "tiles": [
            [
                one.tile_id, one.scene, one.row, one.col, f"{one.longitude:.7f}", f"{one.latitude:.7f}", one.reference,
                one.note,
            ]
            for one in page.tiles
        ],
    }  # fmt: skip
