"""Tables of field points: CSV with columns of coordinates, or with a column of geometries (WKT, EWKB, GeoJSON)."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.run_warnings import warn
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    from pyproj import CRS

Kind = Literal["degrees", "plane", "geometry"]

_SUFFIXES: Final = (".csv", ".tsv")
_MAX_BYTES: Final = 256 * 1024 * 1024
_DELIMITERS: Final = ",;\t"
# Titles as `_plain` writes them. What stands before and after these words must be equal in both titles.
_LONGITUDE: Final = re.compile(r"(?P<before>(?:.*_)?)(?:decimal_?)?(?:longitude|long|lon|lng)(?P<after>(?:_\w+)?)")
_LATITUDE: Final = re.compile(r"(?P<before>(?:.*_)?)(?:decimal_?)?(?:latitude|lat)(?P<after>(?:_\w+)?)")
_PLANE: Final = (
    ("x", "y"), ("x_coord", "y_coord"), ("xcoord", "ycoord"), ("coord_x", "coord_y"), ("coordx", "coordy"),
    ("x_coordinate", "y_coordinate"), ("point_x", "point_y"), ("pos_x", "pos_y"), ("map_x", "map_y"),
    ("easting", "northing"), ("eastings", "northings"), ("east", "north"), ("e", "n"), ("utm_x", "utm_y"),
    ("x_utm", "y_utm"), ("utm_e", "utm_n"), ("utm_easting", "utm_northing"), ("rechtswert", "hochwert"),
)  # fmt: skip
_GEOMETRY: Final = (
    "wkt",
    "geom",
    "geometry",
    "the_geom",
    "wkt_geom",
    "geom_wkt",
    "geometry_wkt",
    "wkb_geometry",
    "geo",
)
_WKT: Final = re.compile(
    r"\s*(?:SRID=(\d+);)?\s*((?:MULTI)?(?:POINT|LINESTRING|POLYGON)[\sZM]*(?:\(|EMPTY).*)", re.I | re.DOTALL
)
_HEX: Final = re.compile(r"\s*0[01][0-9a-fA-F]{16,}\s*")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_BLANK: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--"})
_CODE: Final = re.compile(r"-?\d+(?:\.0*)?")
_LARGEST_LATITUDE: Final = 90.0
# Some software counts longitudes from 0 to 360.
_LONGITUDES: Final = (-180.0, 360.0)
_WGS84: Final = "EPSG:4326"
_SHOWN: Final = 12

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class PointTable:
    """A table of places.

    Attributes
    ----------
    path, layer : str
        The file, and its name without suffix.
    crs : str
        CRS of the geometries.
    fields : tuple of str
        Titles of the columns.
    geometries : object array [n] of shapely geometry
        x before y; rows without coordinates are left out.
    rows : tuple of n tuples of str
        The cells of each of these rows, as many as there are fields, without surrounding blanks.
    ids : int64 array [n]
        Numbers of the rows, from 1, as GDAL counts them.
    """

    path: str
    layer: str
    crs: str
    fields: tuple[str, ...]
    geometries: Polygons
    rows: tuple[tuple[str, ...], ...]
    ids: npt.NDArray[np.int64]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of all geometries."""
        left, bottom, right, top = shapely.total_bounds(self.geometries).tolist()
        return left, bottom, right, top

    def within(
        self, bounds: tuple[float, float, float, float] | None, field: str
    ) -> tuple[Polygons, list[str | None], npt.NDArray[np.int64]]:
        """Return the geometries that reach into bounds, all for None, their cells in a column, and their numbers.

        A blank cell is None.
        """
        rows = np.arange(len(self.ids))
        if bounds is not None:
            rows = np.flatnonzero(shapely.intersects(self.geometries, shapely.box(*bounds)))
        values = self._values(field)
        return self.geometries[rows], [values[row] for row in rows], self.ids[rows]

    def holds_codes(self, field: str) -> bool:
        """Tell whether all cells of a column are whole numbers, or blank."""
        present = [value for value in self._values(field) if value is not None]
        return bool(present) and all(_CODE.fullmatch(value) for value in present)

    def _values(self, field: str) -> list[str | None]:
        at = self.fields.index(field)
        return [row[at] or None for row in self.rows]


def is_point_table(path: str) -> bool:
    """Tell whether a file is named as a CSV table."""
    return os.path.splitext(path)[1].lower() in _SUFFIXES


def read_point_table(path: str, crs: str | None = None) -> PointTable:
    """Read a table of places; rows without coordinates are skipped, with a warning.

    The first line names the columns, separated by commas, semicolons or tabs. Columns such as longitude and latitude
    are in WGS 84, unless ``crs`` is another geographic CRS. Columns such as x and y, and WKT without SRID, are in
    ``crs``. GeoJSON geometries are in WGS 84 (RFC 7946). A geometry column is used rather than coordinates.

    Parameters
    ----------
    path : str
        A CSV file in UTF-8.
    crs : str, optional
        CRS of the coordinates, such as ``EPSG:32633``: the value of ``--points-crs``.

    Raises
    ------
    VectorError
        The file cannot be read; no columns, or several, hold coordinates; a cell is not a coordinate; the CRS is
        missing, unknown, or the coordinates cannot be in it.
    """
    header, rows = _read_rows(path)
    given = None if crs is None else _parse_crs(crs)
    columns = _find_columns(path, header, rows, given)
    if columns.kind == "geometry":
        found, own = _geometries(path, header[columns.at[0]], [(line, cells[columns.at[0]]) for line, cells in rows])
    else:
        xy = _coordinates(path, header, columns, rows)
        if columns.kind == "degrees":
            _check_degrees(path, header, columns.at, xy, rows)
        found, own = (
            np.asarray(shapely.points(xy), object),
            _WGS84 if columns.kind == "degrees" and given is None else None,
        )
        found[np.isnan(xy).any(axis=1)] = None
    names = " and ".join(header[at] for at in columns.at)
    present = np.flatnonzero(~(shapely.is_missing(found) | shapely.is_empty(found)))
    if not len(present):
        raise VectorError(f"{path} holds no coordinates", f"fill in: {names}")
    chosen = _choose_crs(path, columns.kind, names, found, own, crs, given)
    if len(present) < len(rows):
        warn(
            "%s: skipped %s of %s rows without coordinates (%s): fill them in, or delete the rows",
            path, f"{len(rows) - len(present):,}", f"{len(rows):,}", names,
        )  # fmt: skip
    log.info("%s: coordinates in %s, in the columns %s", path, chosen, names)
    kept = tuple(rows[row][1] for row in present)
    layer = os.path.splitext(os.path.basename(path))[0]
    return PointTable(path, layer, chosen, header, found[present], kept, present.astype(np.int64) + 1)


@dataclass(frozen=True)
class _Columns:
    """Which columns hold the places: one of geometries, or those of x and y."""

    kind: Kind
    at: tuple[int, ...]


_Rows = list[tuple[int, tuple[str, ...]]]


def _read_rows(path: str) -> tuple[tuple[str, ...], _Rows]:
    """Return the titles, and line number and cells of each row that is not blank."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise VectorError(f"{path} cannot be read: {error.strerror or error}", "give a local file") from error
    if len(data) > _MAX_BYTES:
        raise VectorError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", "convert it with ogr2ogr to a GeoPackage")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        lines = data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise VectorError(
            f"{path}, line {number}: not UTF-8 text", "save the file as UTF-8; in Excel as type CSV UTF-8"
        ) from error
    first = next((n for n, line in enumerate(lines) if line.strip() and not _is_preamble(line)), len(lines))
    delimiter, header = _find_header(path, lines[first] if first < len(lines) else "")
    rows: _Rows = []
    csv.field_size_limit(_MAX_BYTES)  # a polygon as WKT is long
    reader = csv.reader(lines[first + 1 :], delimiter=delimiter, strict=True)
    following = first + 2  # the line on which the next row begins
    try:
        for cells in reader:
            line, following = following, first + 2 + reader.line_num
            stripped = tuple(cell.strip() for cell in cells)
            if not any(stripped):
                continue
            if any(stripped[len(header) :]):
                raise VectorError(
                    f"{path}, line {line}: {len(stripped)} cells, but {len(header)} columns",
                    "put a text that has the separator in double quotes; write 12.5, not 12,5, between commas",
                )
            rows.append((line, (*stripped, *[""] * (len(header) - len(stripped)))[: len(header)]))
    except csv.Error as error:
        raise VectorError(f"{path}, line {following}: {error}", "is a quotation mark missing?") from error
    if not rows:
        raise VectorError(f"{path} holds no rows", "add one row per point under the titles")
    return header, rows


def _is_preamble(line: str) -> bool:
    """Tell whether a line is a comment, or names the separator for Excel."""
    return line.startswith("#") or bool(re.fullmatch(r'"?sep=.?"?\s*', line, re.I))


def _find_header(path: str, line: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter under which the titles name coordinates, and the titles."""
    found = []
    for delimiter in _DELIMITERS:
        titles = tuple(title.strip() for title in next(csv.reader([line], delimiter=delimiter), []))
        if _candidates(titles):
            found.append((delimiter, titles))
    if found:
        return max(found, key=lambda one: len(one[1]))
    names = [title.strip().strip('"') for title in re.split(f"[{_DELIMITERS}]", line)]
    shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
    raise VectorError(
        f"{path} has no columns of coordinates: the first line holds {shown[:200] or 'nothing'}",
        "name them longitude and latitude, or x and y with --points-crs, or give a column wkt",
    )


def _plain(title: str) -> str:
    return re.sub(r"[\s_.:()/\[\]°-]+", "_", title.casefold()).strip("_")


def _candidates(titles: Sequence[str]) -> list[_Columns]:
    """Return all columns that hold places by their titles."""
    plain = [_plain(title) for title in titles]
    found = [_Columns("geometry", (at,)) for at, title in enumerate(plain) if title in _GEOMETRY]
    for x, y in ((x, y) for x in range(len(plain)) for y in range(len(plain)) if x != y):
        longitude, latitude = _LONGITUDE.fullmatch(plain[x]), _LATITUDE.fullmatch(plain[y])
        if longitude and latitude and _around(longitude) == _around(latitude):
            found.append(_Columns("degrees", (x, y)))
        elif (plain[x], plain[y]) in _PLANE:
            found.append(_Columns("plane", (x, y)))
    return found


def _around(match: re.Match[str]) -> tuple[str, str]:
    before = match["before"]
    return "" if before in ("x_", "y_") else before, match["after"]


def _find_columns(path: str, header: Sequence[str], rows: _Rows, given: CRS | None) -> _Columns:
    """Choose the columns of the places: geometries, else degrees, else x and y; x and y for a projected CRS."""
    found = [one for one in _candidates(header) if one.kind != "geometry" or _holds_geometries(rows, one.at[0])]
    order: list[Kind] = ["geometry", "degrees", "plane"]
    if given is not None and not given.is_geographic:
        order = ["geometry", "plane", "degrees"]
    for kind in order:
        chosen = [one for one in found if one.kind == kind]
        if len(chosen) > 1:
            pairs = "; ".join(" and ".join(header[at] for at in one.at) for one in chosen)
            raise VectorError(
                f"{path} has several columns of coordinates: {pairs}", "rename those that are not the place of the row"
            )
        if chosen:
            return chosen[0]
    title = next(header[one.at[0]] for one in _candidates(header))
    raise VectorError(
        f"{path}: the column {title} holds no geometries as WKT, EWKB or GeoJSON",
        "name columns longitude and latitude, or write POINT (12.5 41.9)",
    )


def _holds_geometries(rows: _Rows, at: int) -> bool:
    first = next((cells[at] for _, cells in rows if cells[at].casefold() not in _BLANK), "")
    return bool(_WKT.fullmatch(first) or _HEX.fullmatch(first) or first.lstrip().startswith("{"))


def _geometries(path: str, title: str, cells: Sequence[tuple[int, str]]) -> tuple[Polygons, str | None]:
    """Return the geometries of a column, None where blank, and the CRS that it states, if any."""
    found = np.full(len(cells), None, object)
    stated: set[str | None] = set()
    for row, (line, text) in enumerate(cells):
        if text.casefold() in _BLANK:
            continue
        try:
            geometry, crs = _parse_geometry(text)
        except (shapely.errors.ShapelyError, ValueError) as error:
            raise VectorError(
                f"{path}, line {line}: {title} is not a geometry: {text[:40]!r}", "write POINT (12.5 41.9), x before y"
            ) from error
        found[row] = shapely.force_2d(geometry)
        stated.add(crs)
    if len(stated) > 1:
        names = ", ".join(sorted(str(crs or "none") for crs in stated))
        raise VectorError(f"{path}: {title} states several CRSs: {names}", "transform the table to one CRS")
    return found, next(iter(stated), None)


def _parse_geometry(text: str) -> tuple[Any, str | None]:
    """Return a geometry and the CRS that its text states."""
    if _HEX.fullmatch(text):
        geometry = shapely.from_wkb(text.strip())
        srid = int(shapely.get_srid(geometry))
        return geometry, f"EPSG:{srid}" if srid > 0 else None
    if text.lstrip().startswith("{"):
        return shapely.from_geojson(text), _WGS84
    match = _WKT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return shapely.from_wkt(match[2]), f"EPSG:{match[1]}" if match[1] and int(match[1]) else None


def _coordinates(path: str, header: Sequence[str], columns: _Columns, rows: _Rows) -> npt.NDArray[np.float64]:
    """Return x and y of each row, float64 [n, 2]; NaN where one of them is blank."""
    text = [[cells[at] for at in columns.at] for _, cells in rows]
    commas = any("," in cell for pair in text for cell in pair)
    points = any("." in cell for pair in text for cell in pair)
    found = np.full((len(rows), 2), np.nan)
    for row, pair in enumerate(text):
        for axis, cell in enumerate(pair):
            if cell.casefold() in _BLANK:
                continue
            title = header[columns.at[axis]]
            if not _NUMBER.fullmatch(cell) or (commas and points):
                what = "has commas and points" if commas and points else "is not a number"
                raise VectorError(
                    f"{path}, line {rows[row][0]}: {title} {what}: {cell[:40]!r}",
                    "write decimal degrees or metres, such as -33.9, without thousands separators",
                )
            found[row, axis] = float(cell.replace(",", "."))
    found[~np.isfinite(found)] = np.nan
    return found


def _check_degrees(
    path: str, header: Sequence[str], at: tuple[int, ...], xy: npt.NDArray[np.float64], rows: _Rows
) -> None:
    """Refuse longitudes and latitudes that are not any."""
    longitude, latitude = header[at[0]], header[at[1]]
    bad_latitude = np.abs(xy[:, 1]) > _LARGEST_LATITUDE
    bad_longitude = (xy[:, 0] < _LONGITUDES[0]) | (xy[:, 0] > _LONGITUDES[1])
    bad = np.flatnonzero(bad_latitude | bad_longitude)
    if not len(bad):
        return
    row = int(bad[0])
    title, value = (latitude, xy[row, 1]) if bad_latitude[row] else (longitude, xy[row, 0])
    problem = f"{path}, line {rows[row][0]}: {title} is {value:.10g}, which is not in degrees"
    if not (np.abs(xy) > _LONGITUDES[1]).any() and not (np.abs(xy[:, 0]) > _LARGEST_LATITUDE).any():
        hint = f"are they swapped? Exchange the titles {longitude} and {latitude} in the first line"
    else:
        hint = "if they are metres or feet, name the columns x and y, and give their CRS: --points-crs EPSG:..."
    raise VectorError(problem, hint)


def _choose_crs(
    path: str, kind: Kind, names: str, found: Polygons, own: str | None, text: str | None, given: CRS | None
) -> str:
    """Return the CRS of the places, checked against their coordinates."""
    if text is None or given is None:
        if own is not None:
            return own
        hint = "add --points-crs EPSG:..., the CRS of the coordinates"
        if _look_like_degrees(found):
            hint += f"; they look like degrees: --points-crs {_WGS84}, if they are longitude and latitude"
        raise VectorError(f"{path}: the CRS of the coordinates ({names}) is not known", hint)
    if own is not None and own.casefold() != text.strip().casefold():
        raise VectorError(f"{path}: {names} is in {own}, not in --points-crs {text}", "leave out --points-crs")
    if kind == "degrees" and not given.is_geographic:
        raise VectorError(
            f"{path}: {names} are degrees, but --points-crs {text} ({given.name}) is not",
            "leave out --points-crs, or name the columns x and y",
        )
    if given.is_geographic and not _look_like_degrees(found):
        raise VectorError(
            f"{path}: --points-crs {text} ({given.name}) is in degrees, but the coordinates span {_span(found)}",
            "give the CRS of the coordinates, such as the UTM zone; x is the longitude, y the latitude",
        )
    if not given.is_geographic and _look_like_degrees(found):
        raise VectorError(
            f"{path}: --points-crs {text} ({given.name}) is not in degrees, but the coordinates span {_span(found)}",
            f"they look like degrees: --points-crs {_WGS84}",
        )
    return text.strip()


def _parse_crs(text: str) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(text.strip())
    except CRSError as error:
        raise VectorError(f"--points-crs {text}: PROJ does not know this CRS", "write it as EPSG:32633") from error


def _look_like_degrees(found: Polygons) -> bool:
    left, bottom, right, top = shapely.total_bounds(found)
    in_longitude = _LONGITUDES[0] <= left and right <= _LONGITUDES[1]
    return bool(in_longitude and bottom >= -_LARGEST_LATITUDE and top <= _LARGEST_LATITUDE)


def _span(found: Polygons) -> str:
    left, bottom, right, top = shapely.total_bounds(found)
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"
