"""Transformations between two CRSs, and what PROJ lacks for an exact one."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bimors_cli.errors import VectorError, one_line
from bimors_cli.run_warnings import warn

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

# A grid that PROJ lacks is worth a warning if without it positions are off by more than this. The transformations of
# NAD83, GDA94 and ETRS89 to WGS 84 are stated to 1 to 4 m.
_ACCURACY: Final = 5.0  # metres
_WGS84: Final = "EPSG:4326"

Bounds = tuple[float, float, float, float]


def make_transformer(source: CRS, target: CRS, *, source_name: str, target_name: str) -> Transformer:
    """Return the transformation from one CRS to another, x before y.

    Parameters
    ----------
    source, target : pyproj.CRS
        The CRSs.
    source_name, target_name : str
        What has them, for messages: file names.

    Raises
    ------
    VectorError
        One of them is local, vertical or geocentric, or PROJ has no transformation.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    for crs, other, name in ((source, target, source_name), (target, source, target_name)):
        kind = not_on_the_map(crs)
        if kind is not None:
            raise VectorError(
                f"{name} has the {kind} CRS {crs.name!r}: PROJ has no transformation between it and {other.name!r}",
                "give both files in one CRS: assign the right one in QGIS, or reproject one of them",
            )
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise VectorError(
            f"no transformation between the CRSs of {source_name} and {target_name}, {source.name} and {target.name}",
            one_line(error),
        ) from error


def not_on_the_map(crs: CRS) -> str | None:
    """Return what kind of CRS it is if it has no horizontal coordinates on the Earth, else None."""
    if crs.is_engineering:
        return "local"
    if crs.is_geocentric:
        return "geocentric"
    return "vertical" if crs.is_vertical and not crs.is_compound else None


def warn_if_inexact(source: CRS | str, target: CRS | str, near: Bounds) -> None:
    """Warn if PROJ transforms between two CRSs without the grid that it takes, or between datums that it cannot relate.

    Parameters
    ----------
    source, target : pyproj.CRS or str
        The CRSs, or their WKT.
    near : tuple of float
        Left, bottom, right, top of the place in ``target``.
    """
    from pyproj import CRS

    text = inexact(CRS.from_user_input(source), CRS.from_user_input(target), near)
    if text is not None:
        warn("%s", text)


@lru_cache
def inexact(source: CRS, target: CRS, near: Bounds) -> str | None:
    """Return what makes a transformation inexact and what to do, as one line; None if it is exact to within 5 m.

    Parameters as `warn_if_inexact`.
    """
    if source.equals(target, ignore_axis_order=True):
        return None
    used = _used(source, target, near)
    if used is None:
        return None
    is_ballpark = "ballpark geographic" in used.description.lower()
    if not is_ballpark and used.accuracy <= _ACCURACY:
        return None
    between = f"the transformation from {_short(source)} to {_short(target)}"
    grid = _missing_grid(source, target, near)
    if grid is not None:
        off = "an unknown distance, often 100 m" if is_ballpark else f"about {used.accuracy:.0f} m"
        return (
            f"{between} lacks the grid {grid}: positions may be off by {off}; install it: projsync --file {grid}, or "
            "set PROJ_DATA to a folder of proj-data"
        )
    if is_ballpark and not _have_one_ellipsoid(source, target):
        return (
            f"{between} is approximate, as PROJ does not know how their datums differ: positions may be off by 100 m "
            "and more; assign the CRS with its datum, such as EPSG:..."
        )
    return None


def _used(source: CRS, target: CRS, near: Bounds) -> Transformer | None:
    """Return the operation that PROJ uses at a place; None if it has none there."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    x, y = (near[0] + near[2]) / 2, (near[1] + near[3]) / 2
    try:
        at = Transformer.from_crs(target, source, always_xy=True).transform(x, y)
        transformer = Transformer.from_crs(source, target, always_xy=True)
        transformer.transform(*at)
        return transformer.get_last_used_operation()
    except ProjError:
        return None


def _missing_grid(source: CRS, target: CRS, near: Bounds) -> str | None:
    """Return the file name of the grid of the best operation at a place, if PROJ lacks it."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError
    from pyproj.transformer import AreaOfInterest, TransformerGroup

    try:
        degrees = Transformer.from_crs(target, _WGS84, always_xy=True).transform_bounds(*near)
        place = AreaOfInterest(*degrees) if all(map(math.isfinite, degrees)) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the best one is not available
            found = TransformerGroup(source, target, always_xy=True, area_of_interest=place)
    except ProjError:
        return None
    grids = (grid for each in found.unavailable_operations for grid in each.grids if not grid.available)
    return next((str(grid.short_name) for grid in grids), None)


def _have_one_ellipsoid(source: CRS, target: CRS) -> bool:
    """Tell whether both use one ellipsoid: an unknown datum on that of WGS 84 is hardly another datum."""
    one, other = source.ellipsoid, target.ellipsoid
    if one is None or other is None:
        return False
    pairs = ((one.semi_major_metre, other.semi_major_metre), (one.inverse_flattening, other.inverse_flattening))
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in pairs)


def _short(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=90)
    return ":".join(authority) if authority else repr(crs.name)
