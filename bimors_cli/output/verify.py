"""Verification of a written GeoPackage."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pyproj

from bimors_cli.errors import OutputError
from bimors_cli.output.classified_schema import LayerSchema


def verify_layer(built: Path, schema: LayerSchema, written: int) -> None:
    """Check a finished layer: integrity of the SQLite file, number of rows, CRS.

    Raises
    ------
    OutputError
        One of them is not as written.
    """
    with closing(sqlite3.connect(built)) as database:
        (mode,) = database.execute("PRAGMA journal_mode = DELETE").fetchone()
        (state,) = database.execute("PRAGMA integrity_check").fetchone()
    if (mode, state) != ("delete", "ok"):
        raise OutputError(f"{built.name}: the file is corrupt after writing: {state}, journal {mode}")
    # All fids are read: the count in gpkg_contents is what GDAL expects, not what the table holds.
    import pyogrio.raw

    meta, fids, _, _ = pyogrio.raw.read(built, layer=schema.name, columns=[], read_geometry=False, return_fids=True)
    if len(fids) != written:
        raise OutputError(f"{built.name}: {len(fids)} rows in the file, {written} were written")
    wanted, found = pyproj.CRS.from_user_input(schema.crs_wkt), meta["crs"]
    if found is None or not _same_coordinates(pyproj.CRS.from_user_input(found), wanted):
        raise OutputError(
            f"{built.name}: a GeoPackage cannot store the CRS {wanted.name!r} exactly", "use another CRS with --dst-crs"
        )


def _same_coordinates(found: pyproj.CRS, wanted: pyproj.CRS) -> bool:
    """Tell whether x and y mean the same in both; GDAL ignores the axis order of the definition."""
    if found.equals(wanted, ignore_axis_order=True):
        return True
    # PROJ ignores the order of geographic axes only. But files of GDAL before 3 have codes of northing-first CRS
    # (EPSG:3035, 3006) without their axes, and are read back with them. So the parameters are compared.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyproj warns that a PROJ string lacks names
        parameters = wanted.to_dict()
        return bool(parameters) and found.to_dict() == parameters
