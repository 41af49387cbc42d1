"""Length and text of a scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ScaleBar:
    """A round length: 1, 2 or 5 times a power of ten.

    Attributes
    ----------
    pixels : float
        Length in pixels.
    text : str
        Length on the ground, such as ``500 m`` or ``2 km``.
    """

    pixels: float
    text: str


def scale_bar(metres_per_pixel: float, longest: float) -> ScaleBar:
    """Return the longest scale bar of at most ``longest`` pixels."""
    limit = metres_per_pixel * longest
    power = 10.0 ** math.floor(math.log10(limit))
    metres = max(step * power for step in (1, 2, 5) if step * power <= limit * (1 + 1e-9))
    for unit, factor in (("km", 1000.0), ("m", 1.0), ("cm", 0.01)):
        if metres >= factor * (1 - 1e-9) or unit == "cm":
            return ScaleBar(metres / metres_per_pixel, f"{round(metres / factor, 9):,.12g} {unit}")
    raise AssertionError("unreachable: the last unit is the centimetre")
