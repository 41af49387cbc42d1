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

# What an eye sees of linear RGB: the usual one, and those without the cones for red and for green (Machado, Oliveira
# and Fernandes 2009, severity 1).
_EYES: Final = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)
# The last two see fewer colours. Counted double, their distances do not push the others' too close together.
_WEIGHTS: Final = np.array([1.0, 2.0, 2.0])


def colours(labels: Labels) -> tuple[str, ...]:
    """Give each label a colour ``#rrggbb``, in order.

    The user's own colours are kept as they are. The first ten others are `PALETTE`; the rest get what lies farthest
    from all colours so far, to the usual eye and to the colour-blind. Least distances in OKLab to the usual eye, and
    under protanopia and deuteranopia: 0.08 and 0.066 for 20 labels, 0.08 and 0.039 for 50, 0.054 and 0.027 for 100. A
    label keeps its colour when labels are added at the end. All differ from each other and from the user's for up to
    some 5000 labels; beyond that they come again.
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
    points = _seen(candidates)
    distance = np.full(len(points), np.inf)
    for point in _seen([*taken, NO_LABEL, *PALETTE]):
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
    """Return how far a colour is from others to the eye that tells them apart worst: [n, eyes, 3], [eyes, 3] -> [n]."""
    apart = points - point
    nearest: NDArray[np.float64] = np.einsum("nei,nei->ne", apart, apart).min(axis=1)
    return np.sqrt(nearest)


def _candidates() -> list[str]:
    """List colours that are neither too dark nor too pale to be seen on an image, nor grey."""
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    names = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in grid.tolist()]
    lightness, a, b = _oklab(names).T
    keep = (lightness > 0.35) & (lightness < 0.92) & (np.hypot(a, b) > 0.05)
    return [name for name, kept in zip(names, keep, strict=True) if kept]


def _oklab(colours: list[str] | tuple[str, ...]) -> NDArray[np.float64]:
    """Convert ``#rrggbb`` to OKLab, float64 [n, 3], where distance is what the usual eye sees."""
    return _to_oklab(_linear(colours))


def _seen(colours: list[str]) -> NDArray[np.float64]:
    """Convert ``#rrggbb`` to what each of `_EYES` sees of it in OKLab, times its weight, float64 [n, eyes, 3]."""
    seen = np.clip(np.einsum("eij,nj->nei", _EYES, _linear(colours)), 0, 1)
    weighted: NDArray[np.float64] = _to_oklab(seen) * _WEIGHTS[:, np.newaxis]
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
