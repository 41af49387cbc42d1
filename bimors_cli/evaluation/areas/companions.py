"""A sample for programs other than a GIS: a table for spreadsheets, outlines for Google Earth. Both in WGS 84."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from rasterio.crs import CRS

from bimors_cli.evaluation.areas.places import centres
from bimors_cli.evaluation.areas.sample_file import LAYER, MAP_LABEL, DrawnTiles
from bimors_cli.output.atomic import replacing
from bimors_cli.output.geopackage import as_output_error
from bimors_cli.scene.polygons import Polygons, reproject

COLUMNS: Final = ("tile_id", "scene", "row", "col", "longitude", "latitude", "reference", "note")
_WGS84: Final = "EPSG:4326"
_DECIMALS: Final = 7  # a centimetre


def write_csv(
    path: Path, tiles: DrawnTiles, crs: pyproj.CRS, *, show_label: bool = False, overwrite: bool = False
) -> None:
    """Write a sample as a CSV (UTF-8, commas) with `COLUMNS`, of which ``reference`` and ``note`` are empty.

    Parameters
    ----------
    path : Path
        The file.
    tiles : DrawnTiles
        The tiles.
    crs : pyproj.CRS
        CRS of their polygons. Longitude and latitude are those of their centres.
    show_label : bool
        Whether the column `MAP_LABEL` follows.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputExistsError
        The file exists, and ``overwrite`` is off.
    OutputError
        It cannot be written.
    """
    columns = _columns(tiles, crs, show_label=show_label)
    with (
        replacing(path, overwrite=overwrite) as built,
        as_output_error(path),
        built.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_kml(
    path: Path, tiles: DrawnTiles, crs: pyproj.CRS, *, show_label: bool = False, overwrite: bool = False
) -> None:
    """Write a sample as a KML of outlines without a fill; parameters and errors as `write_csv`."""
    import pyogrio.raw

    columns = {"Name": list(tiles.tile_ids), **_columns(tiles, crs, show_label=show_label)}
    with replacing(path, overwrite=overwrite) as built, as_output_error(path):
        pyogrio.raw.write(
            built,
            geometry=shapely.to_wkb(in_degrees(tiles.polygons, crs)),
            field_data=[
                np.array(values, float if values and isinstance(values[0], float) else object)
                for values in columns.values()
            ],
            fields=np.array(list(columns), object),
            layer=LAYER,
            driver="KML",
            geometry_type="Unknown",
            crs=_WGS84,
        )


def in_degrees(polygons: Polygons, crs: pyproj.CRS) -> Polygons:
    """Return the outlines of tiles in WGS 84, as `reproject` where they are not in degrees yet."""
    if crs.equals(pyproj.CRS.from_user_input(_WGS84), ignore_axis_order=True):
        return polygons
    if not crs.is_geographic:
        return reproject(polygons, CRS.from_wkt(crs.to_wkt()), CRS.from_string(_WGS84))
    # Tiles of a layer in degrees may have two parts, and end at the antimeridian.
    transformer = pyproj.Transformer.from_crs(crs, _WGS84, always_xy=True)
    return np.asarray(
        shapely.transform(polygons, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))), object
    )


def _columns(tiles: DrawnTiles, crs: pyproj.CRS, *, show_label: bool) -> dict[str, Sequence[Any]]:
    longitude, latitude = centres(tiles.polygons, crs).round(_DECIMALS).T.tolist()
    nothing = [None] * len(tiles.tile_ids)
    values = (tiles.tile_ids, tiles.scenes, tiles.rows, tiles.cols, longitude, latitude, nothing, nothing)
    found: dict[str, Sequence[Any]] = dict(zip(COLUMNS, values, strict=True))
    return {**found, MAP_LABEL: tiles.mapped} if show_label else found
