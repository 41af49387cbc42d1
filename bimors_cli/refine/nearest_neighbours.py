"""Where tiles lie in feature space, which tiles look most like each, and how much two tiles look alike."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bimors_cli.refine.arrays import Features, parts

NEIGHBOURS: Final = 3
# Neighbours are sought in so many principal directions: as pure as in all of them, and faster.
DIRECTIONS: Final = 128
# Beyond so many tiles the exact search, which grows with N squared, gives way to one that looks into a few cells.
EXACT: Final = 40_000
CELLS: Final = 1024
_PROBED: Final = 4
_TRAINED_ON: Final = 64  # tiles for each cell
# Tiles compared with one tile at most, so that the search stays linear in N however many share a cell.
_VISITED: Final = 8_192


def pca_project(features: Features, principal: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Reduce features to unit vectors of few principal directions, whose products are cosines.

    Parameters
    ----------
    features : Features
        N tiles, D numbers each.
    principal : ndarray
        float64 [D, D], the principal directions of the centred features as columns, the first of them last.
    centre : ndarray
        float64 [D], where the directions start from, in centred features.

    Returns
    -------
    ndarray
        float32 [N, min(D, 128)], of length 1, or 0 where a tile is at the centre.
    """
    tiles, size = features.rows.shape
    kept = principal[:, -min(DIRECTIONS, size) :].astype(np.float32)
    offset = centre.astype(np.float32) @ kept
    points = np.empty((tiles, kept.shape[1]), np.float32)
    for part, block in features.blocks():
        points[part] = block @ kept - offset
        # Tiles that all look the same differ from their mean by rounding alone, and that is no direction.
        length = np.linalg.norm(points[part], axis=1, keepdims=True)
        points[part] /= np.where(length > 1e-5, length, np.inf)
    return points


def nearest_neighbours(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the tiles with the greatest cosine to each tile.

    Parameters
    ----------
    points : ndarray
        See `pca_project`.

    Returns
    -------
    place : ndarray
        int64 [N, M], rows of the M = min(3, N - 1) tiles.
    cosine : ndarray
        float32 [N, M], 0..1; 0 where it is negative, or where fewer tiles were found.
    """
    tiles = len(points)
    wanted = min(NEIGHBOURS, tiles - 1)
    place = np.zeros((tiles, wanted), np.int64)
    cosine = np.zeros((tiles, wanted), np.float32)
    index, order = _index(points)
    for part in parts(tiles) if wanted else ():
        rows = order[part]
        near, found = index.search(points[rows], wanted + 1)
        itself = found == rows[:, None]
        itself[~itself.any(axis=1), -1] = True  # behind others that are its equals
        found, near = found[~itself].reshape(-1, wanted), near[~itself].reshape(-1, wanted)
        place[rows] = np.where(found < 0, 0, found)
        cosine[rows] = np.where(found < 0, 0, np.clip(near, 0, 1))
    return place, cosine


def _index(points: NDArray[np.float32]) -> tuple[Any, NDArray[np.int64]]:
    """Index of all points by their rows, and the order of rows to search in."""
    import faiss

    tiles, size = points.shape
    flat = faiss.IndexFlatIP(size)
    if tiles <= EXACT:
        flat.add(points)
        return flat, np.arange(tiles)
    by_value = np.lexsort(points[:, -4:].T)
    # Half-precision numbers move a cosine by less than 0.001, and are read twice as fast.
    cells = faiss.IndexIVFScalarQuantizer(flat, size, CELLS, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    cells.nprobe, cells.max_codes = _PROBED, _VISITED
    # Evenly from those sorted by value: the same ones whatever the order of the tiles.
    cells.train(points[by_value[:: max(1, tiles // (CELLS * _TRAINED_ON))]])
    cell = np.empty(tiles, np.int64)
    for part in parts(tiles):
        cell[part] = flat.search(points[part], 1)[1][:, 0]
    # Cell by cell, so that what is visited is in the processor's cache; by value within, so that where a cell holds
    # more than are visited, it is again the same ones.
    order = by_value[np.argsort(cell[by_value], kind="stable")]
    for part in parts(tiles):
        cells.add_with_ids(points[order[part]], order[part])
    return cells, order


def cosine_similarity(points: NDArray[np.float32], place: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Cosines of each tile and the tiles in its row of ``place`` [N, M], -1..1; 0 where that is -1."""
    cosine = np.zeros(place.shape, np.float32)
    for part in parts(len(points)):
        for column in range(place.shape[1]):
            near = place[part, column]
            cosine[part, column] = np.where(near < 0, 0, np.einsum("nd,nd->n", points[part], points[near]))
    return cosine
