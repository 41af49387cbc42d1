"""Whether the bands of a scene are those that an adapter learned from, or of another season, year or calibration."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.scaling import Scaling
from bimors_cli.pipeline.adapter_ensemble import read_adapter_ensemble
from bimors_cli.pipeline.plan import Plan, ScenePlan
from bimors_cli.pipeline.sample_numbers import sample_numbers
from bimors_cli.scene.statistics import OF_BAND

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
    BundleError
        The weights of the adapter are damaged.
    """
    adapter = plan.adapter
    if adapter is None or adapter.views is None or not adapter.views.bands:
        return ()
    scaling = _scaling(read_adapter_ensemble(adapter)[0])
    if scaling is None:
        return ()
    # The mean of each band is the first of its numbers.
    means = slice(0, len(OF_BAND) * len(adapter.views.bands), len(OF_BAND))
    found = []
    for scene in plan.scenes:
        shift = _shift(scene, means, scaling)
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


def _scaling(ensemble: Ensemble) -> Scaling | None:
    """Return the scaling of band statistics, which is that of the scenes of the training; None without such a view."""
    return next((view.scaling for view in ensemble.views.values() if view.scaling is not None), None)


def _shift(scene: ScenePlan, means: slice, scaling: Scaling) -> npt.NDArray[np.float64]:
    """Return by how many standard deviations the median of each band has moved; NaN where nothing was read."""
    centre, scale = scaling.centre[means], scaling.scale[means]
    tile = scene.grid.tile_width * scene.grid.tile_height
    numbers = next(iter(sample_numbers(scene, int(max(16, min(_TILES, _PIXELS // tile)))).values()), None)
    if numbers is None:
        return np.full(len(centre), np.nan)
    found = numbers[:, means].astype(np.float64)
    known = np.isfinite(found).any(axis=0)
    median = np.full(len(centre), np.nan)
    median[known] = np.nanmedian(found[:, known], axis=0)
    return np.asarray((median - centre) / scale, np.float64)
