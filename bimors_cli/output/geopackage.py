"""Layers in a GeoPackage, with their provenance and their QGIS styles: writing and reading."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.output.atomic import check_target
from bimors_cli.output.classified_schema import LayerSchema, check_frame, clean_text, empty_frame
from bimors_cli.output.image_features import add_features
from bimors_cli.output.layer_styles import add_styles
from bimors_cli.output.predictions import add_predictions
from bimors_cli.output.verify import verify_layer

if TYPE_CHECKING:
    import geopandas

GEOMETRY_COLUMN: Final = "geom"
# Distinguishes the keys of bimors from those of GDAL and other programs.
METADATA_PREFIX: Final = "bimors_"


def build_geopackage(
    path: Path,
    chunks: Iterable[geopandas.GeoDataFrame],
    schema: LayerSchema,
    *,
    features: Iterable[tuple[str, bytes]] = (),
) -> int:
    """Write a layer, its provenance, its styles and image features to a GeoPackage; a `formats.BuildFile`.

    Other layers of the file stay, one of the same name is replaced. Provenance is metadata of the layer, with the
    prefix ``bimors_``. The file is read back and checked at the end.

    Raises
    ------
    OutputError
        The file cannot be written, or does not hold what was written. An error that ``chunks`` raises passes unchanged.
    """
    written = build_rows(path, chunks, schema)
    # GDAL has closed the file: Python's SQLite and GDAL's own must never have it open together.
    with as_output_error(path):
        add_styles(path, schema.name, GEOMETRY_COLUMN, schema.styles())
        if "label" in schema.columns():
            add_predictions(path, schema.name)
        add_features(path, schema.name, features)
        verify_layer(path, schema, written)
    return written


def check_append(path: Path, layer: str, *, replace: bool) -> None:
    """Check, without writing anything, that a layer can be added to the file at ``path``.

    Raises
    ------
    InputError
        The file is not a GeoPackage.
    OutputExistsError
        It has a layer (or another table) of this name, without regard to case, and ``replace`` is off.
    OutputError
        As `atomic.check_target`.
    """
    check_target(path, overwrite=True)
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT 1 FROM gpkg_contents")
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
    except sqlite3.Error as error:
        raise InputError(f"{path} is not a GeoPackage, so no layer can be appended", "use another -o") from error
    taken = next((name for name in tables if name.casefold() == layer.casefold()), None)
    if taken is not None and not (replace and taken == layer):
        raise OutputExistsError(f"{path}: layer {taken!r} exists", "choose another name for the new layer with --layer")


def provenance_items(schema: LayerSchema) -> dict[str, str]:
    """Return the provenance of a layer as metadata items of a file."""
    return {METADATA_PREFIX + key: clean_text(text) for key, text in schema.metadata.items()}


def read_provenance(path: Path, layer: str | None = None) -> dict[str, str]:
    """Read the provenance of a layer that bimors wrote.

    Parameters
    ----------
    path : Path
        The file.
    layer : str, optional
        One of its layers; by default the first one with provenance.

    Returns
    -------
    dict
        Empty for a layer of another program, or one that does not exist.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    found = _provenances(path)
    return next(filter(None, found.values()), {}) if layer is None else found.get(layer, {})


def choose_layer(path: Path, layer: str | None, default: str = "tiles") -> str:
    """Return the name of the layer to read.

    Parameters
    ----------
    path : Path
        The file.
    layer : str or None
        Name of the layer; None for the one that bimors wrote.
    default : str
        Name to look for in a copy without provenance; if it does not exist either, the only layer is returned.

    Raises
    ------
    InputError
        The file cannot be read, the layer does not exist, or bimors wrote several.
    """
    found = _provenances(path)
    ours = [name for name, provenance in found.items() if provenance]
    if layer is None and len(ours) > 1:
        raise InputError(f"{path} has several layers written by bimors", f"choose one with --layer: {', '.join(ours)}")
    wanted = layer if layer is not None else ours[0] if ours else default
    if wanted in found:
        return wanted
    if layer is None and len(found) == 1:
        return next(iter(found))
    raise InputError(f"{path} has no layer {wanted!r}", f"choose one with --layer: {', '.join(found)}")


def read_layer(path: Path, layer: str, names: Sequence[str], where: str | None = None) -> geopandas.GeoDataFrame:
    """Read columns of a layer that bimors wrote, and its polygons.

    ``where`` is an SQL condition on the rows.

    Raises
    ------
    InputError
        The file cannot be read, or the layer or a column does not exist.
    """
    import pyogrio
    import pyogrio.errors

    with pam_disabled():
        try:
            return pyogrio.read_dataframe(path, layer=layer, columns=list(names), where=where)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}", "give a .gpkg that bimors wrote") from error


@contextmanager
def pam_disabled() -> Iterator[None]:
    """Keep GDAL 3.12 from writing the metadata of a file to out.gpkg.aux.xml when it lists layers."""
    import pyogrio

    before = pyogrio.get_gdal_config_option("GDAL_PAM_ENABLED")
    pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": False})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"GDAL_PAM_ENABLED": before})


def _provenances(path: Path) -> dict[str, dict[str, str]]:
    """Return the layers with a geometry, in the order of the file, and the provenance of each."""
    import pyogrio
    import pyogrio.errors

    result = {}
    try:
        with pam_disabled():
            for name in (str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None):
                items = (pyogrio.read_info(path, layer=name)["layer_metadata"] or {}).items()
                result[name] = {
                    key.removeprefix(METADATA_PREFIX): text for key, text in items if key.startswith(METADATA_PREFIX)
                }
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path}: cannot read its layers") from error
    return result


def build_rows(built: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema) -> int:
    """Write the rows and the provenance of a layer, without style and checks, to a new or existing GeoPackage.

    A layer of this name is replaced, and nothing is undone after an error: for scratch files. Parameters, result and
    errors are those of `formats.BuildFile`.
    """
    written = 0
    # The empty frame first: it creates the table, so a layer without chunks has one too.
    with as_output_error(built):
        _append(built, empty_frame(schema), schema, create=True)
    for chunk in chunks:  # errors that the caller's chunks raise pass unchanged
        check_frame(chunk, schema)
        with as_output_error(built):
            _append(built, chunk, schema)
        written += len(chunk)
    return written


def _append(built: Path, frame: geopandas.GeoDataFrame, schema: LayerSchema, *, create: bool = False) -> None:
    import pyogrio.raw

    names = list(schema.columns())
    first: dict[str, Any] = {}
    if create:
        provenance = provenance_items(schema)
        first = {
            "layer_metadata": provenance or None,
            # 1.4 is GDAL's default, but GDAL before 3.7 (QGIS 3.22) warns about it.
            "dataset_options": {"VERSION": "1.3"},
            "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
        }
    # Not write_dataframe: it passes the CRS as a similar EPSG code or as WKT 1, which cannot express all of WKT 2.
    pyogrio.raw.write(
        built,
        geometry=shapely.to_wkb(frame.geometry.to_numpy()),
        field_data=[frame[name].to_numpy() for name in names],
        fields=np.array(names, dtype=object),
        layer=schema.name,
        driver="GPKG",
        geometry_type="MultiPolygon" if schema.multipart else "Polygon",
        promote_to_multi=schema.multipart,
        crs=schema.crs_wkt,
        append=not create,
        **first,
    )


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn errors that GDAL, PROJ and SQLite raise while a file is written into an OutputError of one line."""
    import pyogrio.errors
    import pyproj.exceptions

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
        # GDAL repeats the statement that failed, which may be a page long.
        text = re.sub(r"sqlite3_exec\(.*\) failed: ", "", " ".join(str(error).split()))
        raise OutputError(f"{path.name}: {text}", "check the free disk space and that the folder exists") from error
