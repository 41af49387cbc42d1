"""The area of interest: selecting tiles by polygons of a vector file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError, one_line
from bimors_cli.scene.around import Extent, footprint, reproject_around
from bimors_cli.scene.feature_counts import FeatureCounts, Place, count_features, give_tiles, nothing_inside
from bimors_cli.scene.geometries import polygonal_parts
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector import find_layer
from bimors_cli.scene.vector_crs import check_crs
from bimors_cli.scene.vector_read import layer_info, read_rows

Rule = Literal["centre", "any", "within"]

_FIX: Final = "repair it in QGIS with Fix geometries"


@dataclass(frozen=True, slots=True)
class Aoi:
    """An area of interest in the CRS of a scene.

    Attributes
    ----------
    path : str
        Path of the vector file.
    layer : str
        Name of its layer.
    geometry : shapely geometry
        Polygon or MultiPolygon, prepared; empty if the area does not intersect the scene.
    """

    path: str
    layer: str
    geometry: Any


@dataclass(frozen=True, slots=True)
class AoiFile:
    """The areas of a vector file, read once for all scenes.

    Attributes
    ----------
    path, layer, crs : str
        Path of the file, name of its layer, and its CRS.
    features : object array [n] of Polygon or MultiPolygon
        The features, valid, in that CRS.
    joined : object array [1] of Polygon or MultiPolygon
        Their union.
    """

    path: str
    layer: str
    crs: str
    features: Polygons
    joined: Polygons

    def at(self, info: SceneInfo, *, allow_miss: bool = False) -> Aoi:
        """Return the area at a scene, in its CRS; parameters and errors are those of `read_aoi`."""
        try:
            area = _polygonal(
                shapely.make_valid(reproject_around(self.joined, self.crs, Extent.of_scene(info), self.path))
            )
        except shapely.errors.ShapelyError as error:  # coordinates too large for GEOS
            raise _invalid(self.path, error) from error
        frame = footprint(info)
        missed = area.is_empty or not area.intersects(frame) or area.touches(frame)
        if missed and not allow_miss:
            raise self.miss([info])
        geometry = shapely.MultiPolygon() if missed else area
        shapely.prepare(geometry)
        return Aoi(self.path, self.layer, geometry)

    def count(self, scenes: Sequence[SceneInfo]) -> FeatureCounts:
        """Count the features that lie outside scenes, or partly in them."""
        return count_features(self.path, self.features, self.crs, [Place.of_scene(info) for info in scenes])

    def miss(self, scenes: Sequence[SceneInfo]) -> VectorError:
        """Make the error for an area outside all scenes."""
        bounds = shapely.total_bounds(self.features).tolist()
        return nothing_inside(self.path, self.crs, bounds, [Place.of_scene(info) for info in scenes])

    def count_without_tile(self, counts: FeatureCounts, centres: Polygons) -> FeatureCounts:
        """Add the features that contain none of the centres of tiles, object array [m] of Point in the file's CRS."""
        inside = give_tiles(self.features, np.zeros(len(self.features)), centres, np.zeros(len(centres)))
        return counts.with_tiles(int((~inside).sum()) - counts.outside)


def read_aoi_file(spec: str) -> AoiFile:
    """Read and dissolve the polygons of a vector file; parameters and errors are those of `read_aoi`."""
    path, layer = find_layer(spec)
    crs, features = _polygons(path, layer)
    # Dissolved before it is reprojected: neighbours with different vertices on a common edge would leave slivers.
    try:
        return AoiFile(path, layer, crs, features, np.array([shapely.union_all(features)], object))
    except shapely.errors.ShapelyError as error:  # coordinates too large for GEOS
        raise _invalid(path, error) from error


def read_aoi(spec: str, info: SceneInfo, *, allow_miss: bool = False) -> Aoi:
    """Read the polygons of a vector file, dissolve them, and reproject them to the CRS of a scene.

    The area is clipped to the surroundings of the scene: a continent in degrees cannot be projected to one UTM zone.

    Parameters
    ----------
    spec : str
        A local file, or ``file:layer``. The layer may be omitted if only one layer has geometry.
    info : SceneInfo
        The scene.
    allow_miss : bool
        Return an empty area instead of an error if it does not intersect the scene (for runs over many scenes).

    Raises
    ------
    VectorError
        The file or layer was not found, its format is not supported, it has no CRS, no polygons or other geometries, or
        it does not intersect the scene.
    """
    return read_aoi_file(spec).at(info, allow_miss=allow_miss)


def tile_mask(aoi: Aoi, polygons: Polygons, rule: Rule = "centre") -> npt.NDArray[np.bool_]:
    """Tell which tiles are in an area of interest.

    Parameters
    ----------
    aoi : Aoi
        The area.
    polygons : object array [n] of Polygon
        The tiles, in the scene's CRS.
    rule : {"centre", "any", "within"}
        The tile's centre is in the area or on its edge; the tile overlaps the area; the whole tile is in the area.

    Returns
    -------
    bool array [n]
        True for the tiles in the area.
    """
    if rule == "centre":
        return np.asarray(shapely.intersects(aoi.geometry, shapely.centroid(polygons)), np.bool_)
    inside = np.asarray(shapely.covers(aoi.geometry, polygons), np.bool_)
    if rule == "within":
        return inside
    chosen = np.asarray(shapely.intersects(aoi.geometry, polygons), np.bool_)
    border = np.flatnonzero(chosen & ~inside)  # touches() is slow: computed for these only
    chosen[border] = ~shapely.touches(aoi.geometry, polygons[border])
    return chosen


def _polygons(path: str, layer: str) -> tuple[str, Polygons]:
    """Return the CRS as text and the polygons made valid, at least one."""
    crs = layer_info(path, layer).crs
    geometries = polygonal_parts(read_rows(path, layer).geometries)
    geometries = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    crs = check_crs(path, crs, shapely.total_bounds(geometries).tolist() if len(geometries) else ())
    if not len(geometries):
        raise VectorError(f"{path} has no polygons", "draw at least one polygon")
    kinds = sorted({geometry.geom_type for geometry in geometries} - {"Polygon", "MultiPolygon"})
    if kinds:
        raise VectorError(
            f"{path} has geometries of type {', '.join(kinds)}",
            "an area of interest needs polygons: buffer points and lines first",
        )
    try:
        return crs, shapely.make_valid(geometries)
    except shapely.errors.ShapelyError as error:
        raise _invalid(path, error) from error


def _invalid(path: str, error: Exception) -> VectorError:
    return VectorError(f"{path} has invalid geometries: {one_line(error)}", _FIX)


def _polygonal(geometry: Any) -> Any:
    """Return the polygonal part of a geometry: clipping and repairing leave points and lines."""
    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])
