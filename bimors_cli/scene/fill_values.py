"""Values of pixels that are likely not measured and not declared as nodata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Beyond it there is no measurement, only fill values.
LARGEST_VALUE: Final = 1e30
# Fill values by convention that are hardly ever measured.
_NEVER_MEASURED: Final = (-999.0, -9999.0, -99999.0, -32768.0, -32767.0, 1e20, -1e20)
# Fill values that may be measured too; the limits of an integer dtype are others.
_MAY_BE_MEASURED: Final = (0.0, 255.0, 65535.0)
# Smallest fraction of pixels that is reported, and for values that may be measured also the smallest fraction of the
# edge of the scene: collars and gaps reach it, dark water and clouds rarely fill it.
_LEAST_SHARE: Final = 0.01
_LEAST_EDGE: Final = 0.1
_FAR: Final = 1e6


@dataclass(frozen=True, slots=True)
class Fill:
    """A value that many pixels have.

    Attributes
    ----------
    value : int or float
        The value.
    share : float
        Fraction of the valid pixels that have it.
    channel : int or None
        The only channel that has it, from 0; None if all have it.
    """

    value: int | float
    share: float
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.value) if isinstance(self.value, int) else f"{self.value:.9g}"


def find_fill(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    declared: Sequence[float | None] = (),
    *,
    anywhere: bool = False,
) -> Iterator[Fill]:
    """Find values that all channels of many valid pixels have, and that are likely not measured; else one channel.

    Parameters
    ----------
    values : array [C, h, w]
        A small image of the scene, of any real dtype; its edges are those of the scene.
    valid : bool array [h, w]
        The valid pixels.
    declared : sequence of float or None
        Nodata value of each channel, which a pixel with data in other channels may have.
    anywhere : bool
        Whether values that may be measured need not be at the edge.
    """
    if not valid.any():
        return
    pixels = values[:, valid]
    same = valid & (values == values[:1]).all(axis=0)
    lowest, highest = pixels.min(), pixels.max()
    if lowest == highest:
        return
    edge = np.zeros_like(valid)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    edge &= valid
    own = _unlike_others(pixels, lowest, highest) if values.dtype.kind == "f" else ()
    limits = () if values.dtype.kind == "f" else (int(np.iinfo(values.dtype).min), int(np.iinfo(values.dtype).max))
    found = False
    for value in dict.fromkeys((*_MAY_BE_MEASURED, *_NEVER_MEASURED, *own, *limits)):
        if value not in (lowest, highest):
            continue
        filled = same & (values[0] == (lowest if value == lowest else highest))
        share = float(filled.sum() / valid.sum())
        sure = anywhere or (value not in _MAY_BE_MEASURED and value not in limits)
        if share >= _LEAST_SHARE and (sure or filled[edge].sum() >= _LEAST_EDGE * max(1, edge.sum())):
            found = True
            yield Fill(value, share)
    if not found and len(values) > 1:
        yield from _of_one_channel(pixels, declared or (None,) * len(values))


def _unlike_others(pixels: npt.NDArray[Any], *extremes: float) -> tuple[float, ...]:
    """Return the extreme values that are beyond all others by `_FAR`, such as 1e25 among reflectances."""
    others = np.abs(pixels[(pixels != extremes[0]) & (pixels != extremes[1])])
    usual = float(others.max()) if others.size else 0.0
    return tuple(float(value) for value in extremes if abs(value) > _FAR * max(usual, 1.0))


def _of_one_channel(pixels: npt.NDArray[Any], declared: Sequence[float | None]) -> Iterator[Fill]:
    """Find a value that is never measured in one channel; others may hold data there."""
    for channel, (own, nodata) in enumerate(zip(pixels, declared, strict=True)):
        lowest, highest = own.min(), own.max()
        for value in _NEVER_MEASURED:
            if value != nodata and lowest != highest and value in (lowest, highest):
                share = float(np.mean(own == (lowest if value == lowest else highest)))
                if share >= _LEAST_SHARE:
                    yield Fill(value, share, channel)
                    return
