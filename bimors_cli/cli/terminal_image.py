"""A small image in a terminal with colours: half blocks, two pixels a character."""

from __future__ import annotations

from typing import Final, TextIO

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from bimors_cli.cli.info_page import PLAIN_WIDTH, WIDEST
from bimors_cli.scene.describe import SceneDescription

# Most pixels a side of the image: columns, and twice the lines.
_COLUMNS: Final = 60
_LINES: Final = 20
_UPPER: Final = "\N{UPPER HALF BLOCK}"
_LOWER: Final = "\N{LOWER HALF BLOCK}"


def page_console(stream: TextIO) -> Console:
    """Return a console for a page: 80 columns wide where the stream is not a terminal."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDEST) if console.is_terminal else PLAIN_WIDTH
    return console


def shows_images(console: Console) -> bool:
    """Tell whether a console is a terminal that can show an image: with 256 colours or more, and not NO_COLOR."""
    return (
        console.is_terminal
        and not console.is_dumb_terminal
        and not console.no_color
        and console.color_system in ("256", "truecolor")
        and console.encoding.lower().startswith("utf")
    )


def draw_scene(scene: SceneDescription, console: Console) -> None:
    """Draw a small image of a scene, if the console can show one and it is read without decoding a large file."""
    if not shows_images(console):
        return
    from bimors_cli.results.scene_image import is_quick, read_image

    if not is_quick(scene):
        console.print(
            "no image is drawn: the scene is large and has no overviews; add them with gdaladdo, or use --png"
        )
        return
    columns = min(_COLUMNS, console.width - 2)
    image = read_image(scene, within(scene.info.width, scene.info.height, columns, 2 * _LINES))
    for line in half_blocks(image):
        console.print(Text("  ") + line)


def within(width: int, height: int, columns: int, rows: int) -> int:
    """Return the longer side with which an image of this size fits into so many columns and rows."""
    return max(1, int(max(width, height) * min(columns / width, rows / height)))


def half_blocks(image: npt.NDArray[np.uint8]) -> list[Text]:
    """Return the lines of an image of uint8 [h, w, 4], two rows of pixels each; pixels without data are spaces."""
    if len(image) % 2:
        image = np.concatenate((image, np.zeros_like(image[:1])))
    lines = []
    for upper, lower in zip(image[::2].tolist(), image[1::2].tolist(), strict=True):
        line = Text()
        for top, bottom in zip(upper, lower, strict=True):
            line.append(*_cell(top, bottom))
        lines.append(line)
    return lines


def _cell(top: list[int], bottom: list[int]) -> tuple[str, Style]:
    (*above, above_alpha), (*below, below_alpha) = top, bottom
    if above_alpha and below_alpha:
        return _UPPER, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
    if above_alpha:
        return _UPPER, Style(color=Color.from_rgb(*above))
    if below_alpha:
        return _LOWER, Style(color=Color.from_rgb(*below))
    return " ", Style()
