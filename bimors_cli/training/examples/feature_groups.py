"""Groups of drawn features: what a cross-validation leaves out together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import Polygons
from bimors_cli.training.examples.label_tiles import NO_FEATURE, cell_boxes, to_areas
from bimors_cli.training.examples.vector_features import Features, Kind


def connected_features(features: Features) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the group of each feature, for each scene: the lowest FID of the features that it is connected with.

    Features of one class that touch or overlap, in any scene, are connected, as are the parts of a multipolygon; lines
    and points are buffered as for `label_cells`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids = np.unique(np.concatenate(features.ids))
    pairs = [np.empty((2, 0), np.intp)]
    for geometries, classes, numbers in zip(features.geometries, features.classes, features.ids, strict=True):
        rows = np.searchsorted(ids, numbers)
        areas = to_areas(features.kind, geometries)
        for name in sorted(set(classes)):
            of_class = np.flatnonzero(classes == name)
            touching = shapely.STRtree(areas[of_class]).query(areas[of_class], predicate="intersects")
            pairs.append(rows[of_class][touching])
    first, second = np.concatenate(pairs, axis=1)
    links = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(len(ids), len(ids)))
    count, component = connected_components(links, directed=False)
    lowest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(lowest, component, ids)
    return tuple(lowest[component[np.searchsorted(ids, numbers)]] for numbers in features.ids)


def group_cells(
    grid: Grid,
    kind: Kind,
    geometries: Polygons,
    classes: npt.NDArray[np.intp],
    groups: npt.NDArray[np.int64],
    labels: npt.NDArray[np.intp],
) -> npt.NDArray[np.int64]:
    """Return the group of each cell: of the features of its class the group that covers most of it.

    Parameters
    ----------
    grid : Grid
        The cells.
    kind : {"polygons", "lines", "points"}
        Type of all geometries.
    geometries : object array [n] of shapely geometry
        Valid, in pixels of the scene.
    classes, groups : int array [n]
        Their classes and groups.
    labels : int array [cells]
        The class of each cell; below 0 for a cell without one.

    Returns
    -------
    int array [cells]
        The group; the lowest of equal ones. `NO_FEATURE` for a cell that no feature of its class intersects.
    """
    result = np.full(len(grid), NO_FEATURE, np.int64)
    labelled = np.flatnonzero(labels >= 0)
    boxes = cell_boxes(grid)[labelled]
    areas = to_areas(kind, geometries)
    feature, cell = shapely.STRtree(boxes).query(areas, predicate="intersects")
    same = classes[feature] == labels[labelled[cell]]
    feature, cell = feature[same], cell[same]
    order = np.lexsort((groups[feature], cell))
    feature, cell = feature[order], cell[order]
    group = groups[feature]
    result[labelled[cell]] = group
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    # Few cells have several candidates; only there are areas measured.
    several = np.minimum.reduceat(group, starts) != np.maximum.reduceat(group, starts) if len(starts) else starts
    ends = np.append(starts[1:], len(cell))
    for start, end in zip(starts[several], ends[several], strict=True):
        box = boxes[cell[start]]
        covered = np.round(shapely.area(shapely.intersection(areas[feature[start:end]], box)), 9)
        candidates, number = np.unique(group[start:end], return_inverse=True)
        result[labelled[cell[start]]] = candidates[np.bincount(number, covered).argmax()]
    return result
