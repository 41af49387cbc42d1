"""Features that lie outside the scenes, stick out of them, or give no tile: counted and reported in one way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.run_warnings import warn
from bimors_cli.scene.antimeridian import full_circle
from bimors_cli.scene.around import Extent, footprint, format_bounds
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector_crs import SWAPPED

_EDGE_STEPS: Final = 100
# A feature sticks out if it goes further beyond an edge than this fraction of the longest side: one that was drawn
# along the edge, in another CRS perhaps, does not.
_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class Place:
    """The outline of a scene, or of a layer of tiles.

    Attributes
    ----------
    name : str
        Name for messages.
    crs_wkt : str
        CRS.
    outline : shapely Polygon
        In that CRS.
    """

    name: str
    crs_wkt: str
    outline: Any

    @classmethod
    def of_scene(cls, info: SceneInfo) -> Place:
        """Return the outline of a scene."""
        return cls(info.name, info.crs.to_wkt(), footprint(info))

    @classmethod
    def of_extent(cls, extent: Extent) -> Place:
        """Return the box of an extent."""
        return cls(extent.name, extent.crs_wkt, shapely.box(*extent.bounds))


def name_of(places: Sequence[Place]) -> str:
    """Return the name of one place, or the number of several."""
    return places[0].name if len(places) == 1 else f"the {len(places):,} scenes"


@dataclass(frozen=True)
class FeatureCounts:
    """How the features of a file lie in some places.

    Attributes
    ----------
    path : str
        The file.
    where : str
        Name of the places.
    total : int
        Number of features in the layer.
    outside : int
        Number of features that intersect no place.
    sticking_out : int
        Number of features that lie partly in the places.
    without_tile : int
        Number of features in the places that give no tile.
    """

    path: str
    where: str
    total: int
    outside: int
    sticking_out: int
    without_tile: int = 0

    def with_tiles(self, without: int) -> Self:
        """Add the number of features that give no tile."""
        return replace(self, without_tile=without)

    def warn(self, advice: str) -> None:
        """Warn, in one line, of features that are not used, or in part; ``advice`` is for those without a tile."""
        parts = []
        of_all = f" of {_features(self.total)}"
        if self.outside:
            lie, are = ("lies", "is") if self.outside == 1 else ("lie", "are")
            parts.append(f"{self.outside:,}{of_all} {lie} outside {self.where} and {are} not used")
            of_all = ""
        if self.sticking_out:
            where = "it" if parts else self.where
            where = "them" if parts and self.where.startswith("the ") else where
            one = self.sticking_out == 1
            stick, rest = ("sticks", "its part outside is") if one else ("stick", "their parts outside are")
            parts.append(f"{self.sticking_out:,}{of_all} {stick} out of {where}: {rest} not used")
            of_all = ""
        if parts:
            parts[-1] += " (check the CRS of the file if that is unexpected)"
        if self.without_tile:
            give = "gives" if self.without_tile == 1 else "give"
            parts.append(f"{self.without_tile:,}{of_all} {give} no tile: {advice}")
        if parts:
            warn(f"{self.path}: {'; '.join(parts)}")


def _features(count: int) -> str:
    return "1 feature" if count == 1 else f"{count:,} features"


def count_features(
    path: str, geometries: Polygons, crs: str, places: Sequence[Place], total: int | None = None
) -> FeatureCounts:
    """Count the features that lie outside all places, and those that lie partly in them.

    The outlines of the places are transformed to the CRS of the features, in short steps, and 360 degrees further where
    that is in degrees. An outline that has none there (around a pole) is not compared: nothing is counted then.

    Parameters
    ----------
    path : str
        The file of the features.
    geometries : object array [n] of shapely geometries
        Features in the CRS of the file; each that may be in a place.
    crs : str
        That CRS.
    places : sequence of Place
        Scenes, or a layer.
    total : int, optional
        Number of features in the layer. By default n.
    """
    total = len(geometries) if total is None else total
    counts = FeatureCounts(path, name_of(places), total, 0, 0)
    outlines = [_outline(place, crs) for place in places]
    wider = [_outline(place, crs, _TOLERANCE) for place in places]
    if any(outline is None for outline in (*outlines, *wider)):
        return counts
    valid = shapely.make_valid(geometries)
    ground, wide = shapely.union_all(outlines), shapely.union_all(wider)
    shapely.prepare(ground)
    shapely.prepare(wide)
    # Polygons that only touch the edge cover no pixel.
    reaching = shapely.intersects(ground, valid)
    reaching &= ~(shapely.touches(ground, valid) & (shapely.get_dimensions(valid) == 2))
    partly = reaching & ~shapely.covers(wide, valid)
    return replace(counts, outside=total - int(reaching.sum()), sticking_out=int(partly.sum()))


def give_tiles(
    geometries: Polygons, classes: npt.NDArray[Any], tiles: Polygons, tile_classes: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Tell which geometries intersect a tile of their class.

    Parameters
    ----------
    geometries, classes : object array [n] of shapely geometries, array [n]
        Features and their classes.
    tiles, tile_classes : object array [m] of shapely geometries, array [m]
        The tiles that were chosen, or their centres, in the same CRS, and their classes.

    Returns
    -------
    bool array [n]
    """
    found = np.zeros(len(geometries), np.bool_)
    feature, tile = shapely.STRtree(tiles).query(geometries, "intersects")
    found[feature[classes[feature] == tile_classes[tile]]] = True
    return found


def points_in(crs: str, crs_wkt: str, xy: npt.NDArray[np.float64]) -> Polygons:
    """Return places as points in another CRS; in degrees also a turn further on both sides.

    Parameters
    ----------
    crs, crs_wkt : str
        CRS of the points, and that of the places.
    xy : float array [m, 2]
        Places, x before y.

    Returns
    -------
    object array [m or 3 m] of Point
    """
    from pyproj import CRS, Transformer

    source, target = CRS.from_wkt(crs_wkt), CRS.from_user_input(crs)
    if not source.equals(target, ignore_axis_order=True):
        to_target = Transformer.from_crs(source, target, always_xy=True)
        xy = np.column_stack(to_target.transform(xy[:, 0], xy[:, 1]))
    circle = full_circle(target)
    if circle is not None:
        xy = np.concatenate([xy + np.array([turn, 0.0]) for turn in (0.0, -circle, circle)])
    return np.asarray(shapely.points(xy[np.isfinite(xy).all(axis=1)]), object)


def nothing_inside(
    path: str, crs: str, bounds: Sequence[float], places: Sequence[Place], swapped: str = SWAPPED
) -> VectorError:
    """Make the error for features that lie outside all places: both extents in the CRS of the features.

    Parameters
    ----------
    path, crs : str
        The file and its CRS.
    bounds : sequence of float
        Left, bottom, right, top of the features in that CRS.
    places : sequence of Place
        Scenes, or a layer.
    swapped : str
        Advice for features that would lie inside with x and y exchanged.
    """
    from pyproj import CRS

    if not all(map(math.isfinite, bounds)):
        return VectorError(f"{path}: no feature has a geometry", "give a layer of polygons or points")
    source = CRS.from_user_input(crs)
    message = f"no feature of {path} intersects {name_of(places)}"
    outlines = [_outline(place, crs) for place in places]
    left, bottom, right, top = bounds
    known = [outline for outline in outlines if outline is not None]
    as_given, exchanged = shapely.box(left, bottom, right, top), shapely.box(bottom, left, top, right)
    if any(one.intersects(exchanged) and not one.intersects(as_given) for one in known):
        return VectorError(message, swapped)
    if len(known) == len(places):
        # Of the copies of an outline in degrees, the one in the usual range comes first.
        spans = format_bounds(shapely.total_bounds([shapely.get_geometry(one, 0) for one in known]))
    else:
        spans = f"{format_bounds(places[0].outline.bounds)} in {CRS.from_wkt(places[0].crs_wkt).to_string()[:40]}"
    what = "scenes span" if len(places) > 1 else f"{places[0].name} spans"
    return VectorError(
        message,
        f"in {source.to_string()[:40]} the features span {format_bounds(bounds)}, {what} {spans}: "
        f"is the CRS of {quote(path)} right?",
    )


def _outline(place: Place, crs: str, beyond: float = 0.0) -> Any:
    """Return the outline of a place in another CRS as a MultiPolygon; None if it has none there.

    ``beyond`` enlarges it on each side, by a fraction of the longest side. In degrees there are three copies, a turn
    apart; the first is the one in the usual range.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    source, target = CRS.from_wkt(place.crs_wkt), CRS.from_user_input(crs)
    outline = place.outline
    left, bottom, right, top = outline.bounds
    longest = max(right - left, top - bottom)
    if beyond:
        outline = outline.buffer(beyond * longest, join_style="mitre")
    ring = shapely.get_coordinates(shapely.segmentize(outline, longest / _EDGE_STEPS))
    if not source.equals(target, ignore_axis_order=True):
        try:
            to_target = Transformer.from_crs(source, target, always_xy=True)
        except ProjError:
            return None
        ring = np.column_stack(to_target.transform(ring[:, 0], ring[:, 1]))
    if not np.isfinite(ring).all():
        return None
    circle = full_circle(target)
    if circle is None:
        return shapely.multipolygons([shapely.make_valid(shapely.Polygon(ring))])
    ring[:, 0] = np.unwrap(ring[:, 0], period=circle)
    if abs(ring[0, 0] - ring[-1, 0]) > circle / 2:
        return None
    ring[:, 0] -= circle * np.round(ring[:, 0].mean() / circle)
    turns = np.array([(0.0, 0.0), (-circle, 0.0), (circle, 0.0)])
    return shapely.multipolygons([shapely.Polygon(ring + turn) for turn in turns])
