"""The layer as a GeoPackage that carries its provenance and its QGIS style."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyogrio
import pyogrio.errors
import pyogrio.raw
import pyproj
import shapely

from bimors_cli.errors import InputError, OutputError
from bimors_cli.output.atomic import replacing
from bimors_cli.output.predictions import add_predictions
from bimors_cli.output.rows import LayerSpec, check_frame, clean_text, columns, to_frame

if TYPE_CHECKING:
    import geopandas

GEOMETRY_COLUMN: Final = "geom"
# So that our keys are told from those that GDAL and other programs put there.
METADATA_PREFIX: Final = "bimors_"

_STYLE_TABLE: Final = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
  styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""


def write_geopackage(
    path: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSpec, style_qml: str, *, overwrite: bool
) -> int:
    """Write the layer, its provenance and its style; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        The file to write. An earlier file there is replaced as a whole, other layers in it included.
    chunks : iterable of GeoDataFrame
        From `rows.to_frame`, one in memory at a time; an append costs 12 ms, so take 10 000 rows or so. None at all
        gives an empty layer with all columns.
    spec : LayerSpec
        Name, CRS, columns and provenance (readable with `read_provenance`, or as dataset metadata with the prefix
        ``bimors_``).
    style_qml : str
        The style that QGIS applies when the layer is opened; see `style.qml`.
    overwrite : bool
        Whether an earlier file may be replaced.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is off.
    OutputError
        The file cannot be written, or what was read back is not what was written. An error that ``chunks`` itself
        raises passes unchanged. In all these cases an earlier file is as it was.
    """
    with replacing(path, overwrite=overwrite) as built:
        return _build(built, chunks, spec, style_qml)


def read_provenance(path: Path) -> dict[str, str]:
    """Read back the metadata of a layer that bimors wrote; empty for another program's file.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        # By number: looking for the layer's name first makes GDAL 3.12 leave an .aux.xml beside the file.
        found = pyogrio.read_info(path, layer=0)["dataset_metadata"] or {}
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path}: no layer can be read from it") from error
    return {key.removeprefix(METADATA_PREFIX): text for key, text in found.items() if key.startswith(METADATA_PREFIX)}


def choose_layer(path: Path, layer: str | None, written: str) -> str:
    """Return the layer that is meant: the one named, the one ``written`` by bimors, or the only one, renamed since.

    Raises
    ------
    InputError
        There is no such layer.
    """
    with leaving_nothing_beside():
        names = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
    wanted = written if layer is None else layer
    if wanted in names:
        return wanted
    if layer is None and len(names) == 1:
        return names[0]
    raise InputError(f"{path} has no layer {wanted!r}", f"name one with --layer; there are: {', '.join(names)}")


def read_layer(path: Path, layer: str, names: Sequence[str]) -> geopandas.GeoDataFrame:
    """Read columns of a layer that bimors wrote, and its polygons; leaves nothing beside the file.

    Raises
    ------
    InputError
        The file cannot be read, or holds no such layer or column.
    """
    with leaving_nothing_beside():
        try:
            return pyogrio.read_dataframe(path, layer=layer, columns=list(names))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}", "give the .gpkg that bimors wrote") from error


@contextmanager
def leaving_nothing_beside() -> Iterator[None]:
    """Keep GDAL 3.12 from saving a file's own metadata once more, as out.gpkg.aux.xml, when it looks for layers."""
    before = pyogrio.get_gdal_config_option("GDAL_PAM_ENABLED")
    pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": False})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": before})


def _build(built: Path, chunks: Iterable[geopandas.GeoDataFrame], spec: LayerSpec, style_qml: str) -> int:
    written = 0
    # The empty frame first: it makes the table, so that no chunk is special and none at all is fine.
    with _as_output_error(built):
        _append(built, to_frame([], np.empty(0, dtype=object), spec), spec, create=True)
    for chunk in chunks:  # outside of the translation: the caller's errors stay the caller's
        check_frame(chunk, spec)
        with _as_output_error(built):
            _append(built, chunk, spec)
        written += len(chunk)
    # GDAL has closed the file: Python's SQLite and GDAL's own must never have it open together.
    with _as_output_error(built):
        _add_style(built, spec, style_qml)
        add_predictions(built, spec.name)
        _verify(built, spec, written)
    return written


def _append(built: Path, frame: geopandas.GeoDataFrame, spec: LayerSpec, *, create: bool = False) -> None:
    names = list(columns(spec))
    first: dict[str, Any] = {}
    if create:
        provenance = {METADATA_PREFIX + key: clean_text(text) for key, text in spec.metadata.items()}
        first = {
            "dataset_metadata": provenance or None,
            # 1.4 is GDAL's default, but GDAL before 3.7 (QGIS 3.22) warns about it.
            "dataset_options": {"VERSION": "1.3"},
            "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
        }
    # Not write_dataframe: it hands a CRS on as a near EPSG code or as WKT 1, which cannot say all that WKT 2 can.
    pyogrio.raw.write(
        built,
        geometry=shapely.to_wkb(frame.geometry.to_numpy()),
        field_data=[frame[name].to_numpy() for name in names],
        fields=np.array(names, dtype=object),
        layer=spec.name,
        driver="GPKG",
        geometry_type="MultiPolygon" if spec.multipart else "Polygon",
        promote_to_multi=spec.multipart,
        crs=spec.crs_wkt,
        append=not create,
        **first,
    )


def _add_style(built: Path, spec: LayerSpec, style_qml: str) -> None:
    with closing(sqlite3.connect(built)) as database, database:
        (changed,) = database.execute(
            "SELECT last_change FROM gpkg_contents WHERE table_name = ?", (spec.name,)
        ).fetchone()
        database.execute(_STYLE_TABLE)
        # The layer's own time, not now: with OGR_CURRENT_DATE two runs give equal tables.
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change, srs_id) VALUES (?, ?, ?, ?, ?)",
            ("layer_styles", "attributes", "layer_styles", changed, 0),
        )
        # QGIS looks for its style by empty catalogue and schema, the table and the geometry column.
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner, update_time)"
            " VALUES ('', '', ?, ?, 'labels', ?, '', TRUE, 'a colour a label, by bimors', '', ?)",
            (spec.name, GEOMETRY_COLUMN, style_qml, changed),
        )


def _verify(built: Path, spec: LayerSpec, written: int) -> None:
    """Read the finished file back: SQLite's structure, the number of rows, the CRS."""
    with closing(sqlite3.connect(built)) as database:
        (mode,) = database.execute("PRAGMA journal_mode = DELETE").fetchone()
        (state,) = database.execute("PRAGMA integrity_check").fetchone()
    if (mode, state) != ("delete", "ok"):
        raise OutputError(f"{built.name}: the file is damaged as written: {state}, journal {mode}")
    # All fids are read: the count in the table of contents is what GDAL believes, not what is there.
    meta, fids, _, _ = pyogrio.raw.read(built, layer=spec.name, columns=[], read_geometry=False, return_fids=True)
    if len(fids) != written:
        raise OutputError(f"{built.name}: {len(fids)} rows in the file, {written} were written")
    wanted, found = pyproj.CRS.from_user_input(spec.crs_wkt), meta["crs"]
    if found is None or not _same_place(pyproj.CRS.from_user_input(found), wanted):
        raise OutputError(
            f"{built.name}: a GeoPackage cannot hold the CRS {wanted.name!r} as it is", "give another with --dst-crs"
        )


def _same_place(found: pyproj.CRS, wanted: pyproj.CRS) -> bool:
    """Tell whether x and y mean the same in both; the order of the axes on paper does not matter, GDAL's is x, y."""
    if found.equals(wanted, ignore_axis_order=True):
        return True
    # PROJ overlooks the order of geographic axes only. But files of GDAL before 3 have codes of northing-first CRS
    # (EPSG:3035, 3006) without their axes, and come back with them. What is left is to compare the parameters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a PROJ string lacks names, says pyproj
        parameters = wanted.to_dict()
        return bool(parameters) and found.to_dict() == parameters


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyproj.exceptions.ProjError,
        sqlite3.Error,
        OSError,
    ) as error:
        text = " ".join(str(error).split())
        raise OutputError(f"{path.name}: {text}", "is the disk full, or the folder gone?") from error
