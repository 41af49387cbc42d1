"""Vector features with a class: polygons, lines or points of a file, in pixels of a scene."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.options.class_names import ClassNames, code_text
from bimors_cli.output.geopackage import pam_disabled
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector import (
    Extent,
    bounds_around,
    check_crs,
    check_spec,
    find_layer,
    format_bounds,
    one_line,
    polygonal_parts,
    reproject_around,
)
from bimors_cli.training.examples.class_texts import class_texts

Kind = Literal["polygons", "lines", "points"]

# By shapely's type ids; geometry collections are not supported.
_KINDS: Final[dict[int, Kind]] = {
    0: "points", 4: "points", 1: "lines", 2: "lines", 5: "lines", 3: "polygons", 6: "polygons",
}  # fmt: skip

log = logging.getLogger("bimors")


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
    """

    path: str
    layer: str
    kind: Kind
    geometries: tuple[Polygons, ...]
    classes: tuple[npt.NDArray[np.object_], ...]
    ids: tuple[npt.NDArray[np.int64], ...]


def read_features(spec: str, field: str, scenes: Sequence[SceneInfo], names: ClassNames | None = None) -> Features:
    """Read the features at scenes, in any CRS; invalid geometries are repaired, features without a class skipped.

    Parameters
    ----------
    spec : str
        A local vector file, or ``file:layer``.
    field : str
        The field that holds the class name or code.
    scenes : sequence of SceneInfo
        The scenes.
    names : ClassNames, optional
        The names of the codes in the field; features with other codes are skipped.

    Raises
    ------
    VectorError
        As `open_features`; no feature intersects a scene or has a class; the features have different geometry types;
        no code has a name.
    """
    source = open_features(spec, field)
    path, layer = source.path, source.layer
    places = [Extent.of_scene(info) for info in scenes]
    around = [read_around(source, place) for place in places]
    kind = kind_of(path, [geometries for geometries, _, _ in around])
    read = [
        _intersecting(transform_valid(source, geometries, place), classes, ids, info)
        for (geometries, classes, ids), place, info in zip(around, places, scenes, strict=True)
    ]
    if kind is None or not any(len(classes) for _, classes, _ in read):
        raise no_feature_intersects(source, places[0])
    has_class = [classes.astype(np.bool_) for _, classes, _ in read]
    without = sum(int((~rows).sum()) for rows in has_class)
    if not any(rows.any() for rows in has_class):
        raise VectorError(f"{path}: {field} is null in all features at the scenes", "fill it in, or use another field")
    if without:
        log.warning("%s: skipped %d features with null in field %s", path, without, field)
    if names is not None:
        named = _with_names(source, [classes for _, classes, _ in read], names)
        read = [(geometries, classes, ids) for (geometries, _, ids), classes in zip(read, named, strict=True)]
        has_class = [classes.astype(np.bool_) for classes in named]
    elif source.is_numeric:
        log.warning("%s, %s: class codes without names: give --class-names FILE", path, field)
    return Features(
        path,
        layer,
        kind,
        tuple(geometries[rows] for (geometries, _, _), rows in zip(read, has_class, strict=True)),
        tuple(classes[rows] for (_, classes, _), rows in zip(read, has_class, strict=True)),
        tuple(ids[rows] for (_, _, ids), rows in zip(read, has_class, strict=True)),
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
    """

    path: str
    layer: str
    field: str
    crs: str
    bounds: tuple[float, float, float, float]
    count: int
    is_numeric: bool = False


def open_features(spec: str, field: str, layer: str | None = None) -> FeatureSource:
    """Find a layer of features and check that it can be used.

    Raises
    ------
    VectorError
        As `find_layer`; the layer has no such field, no CRS or no features.
    """
    check_spec(spec, layer)  # before pyogrio, and with it geopandas, is imported

    import pyogrio
    import pyogrio.errors

    with pam_disabled():
        path, layer = find_layer(spec, layer)
        try:
            info = pyogrio.read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise _unreadable(path, error) from error
    fields = [str(name) for name in info["fields"]]
    if field not in fields:
        hint = f"its fields are {', '.join(fields)}" if fields else "add a field for the class name"
        raise VectorError(f"{path} has no field {field!r}", hint)
    if not info["features"]:
        raise VectorError(f"{path} holds no features", "draw some of each class")
    crs = check_crs(path, info["crs"], info["total_bounds"])
    # A list of strings is "list(str)", which numpy does not know.
    is_numeric = str(info["dtypes"][fields.index(field)]).startswith(("int", "uint", "float"))
    return FeatureSource(path, layer, field, crs, info["total_bounds"], int(info["features"]), is_numeric)


def read_around(
    source: FeatureSource, place: Extent
) -> tuple[Polygons, npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return the features around a place in the CRS of the file, their classes as text (empty for null) and their FIDs.

    Raises
    ------
    VectorError
        The file cannot be read.
    """
    import pyogrio.errors
    import pyogrio.raw

    path = source.path
    around = bounds_around(place, source.crs)
    with pam_disabled():
        try:
            _, ids, wkb, (values,) = pyogrio.raw.read(
                path, layer=source.layer, columns=[source.field], force_2d=True, bbox=around, return_fids=True
            )
            geometries = polygonal_parts(shapely.from_wkb(wkb))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
            raise _unreadable(path, error) from error
    classes = class_texts(values.tolist(), ids.tolist(), path, source.field)
    present = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    return geometries[present], classes[present], ids[present]


def transform_valid(source: FeatureSource, geometries: Polygons, place: Extent) -> Polygons:
    """Transform what `read_around` returned to the CRS of the place, with invalid geometries repaired.

    Raises as `carry`.
    """
    invalid = int((~shapely.is_valid(geometries)).sum())
    if invalid:
        log.warning("%s: repaired %d invalid geometries at %s", source.path, invalid, place.name)
        geometries = _repair(geometries)
    return _repair(reproject_around(geometries, source.crs, place, source.path))


def _intersecting(
    geometries: Polygons, classes: npt.NDArray[np.object_], ids: npt.NDArray[np.int64], info: SceneInfo
) -> tuple[Polygons, npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return the features that intersect a scene, in its pixels, their classes and their FIDs."""
    pixels = _to_pixels(geometries, info)
    rows = shapely.intersects(pixels, shapely.box(0, 0, info.width, info.height))
    return pixels[rows], classes[rows], ids[rows]


def _unreadable(path: str, error: Exception) -> VectorError:
    return VectorError(f"cannot read {path}: {one_line(error)}", f"see: ogrinfo -al -so {quote(path)}")


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
        log.warning("%s, %s: skipped features of codes without a name: %s", source.path, source.field, shown)
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


def no_feature_intersects(source: FeatureSource, place: Extent) -> VectorError:
    """Make the error that reports the bounds of the features and of the place."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    target = CRS.from_wkt(place.crs_wkt)
    crs = CRS.from_user_input(source.crs)
    left, bottom, right, top = source.bounds
    if crs.is_geographic:
        here = bounds_around(place, source.crs)
        swapped = shapely.box(bottom, left, top, right)
        if here is not None and swapped.intersects(shapely.box(*here)):
            return VectorError(
                f"no feature of {source.path} intersects {place.name}",
                "are latitude and longitude swapped? Swap X and Y coordinates, in the Processing toolbox of QGIS, "
                "exchanges them",
            )
    try:
        to_place = Transformer.from_crs(CRS.from_user_input(source.crs), target, always_xy=True)
        theirs = format_bounds(to_place.transform_bounds(*source.bounds))
    except ProjError:
        theirs = f"{format_bounds(source.bounds)} in {source.crs[:40]}"
    hint = f"in {target.to_string()[:40]} the {place.kind} spans {format_bounds(place.bounds)}, the features {theirs}"
    return VectorError(f"no feature of {source.path} intersects {place.name}", hint)
