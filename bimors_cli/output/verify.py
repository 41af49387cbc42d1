"""Whether a GeoPackage holds what was written to it."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pyogrio.raw
import pyproj

from bimors_cli.errors import OutputError
from bimors_cli.output.classified_schema import LayerSchema


def verify_layer(built: Path, spec: LayerSchema, written: int) -> None:
    """Read a finished layer back: SQLite's structure, the number of rows, the CRS.

    Raises
    ------
    OutputError
        Something is not as it was written.
    """
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
