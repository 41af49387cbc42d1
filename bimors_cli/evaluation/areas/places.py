"""Where tiles are: their centres, in degrees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from bimors_cli.scene.polygons import Polygons

WGS84 = "EPSG:4326"

Array = npt.NDArray[np.float64]


def centres(polygons: Polygons, crs: pyproj.CRS) -> Array:
    """Return the centres of tiles in degrees of WGS 84, float64 [n, 2], longitude first.

    Of a tile in several parts, as across the antimeridian, it is the centre of the largest.
    """
    parts, owner = shapely.get_parts(polygons, return_index=True)
    by_area = np.argsort(shapely.area(parts), kind="stable")
    largest = np.empty(len(polygons), np.intp)
    largest[owner[by_area]] = by_area  # the last assignment, of the largest part, stays
    points = shapely.get_coordinates(shapely.centroid(parts[largest]))
    to_degrees = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    return np.stack(to_degrees.transform(points[:, 0], points[:, 1]), axis=1)
