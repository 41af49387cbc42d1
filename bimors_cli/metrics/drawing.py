"""Colours that are safe for colour-blind readers, and PNG files that are the same for the same figure."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours; lines and bars use them in this order.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#999999"
COLOURS: Final = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#000000", GREY)


def write_png(path: Path, figure: Figure) -> None:
    """Write a PNG of at most 64 colours, a third of the usual size, without a date or the name of a program."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", backend="agg")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
