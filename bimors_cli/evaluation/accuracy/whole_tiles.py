"""Which features of a layer are whole tiles: not those that somebody merged or split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Of the median area of the tiles of a row.
_MERGED: Final = 1.5
_PART: Final = 0.75
# A tile across the antimeridian and around a pole has fewer coordinates.
_MOST_CORNERS: Final = 16
_FEWEST: Final = 3  # tiles of a row, for a median that says something


def find_altered(
    tile_ids: Sequence[Any], rows: Sequence[Any], areas: npt.NDArray[np.float64], corners: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Find features that are merged from several tiles, parts of a tile, or copies of one.

    Tiles of a row have about the same area on the ground, but for the clipped ones at the edge of the scene, and four
    corners; QGIS copies the attributes to both parts of a feature that is split, and keeps those of one when features
    are merged.

    Parameters
    ----------
    tile_ids : sequence [n]
        Ids of the tiles; null for none.
    rows : sequence [n]
        Their rows in the grid; null for none.
    areas : float64 array [n]
        Areas on the ground, in any unit.
    corners : int array [n]
        Numbers of coordinates.

    Returns
    -------
    merged, parts, copies : bool array [n]
        No feature is in two of them.
    """
    usual = _median_of_row(tile_ids, rows, areas)
    counts = Counter(one for one in tile_ids if isinstance(one, str))
    repeated = np.array([isinstance(one, str) and counts[one] > 1 for one in tile_ids], np.bool_)
    with np.errstate(invalid="ignore"):
        merged = (areas > _MERGED * usual) | (corners > _MOST_CORNERS)
        parts = repeated & (areas < _PART * usual)
    seen: set[Any] = set()
    copies = np.zeros(len(areas), np.bool_)
    for index in np.flatnonzero(repeated & ~merged & ~parts).tolist():
        copies[index] = tile_ids[index] in seen
        seen.add(tile_ids[index])
    return merged, parts, copies


def _median_of_row(
    tile_ids: Sequence[Any], rows: Sequence[Any], areas: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the median area of the tiles with the row of each tile, nan where a row has too few tiles."""
    groups: dict[Any, list[int]] = {}
    for index, (tile_id, row) in enumerate(zip(tile_ids, rows, strict=True)):
        stem = tile_id.rsplit("/", 2)[0] if isinstance(tile_id, str) else ""
        groups.setdefault((stem, row), []).append(index)
    usual = np.full(len(areas), np.nan)
    for key, members in groups.items():
        known = areas[members][np.isfinite(areas[members])]
        if key[1] is not None and key[1] == key[1] and len(known) >= _FEWEST:
            usual[members] = np.median(known)
    return usual
