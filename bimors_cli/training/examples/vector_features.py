"""Vector features with a class: polygons, lines or points of a file, in pixels of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.options.class_names import ClassNames, code_text
from bimors_cli.run_warnings import warn
from bimors_cli.scene.around import Extent, bounds_around, reproject_around
from bimors_cli.scene.feature_counts import FeatureCounts, Place, count_features, nothing_inside
from bimors_cli.scene.geometries import polygonal_parts
from bimors_cli.scene.points_csv import PointTable, is_point_table, read_point_table
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector import find_layer
from bimors_cli.scene.vector_crs import SWAPPED, check_crs
from bimors_cli.scene.vector_fields import find_field
from bimors_cli.scene.vector_read import Field, layer_info, read_rows
from bimors_cli.training.examples.class_texts import class_texts

Kind = Literal["polygons", "lines", "points"]

# By shapely's type ids; geometry collections are not supported.
_KINDS: Final[dict[int, Kind]] = {
    0: "points", 4: "points", 1: "lines", 2: "lines", 5: "lines", 3: "polygons", 6: "polygons",
}  # fmt: skip


@dataclass(frozen=True)
class Features:
    """Features of one kind around some scenes.

    Attributes
    ----------
    path, layer : str
        File and layer.
    kind : {"polygons", "lines", "points"}
        Type of all geometries.
    geometries : tuple of object array [n] of shapely geometry
        One array per scene, in pixels (column, row) of that scene; only features that intersect it.
    classes : tuple of object array [n] of str
        Their classes, as text.
    ids : tuple of int array [n]
        Their numbers in the file (GDAL's FID).
    counts : FeatureCounts
        How many features lie outside the scenes, or partly in them.
    """

    path: str
    layer: str
    kind: Kind
    geometries: tuple[Polygons, ...]
    classes: tuple[npt.NDArray[np.object_], ...]
    ids: tuple[npt.NDArray[np.int64], ...]
    counts: FeatureCounts


def read_features(
    spec: str,
    field: str,
    scenes: Sequence[SceneInfo],
    names: ClassNames | None = None,
    points_crs: str | None = None,
) -> Features:
    """Read the features at scenes, in any CRS; invalid geometries are repaired, features without a class skipped.

    Parameters
    ----------
    spec : str
        A local vector file, or ``file:layer``, or a CSV table of points.
    field : str
        The field that holds the class name or code.
    scenes : sequence of SceneInfo
        The scenes.
    names : ClassNames, optional
        The names of the codes in the field; features with other codes are skipped.
    points_crs : str, optional
        CRS of the coordinates of a CSV table.

    Raises
    ------
    VectorError
        As `open_features`; no feature intersects a scene or has a class; the features have different geometry types;
        no code has a name.
    """
    source = open_features(spec, field, points_crs=points_crs)
    path, layer = source.path, source.layer
    places = [Extent.of_scene(info) for info in scenes]
    around = [read_around(source, place) for place in places]
    kind = kind_of(path, [geometries for geometries, _, _ in around])
    read = [
        _intersecting(transform_valid(source, geometries, place), classes, ids, info)
        for (geometries, classes, ids), place, info in zip(around, places, scenes, strict=True)
    ]
    if kind is None or not any(len(classes) for _, classes, _ in read):
        raise source.outside([Place.of_scene(info) for info in scenes])
    has_class = [classes.astype(np.bool_) for _, classes, _ in read]
    without = sum(int((~rows).sum()) for rows in has_class)
    if not any(rows.any() for rows in has_class):
        raise VectorError(f"{path}: {field} is null in all features at the scenes", "fill it in, or use another field")
    if without:
        warn("%s: skipped %d features with null in field %s: fill it in to use them", path, without, field)
    if names is not None:
        named = _with_names(source, [classes for _, classes, _ in read], names)
        read = [(geometries, classes, ids) for (geometries, _, ids), classes in zip(read, named, strict=True)]
        has_class = [classes.astype(np.bool_) for classes in named]
    elif source.is_numeric:
        warn("%s, %s: class codes without names: give --class-names FILE", path, field)
    return Features(
        path,
        layer,
        kind,
        tuple(geometries[rows] for (geometries, _, _), rows in zip(read, has_class, strict=True)),
        tuple(classes[rows] for (_, classes, _), rows in zip(read, has_class, strict=True)),
        tuple(ids[rows] for (_, _, ids), rows in zip(read, has_class, strict=True)),
        _count(source, around, scenes),
    )


def _count(
    source: FeatureSource,
    around: Sequence[tuple[Polygons, npt.NDArray[np.object_], npt.NDArray[np.int64]]],
    scenes: Sequence[SceneInfo],
) -> FeatureCounts:
    """Count the features by how they lie in the scenes; ``around`` are those around each."""
    _, first = np.unique(np.concatenate([ids for _, _, ids in around]), return_index=True)
    geometries = np.concatenate([geometries for geometries, _, _ in around])[first]
    return count_features(
        source.path, geometries, source.crs, [Place.of_scene(info) for info in scenes], total=source.count
    )


@dataclass(frozen=True)
class FeatureSource:
    """A layer of a vector file with a field of class names.

    Attributes
    ----------
    path, layer, field, crs : str
        File, layer, field of the class names, and CRS.
    bounds : tuple of float
        Left, bottom, right, top of all features, in that CRS.
    count : int
        Number of features.
    is_numeric : bool
        Whether the field holds numbers.
    table : PointTable or None
        The features themselves, if the file is a CSV table.
    """

    path: str
    layer: str
    field: str
    crs: str
    bounds: tuple[float, float, float, float]
    count: int
    is_numeric: bool = False
    table: PointTable | None = None

    def outside(self, places: Sequence[Place]) -> VectorError:
        """Make the error for features that lie outside all places."""
        from pyproj import CRS

        swapped = SWAPPED
        if self.table is not None:
            what = "latitude and longitude" if CRS.from_user_input(self.crs).is_geographic else "x and y"
            swapped = f"are {what} swapped? Exchange the titles of the two columns in the first line"
        return nothing_inside(self.path, self.crs, self.bounds, places, swapped)


def open_features(spec: str, field: str, layer: str | None = None, points_crs: str | None = None) -> FeatureSource:
    """Find a layer of features and check that it can be used; a CSV table is read as a whole.

    Raises
    ------
    VectorError
        As `find_layer`, `find_field` or `read_point_table`; the layer has no CRS or no features; ``points_crs`` is
        given for another file than a CSV table.
    """
    if is_point_table(spec):
        return _open_table(spec, field, points_crs)
    if points_crs is not None:
        raise VectorError(f"--points-crs has no effect with {spec}, which states its CRS", "leave it out")
    path, layer = find_layer(spec, layer)
    info = layer_info(path, layer)
    found = find_field(path, layer, info.fields, field)
    if not info.count:
        raise VectorError(f"{path} holds no features", "draw some of each class")
    crs = check_crs(path, info.crs, info.bounds)
    return FeatureSource(path, layer, field, crs, info.bounds, info.count, found.is_numeric)


def _open_table(path: str, field: str, points_crs: str | None) -> FeatureSource:
    table = read_point_table(path, points_crs)
    find_field(path, table.layer, [Field(name, "text") for name in table.fields], field)
    return FeatureSource(
        path, table.layer, field, table.crs, table.bounds, len(table.ids), table.holds_codes(field), table
    )


def read_around(
    source: FeatureSource, place: Extent
) -> tuple[Polygons, npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return the features around a place in the CRS of the file, their classes as text (empty for null) and their FIDs.

    Raises
    ------
    VectorError
        The file cannot be read.
    """
    path = source.path
    around = bounds_around(place, source.crs, source.bounds)
    if source.table is not None:
        near, texts, numbers = source.table.within(around, source.field)
        return near, class_texts(texts, numbers.tolist(), path, source.field), numbers
    rows = read_rows(path, source.layer, source.field, around)
    geometries = polygonal_parts(rows.geometries)
    classes = class_texts(rows.values or (), rows.ids.tolist(), path, source.field)
    present = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    return geometries[present], classes[present], rows.ids[present]


def transform_valid(source: FeatureSource, geometries: Polygons, place: Extent) -> Polygons:
    """Transform what `read_around` returned to the CRS of the place, with invalid geometries repaired.

    Raises as `carry`.
    """
    invalid = int((~shapely.is_valid(geometries)).sum())
    if invalid:
        warn(
            "%s: repaired %d invalid geometries at %s: look at them with Check validity in QGIS",
            source.path,
            invalid,
            place.name,
        )
        geometries = _repair(geometries)
    return _repair(reproject_around(geometries, source.crs, place, source.path))


def _intersecting(
    geometries: Polygons, classes: npt.NDArray[np.object_], ids: npt.NDArray[np.int64], info: SceneInfo
) -> tuple[Polygons, npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return the features that intersect a scene, in its pixels, their classes and their FIDs."""
    pixels = _to_pixels(geometries, info)
    rows = shapely.intersects(pixels, shapely.box(0, 0, info.width, info.height))
    return pixels[rows], classes[rows], ids[rows]


def _with_names(
    source: FeatureSource, classes: Sequence[npt.NDArray[np.object_]], names: ClassNames
) -> list[npt.NDArray[np.object_]]:
    """Return the names of codes; empty for a code without one, and a warning.

    Raises
    ------
    VectorError
        No code has a name.
    """
    table = names.as_dict()
    codes = {str(code) for each in classes for code in each if code}
    unnamed = sorted(code for code in codes if code_text(code) not in table)
    shown = ", ".join(unnamed[:20])
    if codes and len(unnamed) == len(codes):
        raise VectorError(
            f"{source.path}, {source.field}: none of its codes has a name ({names.source})",
            f"the codes at the scenes are {shown}",
        )
    if unnamed:
        warn(
            "%s, %s: skipped features of codes without a name: %s; add them to --class-names",
            source.path,
            source.field,
            shown,
        )
    return [np.array([table.get(code_text(str(code)), "") for code in each], object) for each in classes]


def _repair(geometries: Polygons) -> Polygons:
    """Return valid geometries; of repaired or clipped polygons the polygonal part, without left-over lines."""
    valid: Polygons = np.asarray(shapely.make_valid(geometries), object)
    areas = shapely.get_dimensions(geometries) == 2
    for i in np.flatnonzero(areas & (shapely.get_type_id(valid) == 7)):
        parts = shapely.get_parts(shapely.get_parts(valid[i]))
        polygons = parts[shapely.get_type_id(parts) == 3]
        if len(polygons):
            valid[i] = shapely.union_all(polygons)
    return valid


def _to_pixels(geometries: Polygons, info: SceneInfo) -> Polygons:
    """Transform map coordinates to columns and rows."""
    t = info.transform
    inverse = np.linalg.inv(np.array([[t.a, t.b], [t.d, t.e]]))
    # Relative to the scene's corner: large coordinates would lose digits.
    return np.asarray(shapely.transform(geometries, lambda xy: (xy - (t.c, t.f)) @ inverse.T), object)


def kind_of(path: str, geometries: Sequence[Polygons]) -> Kind | None:
    """Return the type of all geometries, None without any. Raises VectorError if there are several types."""
    types = np.concatenate([shapely.get_type_id(some) for some in geometries])
    kinds = sorted({str(_KINDS.get(int(one), "collections")) for one in types})
    if len(kinds) > 1 or "collections" in kinds:
        counts = ", ".join(
            f"{sum(_KINDS.get(int(one), 'collections') == kind for one in types)} {kind}" for kind in kinds
        )
        raise VectorError(f"{path} mixes geometry types: {counts}", "use one type per file; buffer lines and points")
    return _KINDS[int(types[0])] if len(types) else None
