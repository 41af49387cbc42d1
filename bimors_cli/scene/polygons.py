"""The polygons of tiles, in the CRS of the scene or another CRS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.crs import CRS
from shapely.affinity import translate
from shapely.geometry.polygon import orient

from bimors_cli.errors import InputError
from bimors_cli.scene.grid import Tile

Polygons = npt.NDArray[np.object_]

# Edges are divided into this many steps to follow the longitude along them: the left and right corners of a tile as
# wide as the world are at the same meridian.
_STEPS: Final = 8


def tile_polygons(tiles: Iterable[Tile], transform: Affine) -> Polygons:
    """Return the polygon of each tile from its four corners; rotated and south-up scenes are supported.

    Corners of neighbours are bitwise equal.

    Parameters
    ----------
    tiles : iterable of Tile
        A grid, or some of its tiles.
    transform : Affine
        Geotransform of the scene.

    Returns
    -------
    object array [n] of shapely Polygon
        Polygons in the scene's CRS, exterior counter-clockwise.
    """
    windows = np.array([(t.x, t.y, t.width, t.height) for t in tiles], np.float64).reshape(-1, 4)
    x, y, width, height = windows.T
    cols = np.stack([x, x, x + width, x + width, x], axis=1)
    rows = np.stack([y, y + height, y + height, y, y], axis=1)
    if transform.determinant > 0:  # south-up or mirrored: this corner order is clockwise on the map
        cols, rows = cols[:, ::-1], rows[:, ::-1]
    map_x = transform.a * cols + transform.b * rows + transform.c
    map_y = transform.d * cols + transform.e * rows + transform.f
    return np.asarray(shapely.polygons(np.stack([map_x, map_y], axis=2)))


def reproject(polygons: Sequence[Any] | Polygons, src: CRS, dst: CRS) -> Polygons:
    """Reproject tile polygons corner by corner; corners of neighbours stay equal.

    In a geographic CRS, longitudes are in -180..180 (RFC 7946): a tile across the antimeridian becomes a MultiPolygon
    of its two parts, and a tile around a pole is closed along that pole.

    Parameters
    ----------
    polygons : sequence of Polygon
        Polygons of `tile_polygons`, four corners each, in `src`.
    src, dst : CRS
        Source and target CRS.

    Returns
    -------
    object array [n] of Polygon, MultiPolygon or None
        Polygons in `dst`, x before y; None where a corner cannot be projected (off the disk of a geostationary scene).

    Raises
    ------
    InputError
        PROJ has no transformation from `src` to `dst`.
    """
    rings = shapely.get_coordinates(np.asarray(polygons, object)).reshape(-1, 5, 2)
    if not len(rings):
        return np.empty(0, object)
    if not dst.is_geographic:
        return _build(_transform(rings, src, dst))
    steps = np.arange(_STEPS)[None, None, :, None] / _STEPS
    start, end = rings[:, :-1, None], rings[:, 1:, None]
    dense = np.concatenate([(start + (end - start) * steps).reshape(len(rings), -1, 2), rings[:, -1:]], axis=1)
    dense = _transform(dense, src, dst)
    with np.errstate(invalid="ignore"):  # rings with NaN become None below
        turns = np.cumsum(np.round(np.diff(dense[..., 0], axis=1) / 360), axis=1)
    corners = dense[:, ::_STEPS].copy()
    corners[:, 1:, 0] -= 360 * turns[:, _STEPS - 1 :: _STEPS]  # whole turns, so unaffected longitudes keep their bits
    corners[..., 1] = corners[..., 1].clip(-90, 90)
    result = _build(corners)
    outside = (np.abs(corners[..., 0]) > 180).any(axis=1) | (corners[:, 0, 0] != corners[:, -1, 0])
    for i in np.flatnonzero(outside & np.isfinite(corners).all(axis=(1, 2))):
        result[i] = _wrap(corners[i])
    return result


def _transform(rings: npt.NDArray[np.float64], src: CRS, dst: CRS) -> npt.NDArray[np.float64]:
    """Reproject coordinates [n, k, 2]; NaN where it fails. An equal CRS returns them unchanged."""
    if src == dst:
        return rings
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(src.to_wkt(), dst.to_wkt(), always_xy=True)
        x, y = transformer.transform(rings[..., 0], rings[..., 1])
    except ProjError as error:
        raise InputError(
            f"no transformation from {src.to_string()[:60]} to {dst.to_string()[:60]}", str(error)
        ) from error
    result = np.stack([x, y], axis=-1)
    result[~np.isfinite(result).all(axis=-1)] = np.nan
    return result


def _build(rings: npt.NDArray[np.float64]) -> Polygons:
    """Return counter-clockwise polygons of [n, 5, 2] coordinates, None for rings with NaN."""
    result = np.full(len(rings), None, object)
    good = np.isfinite(rings).all(axis=(1, 2))
    closed = rings[good]
    closed[:, -1] = closed[:, 0]
    x, y = np.moveaxis(
        closed - closed[:, :1], 2, 0
    )  # relative to the first corner: large coordinates would lose precision
    clockwise = (x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]).sum(axis=1) < 0
    closed[clockwise] = closed[clockwise, ::-1]
    result[good] = shapely.polygons(closed)
    return result


def _wrap(ring: npt.NDArray[np.float64]) -> Any:
    """Return a ring of unwrapped longitudes as a Polygon or MultiPolygon within -180..180."""
    if ring[0, 0] != ring[-1, 0]:  # a ring around a pole: close it along that pole
        pole = np.copysign(90.0, ring[:, 1].mean())
        ring = np.vstack([ring, [(ring[-1, 0], pole), (ring[0, 0], pole)], ring[:1]])
    polygon = shapely.Polygon(ring)
    first, last = np.floor((ring[:, 0].min() + 180) / 360), np.ceil((ring[:, 0].max() - 180) / 360)
    parts: list[Any] = []
    for turn in np.arange(first, last + 1):
        part = polygon.intersection(shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        # A tile that ends at the antimeridian may cross it by rounding: such slivers are dropped.
        if part.area > 1e-9 * polygon.area:
            parts.append(translate(part, -360 * turn))
    # The union merges parts that touch at the start of the ring; parts on both sides of the antimeridian stay separate.
    pieces = [orient(piece) for piece in shapely.get_parts(shapely.union_all(parts)) if piece.geom_type == "Polygon"]
    return shapely.MultiPolygon(pieces) if len(pieces) > 1 else pieces[0]
