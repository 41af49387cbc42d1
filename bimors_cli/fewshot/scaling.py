"""Scaling of band statistics to comparable ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Standard deviations between the 5th and the 95th percentile of a normal distribution.
_DEVIATIONS: Final = 3.29


@dataclass(frozen=True)
class Scaling:
    """Maps each number x of a view to sign(z) log(1 + abs(z)), where z = (x - centre) / scale.

    Reflectances have long tails (clouds, roofs, water): the logarithm keeps them apart without letting them decide all
    distances. Measured on Rondonia (240 m tiles, 3 to 16 examples): kernel ridge 98.7 % correct, without the logarithm
    96.5 %; on zion both 83 %.

    Attributes
    ----------
    centre, scale : float64 array [d]
        Median, and width of the middle 90 % in standard deviations of a normal distribution.
    """

    centre: Array
    scale: Array

    @classmethod
    def of(cls, values: Array) -> Scaling:
        """Fit the scaling to the rows of values [n, d]; numbers that are NaN are left out."""
        known = np.isfinite(values).any(axis=0)
        low, centre, high = np.zeros((3, values.shape[1]))
        low[known], centre[known], high[known] = np.nanpercentile(
            np.where(np.isfinite(values), values, np.nan)[:, known], (5, 50, 95), axis=0
        )
        scale = (high - low) / _DEVIATIONS
        # A number that is constant says nothing: with scale 1 its differences to the centre are 0.
        return cls(centre, np.where(scale > 1e-12 * np.maximum(1.0, np.abs(centre)), scale, 1.0))

    def __call__(self, values: npt.NDArray[np.floating]) -> Array:
        """Scale values [n, d] to float64; a number that is not finite becomes 0, the median."""
        z = (values.astype(np.float64) - self.centre) / self.scale
        scaled: Array = np.sign(z) * np.log1p(np.abs(z))
        return np.where(np.isfinite(scaled), scaled, 0.0)
