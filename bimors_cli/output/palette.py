"""Colours of labels."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.labels import Labels

NO_LABEL: Final = "#d9d9d9"

# Okabe and Ito's seven (their black would hide the image) and three of Paul Tol's: the ten are 0.076 or more apart in
# OKLab in normal vision and under full protanopia and deuteranopia (Machado et al. 2009).
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
# Closer than this in OKLab, two half transparent fills cannot be distinguished.
_TOO_CLOSE: Final = 0.05

# Linear RGB as perceived in normal vision, protanopia and deuteranopia (Machado, Oliveira and Fernandes 2009,
# severity 1).
_VISIONS: Final = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)
# Fewer colours are distinct in the last two. Weighted double, their distances leave enough for normal vision.
_WEIGHTS: Final = np.array([1.0, 2.0, 2.0])


def colours(labels: Labels) -> tuple[str, ...]:
    """Return a colour ``#rrggbb`` for each label, in order.

    Colours of the labels file are kept. The first ten others are `PALETTE`; each further one is the farthest from all
    colours so far, in normal and colour-blind vision. Smallest distances in OKLab in normal vision, and under
    protanopia and deuteranopia: 0.08 and 0.066 for 20 labels, 0.08 and 0.039 for 50, 0.054 and 0.027 for 100. A
    label keeps its colour when labels are added at the end. All differ from each other and from those of the file
    for up to some 5000 labels; beyond that they repeat.
    """
    own = [label.colour for label in labels.items if label.colour is not None]
    generated = _generate(len(labels) - len(own), own)
    return tuple(label.colour if label.colour is not None else generated.pop(0) for label in labels.items)


def _generate(count: int, taken: list[str]) -> list[str]:
    avoid = _oklab([*taken, NO_LABEL])
    chosen = [colour for colour in PALETTE if np.linalg.norm(avoid - _oklab([colour]), axis=1).min() >= _TOO_CLOSE][
        :count
    ]
    if len(chosen) == count:
        return chosen
    candidates = _candidates()
    points = _perceived(candidates)
    distance = np.full(len(points), np.inf)
    for point in _perceived([*taken, NO_LABEL, *PALETTE]):
        distance = np.minimum(distance, _distances(points, point))
    while len(chosen) < count:
        # Rounded, so that the last bit of a floating-point unit does not decide between two colours.
        best = int(np.argmax(np.round(distance, 6)))
        if distance[best] < 1e-6:
            return [chosen[index % len(chosen)] for index in range(count)]
        chosen.append(candidates[best])
        distance = np.minimum(distance, _distances(points, points[best]))
    return chosen


def _distances(points: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of a colour from others in the least discriminating vision: [n, 3, 3], [3, 3] -> [n]."""
    difference = points - point
    nearest: NDArray[np.float64] = np.einsum("nei,nei->ne", difference, difference).min(axis=1)
    return np.sqrt(nearest)


def _candidates() -> list[str]:
    """List colours that are visible on an image: not too dark, too pale or grey."""
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    names = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in grid.tolist()]
    lightness, a, b = _oklab(names).T
    visible = (lightness > 0.35) & (lightness < 0.92) & (np.hypot(a, b) > 0.05)
    return [name for name, chosen in zip(names, visible, strict=True) if chosen]


def _oklab(colours: list[str] | tuple[str, ...]) -> NDArray[np.float64]:
    """Convert ``#rrggbb`` to OKLab, float64 [n, 3], where distance is perceived difference in normal vision."""
    return _to_oklab(_linear(colours))


def _perceived(colours: list[str]) -> NDArray[np.float64]:
    """Convert ``#rrggbb`` to OKLab as perceived in each of `_VISIONS`, times its weight, float64 [n, visions, 3]."""
    perceived = np.clip(np.einsum("eij,nj->nei", _VISIONS, _linear(colours)), 0, 1)
    weighted: NDArray[np.float64] = _to_oklab(perceived) * _WEIGHTS[:, np.newaxis]
    return weighted


def _linear(colours: list[str] | tuple[str, ...]) -> NDArray[np.float64]:
    srgb = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=np.float64) / 255
    linear: NDArray[np.float64] = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return linear


def _to_oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert linear sRGB [..., 3] to OKLab (Ottosson 2020)."""
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
