"""The geometries of a vector file that can be used."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely

from bimors_cli.scene.polygons import Polygons

# Type ids of shapely.
_POLYGON: Final = 3
_FIRST_MULTI: Final = 4
_COLLECTION: Final = 7


def polygonal_parts(geometries: Polygons) -> Polygons:
    """Return collections that hold polygons as these polygons, also nested ones; others are unchanged.

    Google Earth writes a label point next to each polygon.
    """
    found = np.asarray(geometries, object).copy()
    for row in np.flatnonzero(shapely.get_type_id(found) == _COLLECTION):
        parts = shapely.get_parts(found[row : row + 1])
        while (shapely.get_type_id(parts) >= _FIRST_MULTI).any():
            parts = shapely.get_parts(parts)
        polygons = parts[shapely.get_type_id(parts) == _POLYGON]
        if len(polygons):
            found[row] = shapely.multipolygons(polygons)
    return found
