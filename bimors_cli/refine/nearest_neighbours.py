"""Principal components of the tiles' features, nearest neighbours, and cosine similarities."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import Features, parts

NEIGHBOURS: Final = 3
# Number of principal components of the search: neighbours share a class as often as with all of them, and it is faster.
DIRECTIONS: Final = 128
# Above this number of tiles the exact search, whose time grows with N squared, is replaced by an inverted file index.
EXACT: Final = 40_000
CELLS: Final = 1024
_PROBED: Final = 4
_TRAINED_ON: Final = 64  # tiles per cell
# Maximum number of tiles compared with one tile, so that the time is linear in N however many share a cell.
_VISITED: Final = 8_192


def pca_project(features: Features, principal: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Project features onto the first principal components and scale to unit length; products are cosines.

    Parameters
    ----------
    features : Features
        N tiles, D numbers each.
    principal : ndarray
        float64 [D, D], the principal components of the centred features as columns, in ascending order.
    centre : ndarray
        float64 [D], the origin of the projection, in centred features.

    Returns
    -------
    ndarray
        float32 [N, min(D, 128)], of length 1, or 0 for a tile at the origin.
    """
    tiles, size = features.rows.shape
    components = principal[:, -min(DIRECTIONS, size) :].astype(np.float32)
    offset = centre.astype(np.float32) @ components
    points = np.empty((tiles, components.shape[1]), np.float32)
    for part, block in features.blocks():
        points[part] = block @ components - offset
        # Tiles with equal features differ from their mean by rounding only, which has no meaningful direction.
        length = np.linalg.norm(points[part], axis=1, keepdims=True)
        points[part] /= np.where(length > 1e-5, length, np.inf)
    return points


def nearest_neighbours(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the tiles with the largest cosine to each tile.

    Parameters
    ----------
    points : ndarray
        float32 [N, C], from `pca_project`.

    Returns
    -------
    neighbours : ndarray
        int64 [N, M], rows of the M = min(3, N - 1) tiles.
    cosine : ndarray
        float32 [N, M], 0..1; 0 where it is negative, or where fewer neighbours were found.
    """
    tiles = len(points)
    wanted = min(NEIGHBOURS, tiles - 1)
    neighbours = np.zeros((tiles, wanted), np.int64)
    cosine = np.zeros((tiles, wanted), np.float32)
    index, order = _index(points)
    for part in parts(tiles) if wanted else ():
        rows = order[part]
        near, found = index.search(points[rows], wanted + 1)
        itself = found == rows[:, None]
        itself[~itself.any(axis=1), -1] = True  # ranked after its duplicates
        found, near = found[~itself].reshape(-1, wanted), near[~itself].reshape(-1, wanted)
        neighbours[rows] = np.where(found < 0, 0, found)
        cosine[rows] = np.where(found < 0, 0, np.clip(near, 0, 1))
    return neighbours, cosine


def _index(points: NDArray[np.float32]) -> tuple[Any, NDArray[np.int64]]:
    """Return an index of all points by row, and the order of rows in which to search."""
    import faiss

    tiles, size = points.shape
    flat = faiss.IndexFlatIP(size)
    if tiles <= EXACT:
        flat.add(points)
        return flat, np.arange(tiles)
    by_value = np.lexsort(points[:, -4:].T)
    # Half precision changes a cosine by less than 0.001, and is read twice as fast.
    cells = faiss.IndexIVFScalarQuantizer(flat, size, CELLS, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    cells.nprobe, cells.max_codes = _PROBED, _VISITED
    # Evenly spaced in the points sorted by value: the same sample whatever the order of the tiles.
    cells.train(points[by_value[:: max(1, tiles // (CELLS * _TRAINED_ON))]])
    cell = np.empty(tiles, np.int64)
    for part in parts(tiles):
        cell[part] = flat.search(points[part], 1)[1][:, 0]
    # Cell by cell, so that the compared points are in the processor's cache; by value within a cell, so that the same
    # points are compared where a cell holds more than the maximum.
    order = by_value[np.argsort(cell[by_value], kind="stable")]
    for part in parts(tiles):
        cells.add_with_ids(points[order[part]], order[part])
    return cells, order


def cosine_similarity(points: NDArray[np.float32], neighbours: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return the cosines of each tile and its ``neighbours`` [N, M], -1..1; 0 where ``neighbours`` is -1."""
    cosine = np.zeros(neighbours.shape, np.float32)
    for part in parts(len(points)):
        for column in range(neighbours.shape[1]):
            near = neighbours[part, column]
            cosine[part, column] = np.where(near < 0, 0, np.einsum("nd,nd->n", points[part], points[near]))
    return cosine
