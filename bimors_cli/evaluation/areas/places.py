"""Where tiles are: their centres, in degrees and in metres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from bimors_cli.scene.polygons import Polygons

_WGS84 = "EPSG:4326"

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
    to_degrees = pyproj.Transformer.from_crs(crs, _WGS84, always_xy=True)
    return np.stack(to_degrees.transform(points[:, 0], points[:, 1]), axis=1)


def to_metres(degrees: Array) -> Array:
    """Return places in metres from the centre of the Earth, float64 [n, 3]: distances are those on the ground."""
    longitude, latitude = np.radians(degrees.T)
    geod = pyproj.Geod(ellps="WGS84")
    normal = geod.a / np.sqrt(1 - geod.es * np.sin(latitude) ** 2)
    return np.stack(
        [
            normal * np.cos(latitude) * np.cos(longitude),
            normal * np.cos(latitude) * np.sin(longitude),
            normal * (1 - geod.es) * np.sin(latitude),
        ],
        axis=1,
    )
