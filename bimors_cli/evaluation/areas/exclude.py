"""Which tiles no sample may contain: those that share ground with the examples of an adapter, or with features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from rasterio.crs import CRS

from bimors_cli.results.covered_tiles import read_features_of
from bimors_cli.results.recorded_examples import example_sets
from bimors_cli.scene.around import Extent, reproject_around
from bimors_cli.scene.polygons import Polygons

# Of the side of a tile: neighbours touch, also where reprojection moves their edges by less than a pixel.
_EDGE: Final = 1e-3

Mask = npt.NDArray[np.bool_]


def overlapping(tiles: Polygons, features: Polygons) -> Mask:
    """Tell which tiles share ground with a feature; a common edge or corner is not enough.

    Parameters
    ----------
    tiles : object array [n] of Polygon or MultiPolygon
        The tiles.
    features : object array [m] of valid shapely geometries
        Polygons, lines or points in the same CRS. What is closer to the edge of a tile than a thousandth of its side
        does not count.

    Returns
    -------
    bool array [n]
        Whether a feature intersects the tile.
    """
    result = np.zeros(len(tiles), np.bool_)
    tree = shapely.STRtree(features)
    near = np.unique(tree.query(tiles, predicate="intersects")[0])
    inner = shapely.buffer(tiles[near], -_EDGE * np.sqrt(shapely.area(tiles[near])), join_style="mitre")
    result[near[tree.query(inner, predicate="intersects")[0]]] = True
    return result


def features_around(spec: str, layer_file: Path, tiles: Polygons, crs: pyproj.CRS) -> Polygons:
    """Read the features of a vector file around tiles, in the CRS of the tiles.

    Parameters
    ----------
    spec : str
        ``file`` or ``file:layer``.
    layer_file : Path
        File of the tiles, for messages.
    tiles : object array [n] of Polygon or MultiPolygon
        At least one tile.
    crs : pyproj.CRS
        Their CRS.

    Raises
    ------
    VectorError
        As `read_features_of` and `reproject_around`.
    """
    features = read_features_of(spec)
    left, bottom, right, top = shapely.total_bounds(tiles)
    extent = Extent("layer", layer_file.name, crs.to_wkt(), (left, bottom, right, top))
    return reproject_around(features.geometries, features.crs, extent, features.path)


def example_outlines(recorded: Sequence[Mapping[str, Any]], layer_file: Path, crs: pyproj.CRS) -> Polygons:
    """Return the outlines of the examples that a layer records, in its CRS.

    Raises
    ------
    InputError
        The record is damaged.
    """
    target = CRS.from_wkt(crs.to_wkt())
    return np.concatenate([np.empty(0, object), *(one.polygons(target) for one in example_sets(recorded, layer_file))])
