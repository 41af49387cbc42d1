"""Statistics of tiles that are evenly spread over a scene."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.pipeline.inference.tile_reader import read_ahead
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.scene.read import TilePixels

_AHEAD: Final = 64


def sample_numbers(scene: ScenePlan, count: int, min_valid: float = 0.0) -> dict[str, npt.NDArray[np.float32]]:
    """Read the statistics that the plan of a scene asks for, of about ``count`` tiles, with or without a label.

    All of the scene is sampled, whatever the area of interest. Tiles that cannot be read, or that have a smaller
    fraction of valid pixels than ``min_valid`` or none, are skipped.

    Returns
    -------
    dict of str to array
        float32 [n, d] by view; empty if no tile can be used.
    """
    some = np.unique(np.linspace(0, len(scene.grid) - 1, min(count, len(scene.grid))).astype(int))
    rows = [
        read.views.numbers
        for read in read_ahead(scene, ((int(i), scene.grid[int(i)]) for i in some), 1, _AHEAD)
        if isinstance(read.pixels, TilePixels) and read.views is not None and read.pixels.valid_fraction >= min_valid
    ]
    return {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else ())}
