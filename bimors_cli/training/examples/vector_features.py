"""Features to learn from: polygons, lines or points of a vector file, each with its class, in pixels of a scene."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.output.geopackage import pam_disabled
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.vector import Extent, bounds_around, find_layer, format_bounds, one_line, reproject_around

Kind = Literal["polygons", "lines", "points"]

# By shapely's type ids; a collection is none of them.
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
        Where they come from.
    kind : {"polygons", "lines", "points"}
        What all of them are.
    geometries : tuple of object array [n] of shapely geometry
        One array a scene, in pixels (column, row) of that scene; only what reaches it.
    classes : tuple of object array [n] of str
        Their classes, as text.
    """

    path: str
    layer: str
    kind: Kind
    geometries: tuple[Polygons, ...]
    classes: tuple[npt.NDArray[np.object_], ...]


def read_features(spec: str, field: str, scenes: Sequence[SceneInfo]) -> Features:
    """Read the features around scenes, in any CRS; repair what is invalid, leave out what has no class.

    Parameters
    ----------
    spec : str
        A local vector file, or ``file:layer``.
    field : str
        The field of the class.
    scenes : sequence of SceneInfo
        The scenes.

    Raises
    ------
    VectorError
        As `find_layer`; no such field, no CRS, no feature, none that reaches a scene, none with a class, or features
        of different kinds.
    """
    source = open_features(spec, field)
    path, layer = source.path, source.layer
    places = [Extent.of_scene(info) for info in scenes]
    around = [read_around(source, place) for place in places]
    kind = kind_of(path, [geometries for geometries, _ in around])
    read = [
        _reaching(carry_valid(source, geometries, place), classes, info)
        for (geometries, classes), place, info in zip(around, places, scenes, strict=True)
    ]
    if kind is None or not any(len(classes) for _, classes in read):
        raise no_feature_reaches(source, places[0])
    named = [classes.astype(np.bool_) for _, classes in read]
    classless = sum(int((~some).sum()) for some in named)
    if not any(some.any() for some in named):
        raise VectorError(f"{path}: {field} is null in all features at the scenes", "fill it in, or name another field")
    if classless:
        log.warning("%s: %d features without a value of %s are left out", path, classless, field)
    return Features(
        path,
        layer,
        kind,
        tuple(geometries[some] for (geometries, _), some in zip(read, named, strict=True)),
        tuple(classes[some] for (_, classes), some in zip(read, named, strict=True)),
    )


@dataclass(frozen=True)
class FeatureSource:
    """A layer of a vector file with a field of classes.

    Attributes
    ----------
    path, layer, field, crs : str
        Where it is, what the classes are in, and its CRS.
    bounds : tuple of float
        Left, bottom, right, top of all features, in that CRS.
    count : int
        How many features there are.
    """

    path: str
    layer: str
    field: str
    crs: str
    bounds: tuple[float, float, float, float]
    count: int


def open_features(spec: str, field: str, layer: str | None = None) -> FeatureSource:
    """Find a layer of features and check that it can be used.

    Raises
    ------
    VectorError
        As `find_layer`; no such field, no CRS, no feature.
    """
    with pam_disabled():
        path, layer = find_layer(spec, layer)
        try:
            info = pyogrio.read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise _unreadable(path, error) from error
    fields = [str(name) for name in info["fields"]]
    if field not in fields:
        there = f"there are: {', '.join(fields)}" if fields else "it has none: add one for the class"
        raise VectorError(f"{path} has no field {field!r}", there)
    if not info["features"]:
        raise VectorError(f"{path} holds no feature", "draw some of each class")
    if not info["crs"]:
        raise VectorError(f"{path} has no CRS", f"name it: ogr2ogr -a_srs EPSG:... features.gpkg {quote(path)}")
    return FeatureSource(path, layer, field, str(info["crs"]), info["total_bounds"], int(info["features"]))


def read_around(source: FeatureSource, place: Extent) -> tuple[Polygons, npt.NDArray[np.object_]]:
    """Return what lies around a place, as the file has it, and the classes as text; empty for a class that is null.

    Raises
    ------
    VectorError
        The file cannot be read.
    """
    path = source.path
    around = bounds_around(place, source.crs)
    with pam_disabled():
        try:
            _, _, wkb, (values,) = pyogrio.raw.read(
                path, layer=source.layer, columns=[source.field], force_2d=True, bbox=around
            )
            geometries = shapely.from_wkb(wkb)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
            raise _unreadable(path, error) from error
    classes = np.array([_text(value) for value in values.tolist()], object)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    return geometries[there], classes[there]


def carry_valid(source: FeatureSource, geometries: Polygons, place: Extent) -> Polygons:
    """Carry what `read_around` gave to the CRS of the place, repaired where it is invalid; raises as `carry`."""
    invalid = int((~shapely.is_valid(geometries)).sum())
    if invalid:
        log.warning("%s: %d invalid geometries at %s are repaired", source.path, invalid, place.name)
        geometries = _repair(geometries)
    return _repair(reproject_around(geometries, source.crs, place, source.path))


def _reaching(
    geometries: Polygons, classes: npt.NDArray[np.object_], info: SceneInfo
) -> tuple[Polygons, npt.NDArray[np.object_]]:
    """Return what of the features reaches a scene, in its pixels, and the classes."""
    pixels = _to_pixels(geometries, info)
    reaching = shapely.intersects(pixels, shapely.box(0, 0, info.width, info.height))
    return pixels[reaching], classes[reaching]


def _unreadable(path: str, error: Exception) -> VectorError:
    return VectorError(f"cannot read {path}: {one_line(error)}", f"see: ogrinfo -al -so {quote(path)}")


def _text(value: Any) -> str:
    """Return a field's value as a label; empty for null."""
    if value is None or value != value:  # NaN is how a number says null
        return ""
    if isinstance(value, float) and value.is_integer():  # whole numbers come as floats where one of them is null
        value = int(value)
    return str(value).strip()


def _repair(geometries: Polygons) -> Polygons:
    """Return valid geometries; of repaired or clipped polygons the polygonal part, not the lines left beside it."""
    valid: Polygons = np.asarray(shapely.make_valid(geometries), object)
    areas = shapely.get_dimensions(geometries) == 2
    for i in np.flatnonzero(areas & (shapely.get_type_id(valid) == 7)):
        parts = shapely.get_parts(shapely.get_parts(valid[i]))
        polygons = parts[shapely.get_type_id(parts) == 3]
        if len(polygons):
            valid[i] = shapely.union_all(polygons)
    return valid


def _to_pixels(geometries: Polygons, info: SceneInfo) -> Polygons:
    """Carry map coordinates to columns and rows."""
    t = info.transform
    inverse = np.linalg.inv(np.array([[t.a, t.b], [t.d, t.e]]))
    # From the scene's corner on: large coordinates would cost digits.
    return np.asarray(shapely.transform(geometries, lambda xy: (xy - (t.c, t.f)) @ inverse.T), object)


def kind_of(path: str, geometries: Sequence[Polygons]) -> Kind | None:
    """Return what all geometries are, None where there is none. Raises VectorError where they are of several kinds."""
    types = np.concatenate([shapely.get_type_id(some) for some in geometries])
    kinds = sorted({str(_KINDS.get(int(one), "collections")) for one in types})
    if len(kinds) > 1 or "collections" in kinds:
        counts = ", ".join(
            f"{sum(_KINDS.get(int(one), 'collections') == kind for one in types)} {kind}" for kind in kinds
        )
        raise VectorError(f"{path} mixes geometries: {counts}", "keep one kind a file; buffer lines and points first")
    return _KINDS[int(types[0])] if len(types) else None


def no_feature_reaches(source: FeatureSource, place: Extent) -> VectorError:
    """Make the error that says where the features are, and where the place is."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    target = CRS.from_wkt(place.crs_wkt)
    try:
        way = Transformer.from_crs(CRS.from_user_input(source.crs), target, always_xy=True)
        theirs = format_bounds(way.transform_bounds(*source.bounds))
    except ProjError:
        theirs = f"{format_bounds(source.bounds)} in {source.crs[:40]}"
    hint = f"in {target.to_string()[:40]} the {place.kind} spans {format_bounds(place.bounds)}, the features {theirs}"
    return VectorError(f"no feature of {source.path} reaches {place.name}", hint)
