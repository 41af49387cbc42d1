"""Which tiles a run has records of when it is finished, and which of them are still to be made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimors_cli.pipeline.plan import LookPlan

# For each scene of a run the places of tiles in its grid, int64, ascending: 8 bytes a tile.
Todo = tuple[npt.NDArray[np.int64], ...]


def every_tile(plan: LookPlan) -> Todo:
    """Return all tiles of a run: those of the AOI, and with --keep-empty the others as well."""
    return tuple(
        np.arange(len(scene.grid))
        if scene.inside is None or plan.options.keep_empty
        else np.flatnonzero(scene.inside).astype(np.int64)
        for scene in plan.scenes
    )


def count(todo: Todo) -> int:
    """Count the tiles."""
    return sum(map(len, todo))
