"""Refining the answers of any classifier, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def transductive(image_features: NDArray[Any], text_probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Refine each tile's probabilities by the features of all tiles; no labelled example, nothing to tune.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float, of any length; a memory map is read in blocks.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile answer of any head.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1. See `bimors_cli.refine.transductive` for the equations.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, or a row is not one of probabilities.
    """
    from bimors_cli.refine.transductive import transductive as refine

    return refine(image_features, text_probabilities)


def spatial(
    image_features: NDArray[Any], text_probabilities: NDArray[Any], map_neighbours: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    """Refine each tile's probabilities by the features of all tiles, and by the tiles that touch it on the map.

    Parameters
    ----------
    image_features, text_probabilities : ndarray
        [N, D] and [N, K], as `transductive`.
    map_neighbours : ndarray
        int64 [N, M], rows of the tiles that touch each tile, in any order; -1 where there is none.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1. See `bimors_cli.refine.spatial` for the equations.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, a row is not one of probabilities, or a neighbour is
        no row.
    """
    from bimors_cli.refine.spatial import spatial as refine

    return refine(image_features, text_probabilities, map_neighbours)
