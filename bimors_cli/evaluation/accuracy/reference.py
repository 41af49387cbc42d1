"""Reference samples of tiles: from polygons by the area that they cover, from points by their position."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.evaluation.accuracy.layer import NO_CLASS
from bimors_cli.scene.around import Extent
from bimors_cli.scene.feature_counts import FeatureCounts, Place, count_features
from bimors_cli.scene.polygons import Polygons
from bimors_cli.training.examples.label_tiles import covered_areas, dissolve
from bimors_cli.training.examples.vector_features import (
    kind_of,
    open_features,
    read_around,
    transform_valid,
)

# Fractions of a tile are rounded to this: far below what can be drawn, far above the rounding error of another CRS.
_DIGITS: Final = 6


@dataclass(frozen=True)
class Reference:
    """Reference features in the extent of a layer.

    Attributes
    ----------
    path, layer : str
        The file and its layer.
    kind : {"polygons", "points"}
        Geometry of all features.
    geometries : object array [n] of shapely geometry
        Valid, in the CRS of the layer.
    classes : object array [n] of str
        Class of each feature.
    out_of_extent : int
        Number of features that do not intersect the extent of the layer, or have no geometry.
    without_class, repaired : int
        Number of features in the extent without a class, which are left out, and with an invalid geometry, which was
        repaired.
    counts : FeatureCounts
        How many features lie outside the extent, or partly in it.
    """

    path: str
    layer: str
    kind: Literal["polygons", "points"]
    geometries: Polygons
    classes: npt.NDArray[np.object_]
    out_of_extent: int
    without_class: int
    repaired: int
    counts: FeatureCounts


@dataclass(frozen=True)
class ReferenceSamples:
    """M samples: tiles that polygons cover enough, or points inside a tile.

    Attributes
    ----------
    rows : int array [M]
        Index of the tile of each sample.
    classes : int array [M]
        Index of its reference class.
    outside : int
        Number of points outside all tiles.
    """

    rows: npt.NDArray[np.intp]
    classes: npt.NDArray[np.intp]
    outside: int = 0


def read_reference(
    spec: str, field: str, place: Extent, layer: str | None = None, points_crs: str | None = None
) -> Reference:
    """Read the features in the extent of a layer of tiles; invalid ones are repaired, those without a class left out.

    Parameters
    ----------
    spec : str
        A local vector file, or ``file:layer``, in any CRS, or a CSV table of points.
    field : str
        Field that holds the class.
    place : Extent
        The layer of tiles.
    layer : str, optional
        Layer of the file, if ``spec`` does not name it.
    points_crs : str, optional
        CRS of the coordinates of a CSV table.

    Raises
    ------
    VectorError
        As `open_features` and `carry`; the features are lines or of mixed types; no feature is in the extent, or none
        of them has a class.
    """
    source = open_features(spec, field, layer, points_crs)
    path = source.path
    found, classes, _ = read_around(source, place)
    kind = kind_of(path, [found])
    if kind == "lines":
        raise VectorError(f"{path} holds lines", "a reference needs polygons or points: buffer the lines first")
    repaired = int((~shapely.is_valid(found)).sum())
    geometries = transform_valid(source, found, place)
    reaching = shapely.intersects(geometries, shapely.box(*place.bounds))
    if kind is None or not reaching.any():
        raise source.outside([Place.of_extent(place)])
    named = reaching & classes.astype(np.bool_)
    if not named.any():
        raise VectorError(
            f"{path}: {field} is null in all features that intersect {place.name}",
            "use another --field, or fill it in",
        )
    return Reference(
        path,
        source.layer,
        kind,
        geometries[named],
        np.array([unicodedata.normalize("NFC", name) for name in classes[named]], object),
        source.count - int(reaching.sum()),
        int((reaching & ~named).sum()),
        repaired,
        count_features(path, found, source.crs, [Place.of_extent(place)], total=source.count),
    )


def samples_from_polygons(
    tiles: Polygons, geometries: Polygons, classes: npt.NDArray[np.intp], count: int, min_overlap: float
) -> ReferenceSamples:
    """Assign to each tile the class that covers the largest part of it, where the reference covers enough of it.

    Overlapping polygons of one class count once. Of equal parts the first class is taken.

    Parameters
    ----------
    tiles : object array [n] of Polygon, MultiPolygon or None
        The tiles.
    geometries : object array [m] of Polygon or MultiPolygon
        Valid, in the CRS of the tiles.
    classes : int array [m]
        Class indices, 0 to ``count - 1``.
    count : int
        Number of classes.
    min_overlap : float
        Fraction of a tile that all classes together must cover, 0..1. A tile without any polygon is not a sample.
    """
    tree = shapely.STRtree(tiles)
    whole = shapely.area(tiles)
    best, total = np.zeros(len(tiles)), np.zeros(len(tiles))
    result = np.full(len(tiles), NO_CLASS, np.intp)
    for index in range(count):
        part = np.round(covered_areas(tree, dissolve("polygons", geometries[classes == index])) / whole, _DIGITS)
        larger = part > best  # the first of equals stays
        best[larger], result[larger] = part[larger], index
        total += part
    # The sum is too large where classes overlap: the union is measured there.
    least = min_overlap - 10.0**-_DIGITS
    uncertain = np.flatnonzero((best < least) & (total >= least))
    if len(uncertain):
        tree = shapely.STRtree(tiles[uncertain])
        near = np.unique(tree.query(geometries)[0])
        total[uncertain] = covered_areas(tree, dissolve("polygons", geometries[near])) / whole[uncertain]
    result[total < least] = NO_CLASS
    rows = np.flatnonzero(result != NO_CLASS)
    return ReferenceSamples(rows, result[rows])


def samples_from_points(tiles: Polygons, geometries: Polygons, classes: npt.NDArray[np.intp]) -> ReferenceSamples:
    """Find the tile that contains each point; on a border, and where tiles overlap, the first.

    Parameters
    ----------
    tiles : object array [n] of Polygon, MultiPolygon or None
        The tiles.
    geometries : object array [m] of Point or MultiPoint
        In the CRS of the tiles; each point of a multipoint is a sample.
    classes : int array [m]
        Class indices.
    """
    points, feature = shapely.get_parts(geometries, return_index=True)
    point, tile = shapely.STRtree(tiles).query(points, predicate="intersects")
    first = np.full(len(points), len(tiles), np.intp)
    np.minimum.at(first, point, tile)
    inside = first < len(tiles)
    return ReferenceSamples(first[inside], classes[feature[inside]], int((~inside).sum()))
