"""What a reference says of each tile: polygons by the area that they cover, points by where they lie."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.evaluation.accuracy.layer import NO_ANSWER
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.vector import Place
from bimors_cli.training.examples.label_tiles import covered_areas, dissolve
from bimors_cli.training.examples.vector_features import (
    kind_of,
    no_feature_intersects,
    open_features,
    read_around,
    transform_valid,
)

# Shares of a tile that differ by less are equal: far below what can be drawn, far above what another CRS rounds off.
_DIGITS: Final = 6


@dataclass(frozen=True)
class Reference:
    """Features of known class around a layer.

    Attributes
    ----------
    path, layer : str
        Where they come from.
    kind : {"polygons", "points"}
        What all of them are.
    geometries : object array [n] of shapely geometry
        Valid, in the CRS of the layer.
    classes : object array [n] of str
        Their classes, as text.
    elsewhere : int
        Features of the file that do not reach the layer, or have no geometry.
    classless, repaired : int
        Features at the layer without a class, which are left out, and with an invalid geometry, which was repaired.
    """

    path: str
    layer: str
    kind: Literal["polygons", "points"]
    geometries: Polygons
    classes: npt.NDArray[np.object_]
    elsewhere: int
    classless: int
    repaired: int


@dataclass(frozen=True)
class ReferenceSamples:
    """M samples: of polygons, the tiles that they cover enough; of points, those that lie in a tile.

    Attributes
    ----------
    rows : int array [M]
        The tile of each sample.
    classes : int array [M]
        Its class.
    outside : int
        Points that lie in no tile.
    """

    rows: npt.NDArray[np.intp]
    classes: npt.NDArray[np.intp]
    outside: int = 0


def read_reference(spec: str, field: str, place: Place, layer: str | None = None) -> Reference:
    """Read the features around a layer of tiles, in any CRS; repair what is invalid, leave out what has no class.

    Parameters
    ----------
    spec : str
        A local vector file, or ``file:layer``.
    field : str
        The field of the class.
    place : Place
        The layer of tiles.
    layer : str, optional
        The layer of the file, where ``spec`` does not name it.

    Raises
    ------
    VectorError
        As `open_features` and `carry`; features of different kinds, or lines; none at the layer, none with a class.
    """
    source = open_features(spec, field, layer)
    path = source.path
    found, classes = read_around(source, place)
    kind = kind_of(path, [found])
    if kind == "lines":
        raise VectorError(f"{path} holds lines", "a reference is made of polygons or points: buffer lines first")
    repaired = int((~shapely.is_valid(found)).sum())
    geometries = transform_valid(source, found, place)
    reaching = shapely.intersects(geometries, shapely.box(*place.bounds))
    if kind is None or not reaching.any():
        raise no_feature_intersects(source, place)
    named = reaching & classes.astype(np.bool_)
    if not named.any():
        raise VectorError(
            f"{path}: {field} is null in all features at {place.name}", "fill it in, or name another field"
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
    )


def truth_of_polygons(
    tiles: Polygons, geometries: Polygons, classes: npt.NDArray[np.intp], count: int, min_overlap: float
) -> ReferenceSamples:
    """Give each tile the class that covers most of it, where the reference covers enough of it.

    Polygons of one class that overlap count once, and of equal classes the first is taken.

    Parameters
    ----------
    tiles : object array [n] of Polygon, MultiPolygon or None
        The tiles.
    geometries : object array [m] of Polygon or MultiPolygon
        Valid, in the CRS of the tiles.
    classes : int array [m]
        Their classes, 0 to ``count - 1``.
    count : int
        How many classes there are.
    min_overlap : float
        The share of a tile that all classes together must cover, 0..1; a tile that none covers has no truth.
    """
    tree = shapely.STRtree(tiles)
    whole = shapely.area(tiles)
    best, total = np.zeros(len(tiles)), np.zeros(len(tiles))
    result = np.full(len(tiles), NO_ANSWER, np.intp)
    for place in range(count):
        share = np.round(covered_areas(tree, dissolve("polygons", geometries[classes == place])) / whole, _DIGITS)
        larger = share > best  # the first of equals stays
        best[larger], result[larger] = share[larger], place
        total += share
    # Where classes overlap their sum says too much: what matters there is what they cover together.
    least = min_overlap - 10.0**-_DIGITS
    doubtful = np.flatnonzero((best < least) & (total >= least))
    if len(doubtful):
        tree = shapely.STRtree(tiles[doubtful])
        near = np.unique(tree.query(geometries)[0])
        total[doubtful] = covered_areas(tree, dissolve("polygons", geometries[near])) / whole[doubtful]
    result[total < least] = NO_ANSWER
    rows = np.flatnonzero(result != NO_ANSWER)
    return ReferenceSamples(rows, result[rows])


def truth_of_points(tiles: Polygons, geometries: Polygons, classes: npt.NDArray[np.intp]) -> ReferenceSamples:
    """Find the tile that each point lies in; on a border, and where tiles overlap, the first.

    Parameters
    ----------
    tiles : object array [n] of Polygon, MultiPolygon or None
        The tiles.
    geometries : object array [m] of Point or MultiPoint
        In the CRS of the tiles; each point of a multipoint is a sample.
    classes : int array [m]
        Their classes.
    """
    points, feature = shapely.get_parts(geometries, return_index=True)
    point, tile = shapely.STRtree(tiles).query(points, predicate="intersects")
    first = np.full(len(points), len(tiles), np.intp)
    np.minimum.at(first, point, tile)
    inside = first < len(tiles)
    return ReferenceSamples(first[inside], classes[feature[inside]], int((~inside).sum()))
