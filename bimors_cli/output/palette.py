"""A colour for each label."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.labels import Labels

NO_LABEL: Final = "#d9d9d9"

# Okabe and Ito's seven (their black would hide the image) and three of Paul Tol's: the ten stay 0.076 or more apart in
# OKLab for the usual eye and under full protanopia and deuteranopia (Machado et al. 2009).
PALETTE: Final = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#332288",
    "#882255",
    "#88ccee",
)
# Nearer than this in OKLab, two half transparent fills look alike.
_TOO_NEAR: Final = 0.05


def colours(labels: Labels) -> tuple[str, ...]:
    """Give each label a colour ``#rrggbb``, in order.

    The user's own colours are kept as they are. The first ten others are those that the colour-blind tell apart; the
    rest get what lies farthest from all colours so far. A label keeps its colour when labels are added at the end. All
    differ from each other and from the user's for up to some 5000 labels; beyond that they come again.
    """
    own = [label.colour for label in labels.items if label.colour is not None]
    fresh = _fresh(len(labels) - len(own), own)
    return tuple(label.colour if label.colour is not None else fresh.pop(0) for label in labels.items)


def _fresh(count: int, taken: list[str]) -> list[str]:
    avoid = _oklab([*taken, NO_LABEL])
    chosen = [colour for colour in PALETTE if np.linalg.norm(avoid - _oklab([colour]), axis=1).min() >= _TOO_NEAR][
        :count
    ]
    if len(chosen) == count:
        return chosen
    candidates = _candidates()
    points = _oklab(candidates)
    distance = np.full(len(points), np.inf)
    for point in (*avoid, *_oklab(PALETTE)):
        distance = np.minimum(distance, np.linalg.norm(points - point, axis=1))
    while len(chosen) < count:
        # Rounded, so that the last bit of a floating-point unit does not decide between two colours.
        best = int(np.argmax(np.round(distance, 6)))
        if distance[best] < 1e-6:
            return [chosen[index % len(chosen)] for index in range(count)]
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
    return chosen


def _candidates() -> list[str]:
    """List colours that are neither too dark nor too pale to be seen on an image, nor grey."""
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    names = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in grid.tolist()]
    lightness, a, b = _oklab(names).T
    keep = (lightness > 0.35) & (lightness < 0.92) & (np.hypot(a, b) > 0.05)
    return [name for name, kept in zip(names, keep, strict=True) if kept]


def _oklab(colours: list[str] | tuple[str, ...]) -> NDArray[np.float64]:
    """Convert ``#rrggbb`` to OKLab, float64 [n, 3], where distance is what the eye sees (Ottosson 2020)."""
    srgb = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    result: NDArray[np.float64] = np.cbrt(linear @ cones.T) @ opponents.T
    return result
