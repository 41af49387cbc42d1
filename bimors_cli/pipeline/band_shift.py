"""Whether the bands of a scene have moved since an adapter learned from them: another season, year or calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.pipeline.inference.tile_reader import read_ahead
from bimors_cli.pipeline.plan import Plan, ScenePlan
from bimors_cli.scene.read import TilePixels
from bimors_cli.scene.statistics import OF_BAND
from bimors_cli.scene.tile_views import BANDS, BANDS_AROUND

# The median of a band's tile means may differ by so many standard deviations. Measured with tiles of 16 to 64 pixels:
# naip_2014 against naip_2018, one place, 1.2; halves of one scene against all of it up to 0.7 (naip_2014), 0.8 (zion)
# and 1.6 (Rondonia, forest on one side).
MOST: Final = 1.0
# Tiles of a scene, evenly spread, that are read; and most pixels of them.
_TILES: Final = 128
_PIXELS: Final = 16_000_000


def band_shift_warnings(plan: Plan) -> tuple[str, ...]:
    """Return a line for each scene whose bands differ from those of the training of the adapter; reads some tiles.

    Raises
    ------
    SceneError
        A scene cannot be opened any more.
    """
    adapter = plan.adapter
    if adapter is None or adapter.views is None or not adapter.views.bands:
        return ()
    known = _trained(adapter)
    if known is None:
        return ()
    found = []
    for scene in plan.scenes:
        shift = _shift(scene, *known)
        moved = [
            f"{band} by {value:+.1f}"
            for band, value in zip(adapter.views.bands, shift, strict=True)
            if np.isfinite(value) and abs(value) > MOST
        ]
        if moved:
            found.append(
                f"{scene.info.name}: its bands differ from those of the scenes that the adapter {adapter.name} learned "
                f"from ({', '.join(moved)} standard deviations): expect wrong labels; finetune on examples of it"
            )
    return tuple(found)


def _trained(adapter: Adapter) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return median and deviation of the mean of each band in the scenes of the training."""
    try:
        arrays: Mapping[str, npt.NDArray[np.float64]] = load_file(adapter.weights)
    except SafetensorError:
        return None  # told when the adapter is loaded
    for view in (BANDS, BANDS_AROUND):
        if f"{view}.scaling.centre" in arrays:
            means = slice(0, len(OF_BAND) * len(adapter.views.bands if adapter.views else ()), len(OF_BAND))
            return arrays[f"{view}.scaling.centre"][means], arrays[f"{view}.scaling.scale"][means]
    return None


def _shift(
    scene: ScenePlan, centre: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return by how many standard deviations the median of each band has moved; NaN where nothing was read."""
    tile = scene.grid.tile_width * scene.grid.tile_height
    count = int(max(16, min(_TILES, _PIXELS // tile)))
    # All of the scene, as in the training: an area of interest is another landscape.
    some = np.unique(np.linspace(0, len(scene.grid) - 1, min(count, len(scene.grid))).astype(int))
    means = []
    for read in read_ahead(scene, ((int(i), scene.grid[int(i)]) for i in some), 1, 64):
        if isinstance(read.pixels, TilePixels) and read.views is not None and read.pixels.valid_fraction > 0:
            numbers = next(iter(read.views.numbers.values()), None)
            if numbers is not None:
                means.append(numbers[: len(OF_BAND) * len(centre) : len(OF_BAND)].astype(np.float64))
    if not means:
        return np.full(len(centre), np.nan)
    stacked = np.stack(means)
    known = np.isfinite(stacked).any(axis=0)
    median = np.full(len(centre), np.nan)
    median[known] = np.nanmedian(stacked[:, known], axis=0)
    return np.asarray((median - centre) / scale, np.float64)
