"""Reading vector files with OGR: layers, fields, geometries and values. What OGR cannot read is a one-line error."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError, one_line
from bimors_cli.run_warnings import warn
from bimors_cli.scene.polygons import Polygons

# GML: nothing is written next to the file (.gfs), and nothing is downloaded.
_OPTIONS: Final[dict[str, dict[str, str]]] = {".gml": {"WRITE_GFS": "NO", "DOWNLOAD_SCHEMA": "NO"}}
_SURFACES: Final = {15: "a polyhedral surface", 16: "a TIN", 17: "a triangle"}  # of ISO WKB
_ISO_STEP: Final = 1000  # Z, M and ZM are 1000, 2000 and 3000 more
_EWKB_FLAGS: Final = 0x1FFFFFFF
_EXACT: Final = float(1 << 53)  # float64 holds whole numbers up to this
_TYPES: Final = {
    "OFTInteger": "integer", "OFTInteger64": "integer", "OFTReal": "real", "OFTString": "text", "OFTDate": "date",
    "OFTTime": "time", "OFTDateTime": "date and time", "OFTBinary": "binary", "OFTStringList": "list of texts",
    "OFTIntegerList": "list of integers", "OFTInteger64List": "list of integers", "OFTRealList": "list of reals",
}  # fmt: skip
_SUBTYPES: Final = {"OFSTBoolean": "boolean", "OFSTJSON": "JSON"}
_UNCLOSED: Final = re.compile("non closed ring", re.IGNORECASE)
_MISREAD: Final = re.compile("corrupt|truncat|error|fail|invalid|bad ", re.IGNORECASE)

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class Field:
    """A field of a layer: its name and its type in words, such as ``text``, ``integer``, ``boolean``."""

    name: str
    kind: str

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind in ("integer", "real")


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a vector file.

    Attributes
    ----------
    fields : tuple of Field
        Its fields.
    crs : str or None
        Its CRS; that of TopoJSON without one is WGS 84, as in RFC 7946.
    bounds : tuple of float
        Left, bottom, right, top of all features; NaN if there are none.
    count : int
        Number of features.
    """

    fields: tuple[Field, ...]
    crs: str | None
    bounds: tuple[float, float, float, float]
    count: int


@dataclass(frozen=True)
class LayerRows:
    """N features.

    Attributes
    ----------
    geometries : object array [N] of shapely geometry or None
        In two dimensions, curves as lines; not valid in all cases.
    ids : int array [N]
        Their numbers in the file (GDAL's FID).
    values : list of length N, or None
        Of the field, None for null; None if no field was read.
    """

    geometries: Polygons
    ids: npt.NDArray[np.int64]
    values: list[Any] | None


def list_layers(path: str) -> list[tuple[str, str | None]]:
    """Return the names of the layers, and their geometry types (None for a table). Raises VectorError."""
    import pyogrio

    with _reading(path, "open"):
        # The layers of GML are listed without open options: from memory nothing is written next to the file.
        source = Path(path).read_bytes() if _suffix(path) in _OPTIONS and os.path.isfile(path) else path
        return [(str(name), geometry) for name, geometry in pyogrio.list_layers(source)]


def layer_info(path: str, layer: str) -> LayerInfo:
    """Return what a layer holds. Raises VectorError."""
    import pyogrio

    with _reading(path):
        info = pyogrio.read_info(
            path, layer=layer, force_feature_count=True, force_total_bounds=True, **_OPTIONS.get(_suffix(path), {})
        )
        kinds = [
            _SUBTYPES.get(subtype, _TYPES.get(kind, str(kind)))
            for kind, subtype in zip(info["ogr_types"], info["ogr_subtypes"], strict=True)
        ]
        fields = [Field(str(name), kind) for name, kind in zip(info["fields"], kinds, strict=True)]
        bounds = info["total_bounds"] or (np.nan,) * 4
        crs = info["crs"] or ("EPSG:4326" if info["driver"] == "TopoJSON" else None)
        return LayerInfo(tuple(fields), crs, bounds, max(0, int(info["features"])))


def read_rows(
    path: str, layer: str, field: str | None = None, bounds: tuple[float, float, float, float] | None = None
) -> LayerRows:
    """Read the geometries of a layer, and the values of one of its fields.

    Parameters
    ----------
    path, layer : str
        File and layer, as `find_layer` returns them.
    field : str, optional
        The field, one of `layer_info`.
    bounds : tuple of float, optional
        Left, bottom, right, top in the CRS of the layer: only features whose bounds intersect these are read.

    Raises
    ------
    VectorError
        The file cannot be read; a geometry is of a type without a plane polygon, line or point, or has infinite
        coordinates; the values are binary, or whole numbers that are too large.
    """
    import pyogrio

    names = [] if field is None else [each.name for each in layer_info(path, layer).fields]
    # OGR's list of ignored fields does not distinguish upper and lower case: "Class" would empty "class" as well.
    alone = sum(name.lower() == field.lower() for name in names) == 1 if field is not None else True
    columns = [] if field is None else [field] if alone else None
    with _reading(path):
        meta, ids, wkb, data = pyogrio.raw.read(
            path, layer=layer, columns=columns, force_2d=True, bbox=bounds, return_fids=True,
            **_OPTIONS.get(_suffix(path), {}),
        )  # fmt: skip
        geometries = _geometries(path, wkb, ids)
        if field is None:
            return LayerRows(geometries, ids, None)
        at = [str(name) for name in meta["fields"]].index(field)
        kind, subtype = meta["ogr_types"][at], meta["ogr_subtypes"][at]
        return LayerRows(geometries, ids, _values(data[at], kind, subtype, f"{path}: {field}"))


@contextmanager
def _reading(path: str, verb: str = "read") -> Iterator[None]:
    """Turn what OGR raises into a one-line error, and what it warns of into one warning."""
    import pyogrio.errors

    before = pyogrio.get_gdal_config_option("GDAL_PAM_ENABLED")
    # GDAL 3.12 writes the metadata of a GeoPackage to a.gpkg.aux.xml when it lists layers.
    pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": False})
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except VectorError:
        raise
    except (RuntimeError, ValueError, OSError, OverflowError, shapely.errors.ShapelyError) as error:
        message, hint = _explain(path, verb, one_line(error))
        raise VectorError(message, hint) from error
    finally:
        pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": before})
    for message in dict.fromkeys(one_line_of(each) for each in caught):
        if not _UNCLOSED.search(message) and _MISREAD.search(message):
            warn("%s: GDAL says: %s; check it with ogrinfo -al -so", path, message)
        else:
            log.info("%s: GDAL says: %s", path, message)


def one_line_of(warning: warnings.WarningMessage) -> str:
    """Return the text of a Python warning as one line."""
    return " ".join(str(warning.message).split())


def _explain(path: str, verb: str, reason: str) -> tuple[str, str]:
    """Return message and hint for a reason that OGR gives."""
    stem, suffix = os.path.splitext(path)
    if "SHAPE_RESTORE_SHX" in reason:
        hint = (
            f"copy it from where the shapefile is, or create it: ogrinfo --config SHAPE_RESTORE_SHX YES {quote(path)}"
        )
        return f"{path} has no {os.path.basename(stem)}.shx next to it", hint
    if suffix.lower() == ".gpkg" and holds_rasters(path):
        return f"{path} holds rasters, no features", f"list its content: gdalinfo {quote(path)}"
    if suffix.lower() == ".tab" and ("not recognized" in reason or ".DAT" in reason.upper()):
        return f"cannot open {path}: {reason}", "copy its .dat, .map and .id files as well"
    if "malformed" in reason or "parsing feature" in reason or "Failed to read GeoJSON" in reason:
        return f"{path} is damaged or incomplete: {reason.split('; ')[-1]}", "copy the file again"
    return f"cannot {verb} {path}: {reason.split('; It might help')[0]}", f"inspect it: ogrinfo -al -so {quote(path)}"


def holds_rasters(path: str) -> bool:
    """Tell whether a GeoPackage has rasters, and nothing else."""
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as database:
            kinds = {kind for (kind,) in database.execute("SELECT data_type FROM gpkg_contents")}
    except (sqlite3.Error, ValueError):
        return False
    return bool(kinds) and kinds <= {"tiles", "2d-gridded-coverage"}


def _geometries(path: str, wkb: npt.NDArray[np.object_], ids: npt.NDArray[np.int64]) -> Polygons:
    # Rings that are not closed are closed. What cannot be read at all is None.
    found: Polygons = np.asarray(shapely.from_wkb(wkb, on_invalid="fix"), object)
    for row in np.flatnonzero(shapely.is_missing(found)):
        if wkb[row] is not None:
            what = _SURFACES.get(_wkb_type(wkb[row]), "a geometry that cannot be read")
            raise VectorError(
                f"{path}: feature {ids[row]} is {what}",
                f"convert it: ogr2ogr -dim XY -nlt MULTIPOLYGON features.gpkg {quote(path)}",
            )
    coordinates, owner = shapely.get_coordinates(found, return_index=True)
    if len(coordinates) and not np.isfinite(coordinates).all():
        fid = ids[owner[~np.isfinite(coordinates).all(axis=1)][0]]
        raise VectorError(
            f"{path}: feature {fid} has a vertex with infinite or NaN coordinates",
            "repair it in QGIS with Fix geometries, or delete the feature",
        )
    return found


def _wkb_type(wkb: bytes) -> int:
    code = int.from_bytes(wkb[1:5], "little" if wkb[0] else "big")
    return (code & _EWKB_FLAGS) % _ISO_STEP


def _values(array: npt.NDArray[Any], kind: str, subtype: str, where: str) -> list[Any]:
    """Return values as Python objects of the field's type; pyogrio gives integers with nulls as floats."""
    if kind == "OFTBinary":
        raise VectorError(f"{where} is a binary field", "use a field of text or whole numbers")
    if array.dtype == np.float32:  # 1.1 stays 1.1
        return [None if np.isnan(value) else float(str(value)) for value in array]
    values: Sequence[Any] = array.tolist()
    if kind not in ("OFTInteger", "OFTInteger64") or array.dtype.kind == "O":
        return list(values)
    present = [value for value in values if value == value]
    if array.dtype.kind == "f" and any(abs(value) >= _EXACT for value in present):
        raise VectorError(
            f"{where} has nulls and whole numbers above 2^53, which would be rounded", "write it into a text field"
        )
    make = bool if subtype == "OFSTBoolean" else int
    return [None if value != value else make(value) for value in values]


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
